"""The store in SQL: a row per resource and environment, the journal that the rows are folded from, and leases.

Rows are JSON beside the columns that are asked by. Every write is one transaction: it proves the lease by its token,
takes sequence numbers, appends to the journal and brings the rows up to date.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.core.addresses import Address
from mlops.core.errors import StateLocked, StateVersion
from mlops.core.states import Entry, Lease, Realisation, Record, State, StepRecord
from mlops.stores import databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops.core.worlds import Clock

SCHEMA = 1
LEASE = timedelta(seconds=60)
CHUNK = 500  # parameters in one statement

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    (
        "CREATE TABLE IF NOT EXISTS records (environment TEXT, address TEXT, version BIGINT NOT NULL, body TEXT NOT NULL,"
        " PRIMARY KEY (environment, address))"
    ),
    (
        "CREATE TABLE IF NOT EXISTS journal (sequence BIGINT PRIMARY KEY, environment TEXT NOT NULL, run TEXT NOT NULL,"
        " plan TEXT NOT NULL, address TEXT NOT NULL, step TEXT NOT NULL, event TEXT NOT NULL, at TEXT NOT NULL, body TEXT NOT NULL)"
    ),
    "CREATE INDEX IF NOT EXISTS journal_address ON journal (environment, address, sequence)",
    "CREATE INDEX IF NOT EXISTS journal_environment ON journal (environment, sequence)",
    "CREATE TABLE IF NOT EXISTS realisations (key TEXT PRIMARY KEY, body TEXT NOT NULL)",
    (
        "CREATE TABLE IF NOT EXISTS leases (environment TEXT PRIMARY KEY, owner TEXT NOT NULL, token BIGINT NOT NULL,"
        " since TEXT NOT NULL, expires TEXT NOT NULL)"
    ),
)


class SqlStore:
    """Implements `core.states.Store` on SQLite or PostgreSQL."""

    def __init__(self, url: str, root: Path, clock: Clock, is_gone: Callable[[str], bool] = lambda _: False) -> None:
        """Open the state at `url`; `is_gone` tells whether the owner of a lease is known to be dead."""
        self._clock, self._is_gone = clock, is_gone
        self._database = databases.connect(url, root)
        self._migrate()

    def _migrate(self) -> None:
        found = self._schema()
        if found is None:
            with self._database.transaction():
                for statement in _TABLES:
                    self._database.execute(statement)
                insert = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING"
                self._database.execute_many(insert, [("schema", SCHEMA), ("sequence", 0)])
        elif found > SCHEMA:
            message = f"the state has schema {found}; this mlops knows up to {SCHEMA}"
            raise StateVersion(message, "use the mlops that wrote it, or a newer one")

    def _schema(self) -> int | None:
        exists = "SELECT 1 FROM information_schema.tables WHERE table_name = 'meta'"
        if self._database.mark == "?":
            exists = "SELECT 1 FROM sqlite_master WHERE name = 'meta'"
        if self._database.execute(exists).fetchone() is None:
            return None
        row = self._database.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        return None if row is None else int(row[0])

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, environment: str) -> State:
        """Return all records of the environment, and what was begun there and not ended."""
        rows = self._database.execute("SELECT address, version, body FROM records WHERE environment = ?", (environment,))
        records = {Address(address): _record(address, version, msgspec.json.decode(body)) for address, version, body in rows}
        version = self._database.execute("SELECT value FROM meta WHERE name = 'sequence'").fetchone()[0]
        return State(environment, records, tuple(self._pending(environment)), version)

    def _pending(self, environment: str) -> Iterator[Entry]:
        """Yield what the last run left open; runs exclude each other, so only the last one can have."""
        last = "SELECT run, event FROM journal WHERE environment = ? ORDER BY sequence DESC LIMIT 1"
        row = self._database.execute(last, (environment,)).fetchone()
        if row is None or row[1] == "note":  # a run that ended well says so last
            return
        opened: dict[str, list[Entry]] = {}
        for entry in self._entries("environment = ? AND run = ?", (environment, row[0])):
            if entry.event == "end":
                opened.pop(entry.step, None)
            elif entry.event in ("begin", "checkpoint"):
                opened.setdefault(entry.step, []).append(entry)
        for entries in opened.values():
            yield from entries

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        """Return what is known of these input keys."""
        found: dict[str, Realisation] = {}
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            marks = ",".join("?" * len(some))
            rows = self._database.execute(f"SELECT body FROM realisations WHERE key IN ({marks})", some)  # noqa: S608 - only marks
            for (body,) in rows:
                realisation = Realisation(**msgspec.json.decode(body))
                found[realisation.key] = realisation
        return found

    def history(self, environment: str, address: str | None = None) -> Iterator[Entry]:
        """Yield journal entries in order, of one address where it is given."""
        if address is None:
            return self._entries("environment = ?", (environment,))
        return self._entries("environment = ? AND address = ?", (environment, address))

    def _entries(self, condition: str, parameters: Sequence[Any]) -> Iterator[Entry]:
        columns = "sequence, run, plan, address, step, event, at, body"
        statement = f"SELECT {columns} FROM journal WHERE {condition} ORDER BY sequence"  # noqa: S608 - conditions stand above
        for sequence, run, plan, address, step, event, at, body in self._database.execute(statement, parameters):
            data = msgspec.json.decode(body)
            record = _record(address, sequence, data["record"]) if data.get("record") else None
            yield Entry(
                event, run, at, plan, address, step, data.get("body", {}), record, data.get("forget", False), sequence=sequence
            )

    # -- writing -----------------------------------------------------------------------------------------------------

    def append(self, lease: Lease, entries: Sequence[Entry]) -> int:
        """Write entries and what follows from them in one durable transaction; return the last sequence number."""
        database, environment = self._database, lease.environment
        with database.transaction():
            self._prove(lease)
            take = "UPDATE meta SET value = value + ? WHERE name = 'sequence' RETURNING value"
            last = int(database.execute(take, (len(entries),)).fetchone()[0])
            first = last - len(entries) + 1
            database.execute_many(
                "INSERT INTO journal (sequence, environment, run, plan, address, step, event, at, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(first + index, environment, entry) for index, entry in enumerate(entries)],
            )
            for statement, rows in _effects(first, environment, entries):
                database.execute_many(statement, rows)
        return last

    def _prove(self, lease: Lease) -> None:
        check = "UPDATE leases SET owner = owner WHERE environment = ? AND token = ?"
        if self._database.execute(check, (lease.environment, lease.token)).rowcount != 1:
            message = f"this process lost its hold of environment '{lease.environment}': another one took over"
            raise StateLocked(message, "nothing more was written; run the command again")

    # -- leases ------------------------------------------------------------------------------------------------------

    def acquire(self, environment: str, owner: str) -> Lease:
        """Take the environment's lease; a lease whose owner is dead or late is taken over, and its token grows."""
        now = self._clock.now()
        with self._database.transaction():
            seen = "SELECT owner, token, since, expires FROM leases WHERE environment = ?"
            row = self._database.execute(seen, (environment,)).fetchone()
            if row is not None and row[0] and datetime.fromisoformat(row[3]) > now and not self._is_gone(row[0]):
                message = f"environment '{environment}' is held by {row[0]} since {row[2]}"
                raise StateLocked(message, f"wait for it to end; its hold expires at {row[3]} if it is dead")
            lease = Lease(environment, owner, (row[1] if row is not None else 0) + 1, now.isoformat(), (now + LEASE).isoformat())
            self._database.execute(
                "INSERT INTO leases (environment, owner, token, since, expires) VALUES (?, ?, ?, ?, ?) ON CONFLICT (environment)"
                " DO UPDATE SET owner = excluded.owner, token = excluded.token, since = excluded.since, expires = excluded.expires",
                (lease.environment, lease.owner, lease.token, lease.since, lease.expires),
            )
        return lease

    def renew(self, lease: Lease) -> Lease:
        """Extend the lease."""
        expires = (self._clock.now() + LEASE).isoformat()
        with self._database.transaction():
            self._prove(lease)
            self._database.execute("UPDATE leases SET expires = ? WHERE environment = ?", (expires, lease.environment))
        return Lease(lease.environment, lease.owner, lease.token, lease.since, expires)

    def release(self, lease: Lease) -> None:
        """Give the lease back: it expires now, its token stays used."""
        drop = "UPDATE leases SET owner = '', expires = since WHERE environment = ? AND token = ?"
        with self._database.transaction():
            self._database.execute(drop, (lease.environment, lease.token))

    def close(self) -> None:
        """Give up the connection."""
        self._database.close()


def _effects(first: int, environment: str, entries: Sequence[Entry]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield the statements that bring the rows up to date; the last entry of an address wins."""
    records: dict[str, tuple[Any, ...] | None] = {}
    for index, entry in enumerate(entries):
        if entry.forget:
            records[entry.address] = None
        elif entry.record is not None:
            records[entry.address] = (environment, entry.address, first + index, _dump(_plain(entry.record)))
    yield (
        (
            "INSERT INTO records (environment, address, version, body) VALUES (?, ?, ?, ?) ON CONFLICT (environment, address)"
            " DO UPDATE SET version = excluded.version, body = excluded.body"
        ),
        [row for row in records.values() if row is not None],
    )
    gone = [(environment, address) for address, row in records.items() if row is None]
    yield "DELETE FROM records WHERE environment = ? AND address = ?", gone
    shared = [(entry.realisation.key, _dump(_fields(entry.realisation))) for entry in entries if entry.realisation is not None]
    yield "INSERT INTO realisations (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body", shared


def _row(sequence: int, environment: str, entry: Entry) -> tuple[Any, ...]:
    data: dict[str, Any] = {"body": dict(entry.body)}
    if entry.record is not None:
        data["record"] = _plain(entry.record)
    if entry.forget:
        data["forget"] = True
    return (sequence, environment, entry.run, entry.plan, entry.address, entry.step, entry.event, entry.at, _dump(data))


def _plain(record: Record) -> dict[str, Any]:
    """Return the record as JSON, without what the row's own columns hold; dataclasses.asdict takes 20 times as long."""
    return {
        "body": record.body,
        "digest": record.digest,
        "steps": {name: _fields(step) for name, step in record.steps.items()},
        "refs": record.refs,
        "inputs": record.inputs,
        "complete": record.complete,
    }


def _fields(value: StepRecord | Realisation) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _dump(data: Any) -> str:
    return msgspec.json.encode(data, enc_hook=str).decode()


def _record(address: str, version: int, data: dict[str, Any]) -> Record:
    steps = {name: StepRecord(**step) for name, step in data.pop("steps").items()}
    data["refs"] = tuple(data["refs"])
    return Record(Address(address), steps=steps, version=version, **data)
