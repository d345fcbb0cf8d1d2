"""Databases: the two that the store speaks to, behind one DB-API connection; they differ here and nowhere else.

The store uses DB-API directly: SQLAlchemy costs 0.18 s to import, half of what a plan may take
(docs/decisions/2026-11-24-db-api-in-stores.md).
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mlops.core.errors import StateError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from mlops.core.worlds import Clock

_POSTGRES_LOCK = 7_305_117  # any number, as long as every mlops takes the same
_ROOM = 100_000  # bytes; SQLite's index of its log takes 32 KiB


@dataclass(slots=True)
class Database:
    """One open connection. Statements are written with `?`."""

    connection: Any
    mark: str  # how this driver writes a parameter
    errors: tuple[type[Exception], ...]
    explain: Callable[[Exception], StateError]
    writing: tuple[str, ...]  # how a transaction begins that writes
    reading: tuple[str, ...]  # one whose statements all see the same moment
    alone: tuple[str, ...]  # one that no other of its sort runs beside
    has_table: str  # the statement that finds a table by its name
    listed: str  # the subquery that makes rows of a JSON list of texts: one statement asks for any number of keys
    now: Callable[[], datetime]  # the time that all who share this database agree on
    reopen: Callable[[], Any] | None = None  # makes another connection; None: it is a file, and cannot be lost

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement and return its cursor; raise StateError where the database refuses."""
        try:
            return self.connection.cursor().execute(self._spell(statement), parameters)
        except self.errors as error:
            raise self._told(error) from error

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        if rows:
            try:
                self.connection.cursor().executemany(self._spell(statement), rows)
            except self.errors as error:
                raise self._told(error) from error

    @contextmanager
    def transaction(self, begin: Sequence[str] = ()) -> Iterator[None]:
        """Commit what is done inside, durably; roll back where it raises, or where it cannot be committed."""
        self.revive()
        try:
            for statement in begin or self.writing:
                self.execute(statement)
            yield
            try:
                self.connection.commit()
            except self.errors as error:
                raise self._told(error) from error
        except BaseException:
            with suppress(*self.errors):  # a lost connection has nothing left to roll back
                self.connection.rollback()
            raise

    def revive(self) -> None:
        """Connect anew where the connection was lost; never within a transaction, whose first half went with it.

        Raises:
            StateUnavailable: the database is not back yet.
        """
        if self.reopen is not None and self.connection.closed:
            self.close()
            try:
                self.connection = self.reopen()
            except self.errors as error:
                raise self._told(error) from error

    def _told(self, error: Exception) -> StateError:
        told = self.explain(error)
        is_lost = self.reopen is not None and self.connection.closed
        return StateUnavailable(told.message, told.hint) if is_lost else told

    def close(self) -> None:
        """Give up the connection."""
        with suppress(*self.errors):
            self.connection.close()

    def _spell(self, statement: str) -> str:
        return statement if self.mark == "?" else statement.replace("?", self.mark)


def connect(url: str, root: Path, clock: Clock) -> Database:
    """Open `sqlite:///PATH` (relative to `root`) or `postgresql://…`.

    Raises:
        StateError: the URL is of another sort, or the database cannot be opened.
    """
    scheme, is_url, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return _sqlite(root / rest[1:], clock)
    if is_url and scheme in ("postgresql", "postgres"):
        return _postgres(url, clock)
    message = f"the store '{scheme}://…' is not known" if is_url else "the store's URL is not known"  # it may hold a password
    raise StateError(message, "write sqlite:///PATH or postgresql://USER@HOST/DATABASE in conf/store/*.yaml")


def _sqlite(path: Path, clock: Clock) -> Database:
    def explain(error: Exception) -> StateError:
        reason = getattr(error, "strerror", None) or error
        return StateError(f"the state in {path} cannot be used: {reason}", _sqlite_hint(error, path))

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before the act that it announces
    except (sqlite3.Error, OSError) as error:
        raise explain(error) from error
    write = ("BEGIN IMMEDIATE",)
    table = "SELECT 1 FROM sqlite_master WHERE name = ?"
    listed = "SELECT value FROM json_each(?)"
    return Database(connection, "?", (sqlite3.Error,), explain, write, ("BEGIN",), write, table, listed, clock.now)


def _sqlite_hint(error: Exception, path: Path) -> str:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return f"the file is damaged: move {path.name} aside and put a copy of it back, or start anew with an empty state"
    if "full" in text or _is_full(path):
        return "free some room on the disk, then run the same command again; nothing that was committed is lost"
    if "readonly" in text or "unable to open" in text or "Permission" in text:
        return f"give yourself write access to {path.parent}"
    if "locked" in text:
        return "another process writes to the state; try again"
    return "see the message of SQLite"


def _is_full(path: Path) -> bool:
    """Tell whether the disk has no room for SQLite's own files; it then speaks of an I/O error."""
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < _ROOM
    return False


def _postgres(url: str, clock: Clock) -> Database:
    try:
        import psycopg
    except ImportError:
        message = "the store is PostgreSQL, but its driver is not installed"
        raise StateError(message, "pip install 'mlops[postgres]'") from None
    password = _password(url)

    def explain(error: Exception) -> StateError:
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        text = text.replace(password, "…") if password else text
        return StateError(f"the state in PostgreSQL cannot be used: {text}", _postgres_hint(error))

    def dial() -> psycopg.Connection[Any]:
        return psycopg.connect(url, autocommit=True, connect_timeout=10, tcp_user_timeout=30_000)

    try:
        connection = dial()
        start, began = connection.execute("SELECT clock_timestamp()").fetchone()[0], clock.monotonic()  # type: ignore[index]
    except psycopg.Error as error:
        raise explain(error) from error
    return Database(
        connection,
        "%s",
        (psycopg.Error,),
        explain,
        ("BEGIN",),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
        ("BEGIN", f"SELECT pg_advisory_xact_lock({_POSTGRES_LOCK})"),
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = ?",  # to_regclass may answer from a cache
        "SELECT json_array_elements_text(?::json)",
        # Leases of several machines are compared: theirs is the server's time, whatever their own clocks say.
        lambda: start + timedelta(seconds=clock.monotonic() - began),
        dial,
    )


def _password(url: str) -> str:
    """Return the URL's password, so that messages can leave it out; refuse a URL whose parts a message might quote."""
    from psycopg import Error, conninfo

    try:
        found = str(conninfo.conninfo_to_dict(url).get("password") or "")
        is_clear = not set("/?#@") & set(url.partition("://")[2].rpartition("@")[0].partition(":")[2])
    except Error:
        is_clear = False
    if not is_clear:
        message = "the URL of the store cannot be read"
        hint = (
            "write postgresql://USER@HOST:PORT/DATABASE; in a password, %, /, @, : and ? are written %25, %2F, %40, %3A and %3F"
        )
        raise StateError(message, hint)
    return found


def _postgres_hint(error: Exception) -> str:
    import psycopg

    if isinstance(error, psycopg.errors.DiskFull):
        return "free some room on the server's disk, then run the same command again; nothing that was committed is lost"
    if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction):
        return "give the user the right to create and write tables there"
    if getattr(error, "sqlstate", None) is None:  # the server did not answer, or no longer
        return "check the server, the URL and the password, then run the same command again; what was committed is not lost"
    return "see the message of PostgreSQL"
