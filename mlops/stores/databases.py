"""Databases: the two that the store speaks to, behind one DB-API connection; they differ here and nowhere else.

The store uses DB-API directly: SQLAlchemy costs 0.18 s to import, half of what a plan may take
(docs/decisions/2026-11-24-db-api-in-stores.md).
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_ROOM = 100_000  # bytes; SQLite's index of its log takes 32 KiB
IDENTITY = "sequence BIGINT PRIMARY KEY"


@dataclass(slots=True)
class Database:
    """One open connection. Statements are written with `?`."""

    connection: Any
    mark: str  # how this driver writes a parameter
    errors: tuple[type[Exception], ...]
    explain: Callable[[Exception], StateError]
    begin: str

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement and return its cursor; raise StateError where the database refuses."""
        try:
            return self.connection.cursor().execute(self._spell(statement), parameters)
        except self.errors as error:
            raise self.explain(error) from error

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        if rows:
            try:
                self.connection.cursor().executemany(self._spell(statement), rows)
            except self.errors as error:
                raise self.explain(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, durably; roll back where it raises."""
        self.execute(self.begin)
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        try:
            self.connection.commit()
        except self.errors as error:
            raise self.explain(error) from error

    def close(self) -> None:
        """Give up the connection."""
        self.connection.close()

    def _spell(self, statement: str) -> str:
        return statement if self.mark == "?" else statement.replace("?", self.mark)


def connect(url: str, root: Path) -> Database:
    """Open `sqlite:///PATH` (relative to `root`) or `postgresql://…`.

    Raises:
        StateError: the URL is of another sort, or the database cannot be opened.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return _sqlite(root / rest[1:])
    if scheme in ("postgresql", "postgres"):
        return _postgres(url)
    message = f"the store '{scheme}://…' is not known" if "://" in url else f"the store '{url}' is not known"
    raise StateError(message, "write sqlite:///PATH or postgresql://USER@HOST/DATABASE in conf/store/*.yaml")


def _sqlite(path: Path) -> Database:
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
    return Database(connection, "?", (sqlite3.Error,), explain, "BEGIN IMMEDIATE")


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


def _postgres(url: str) -> Database:
    try:
        import psycopg
    except ImportError:
        message = "the store is PostgreSQL, but its driver is not installed"
        raise StateError(message, "pip install 'mlops[postgres]'") from None

    def explain(error: Exception) -> StateError:
        text = str(error).strip().splitlines()
        return StateError(
            f"the state in PostgreSQL cannot be used: {text[0] if text else error}", "check the URL, the password and the server"
        )

    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=10)
    except psycopg.Error as error:
        raise explain(error) from error
    return Database(connection, "%s", (psycopg.Error,), explain, "BEGIN")
