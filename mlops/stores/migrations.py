"""Migrations: the tables of the state, brought forward one numbered step at a time, each in one transaction.

A number that was released is never edited: the next change of a table gets the next number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.errors import StateVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.stores.databases import Database

MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO meta (name, value) VALUES ('schema', 0), ('sequence', 0)",
        (
            "CREATE TABLE records (environment TEXT, address TEXT, version BIGINT NOT NULL, body TEXT NOT NULL,"
            " PRIMARY KEY (environment, address))"
        ),
        (
            "CREATE TABLE journal (sequence BIGINT PRIMARY KEY, environment TEXT NOT NULL, run TEXT NOT NULL,"
            " plan TEXT NOT NULL, address TEXT NOT NULL, step TEXT NOT NULL, event TEXT NOT NULL, at TEXT NOT NULL,"
            " body TEXT NOT NULL)"
        ),
        "CREATE INDEX journal_address ON journal (environment, address, sequence)",
        "CREATE INDEX journal_environment ON journal (environment, sequence)",
        "CREATE TABLE realisations (key TEXT PRIMARY KEY, body TEXT NOT NULL)",
        (
            "CREATE TABLE leases (environment TEXT PRIMARY KEY, owner TEXT NOT NULL, token BIGINT NOT NULL,"
            " since TEXT NOT NULL, expires TEXT NOT NULL)"
        ),
    ),
    2: ("CREATE TABLE project (name TEXT PRIMARY KEY)",),  # whose state this is
    3: (
        (
            "CREATE TABLE requests (sequence BIGINT PRIMARY KEY, environment TEXT NOT NULL, address TEXT NOT NULL,"
            " verb TEXT NOT NULL, key TEXT NOT NULL, at TEXT NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL)"
        ),
        "CREATE INDEX requests_address ON requests (environment, address, sequence)",
        "INSERT INTO meta (name, value) VALUES ('request', 0)",
    ),
}
SCHEMA = max(MIGRATIONS)


def migrate(database: Database) -> None:
    """Bring the state's tables to this schema, also while another process does the same.

    Raises:
        StateVersion: a newer mlops wrote them.
    """
    found = _schema(database)
    while found < SCHEMA:
        with database.transaction(database.alone):
            found = _schema(database) + 1
            for statement in MIGRATIONS.get(found, ()):
                database.execute(statement)
            if found <= SCHEMA:
                database.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (found,))
    if (found := _schema(database)) > SCHEMA:
        message = f"the state has schema {found}; this mlops knows up to {SCHEMA}"
        raise StateVersion(message, "use the mlops that wrote it, or a newer one")


def _schema(database: Database) -> int:
    """Return the number of the last migration that was applied, 0 for an empty database."""
    if database.execute(database.has_table, ("meta",)).fetchone() is None:
        return 0
    row = database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return 0 if row is None else int(row[0])
