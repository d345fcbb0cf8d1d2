"""Troubles on the way of an apply: the process dies, the database fails, another process takes over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlops.core.errors import StateLocked
from mlops.stores.sql import SqlStore

import toys

GONE = "told to fail"


class CrashingStore(SqlStore):
    """Dies at the given append: before it is committed, or right after."""

    def __init__(self, url, at=None, *, after=False):
        self.clock = toys.ToyClock()
        super().__init__(url, Path(), self.clock, lambda _: True)
        self.at, self.after, self.count = at, after, 0

    def append(self, lease, entries):
        self.count += 1
        if self.count == self.at and not self.after:
            self.strike()
        last = super().append(lease, entries)
        if self.count == self.at and self.after:
            self.strike()
        return last

    def strike(self):
        raise toys.Crash


class RobbedStore(CrashingStore):
    """Sleeps at the given append until its lease has expired; another process takes over; then this one wakes up."""

    def __init__(self, url, at, other, *, after=False):
        super().__init__(url, at, after=after)
        self.other, self.left = other, None

    def strike(self):
        self.clock.sleep(61)
        self.other()
        self.left = self.journal()

    def journal(self):
        return [(entry.sequence, entry.step) for entry in self.history("dev")]

    def append(self, lease, entries):
        was_robbed = self.left is not None
        last = super().append(lease, entries)
        assert not was_robbed, "a process that lost its lease wrote"
        return last


@dataclass
class FailingConnection:
    """A connection whose statement (or commit) number `at` fails; with `is_gone` all that follow on it do, too."""

    inner: object
    error: type[Exception]
    at: int
    after: bool  # a commit that fails was done all the same: only its answer is lost
    is_gone: bool
    count: int = 0
    has_failed: bool = False

    def pass_on(self, call, *rest):
        self.count += 1
        if self.has_failed and self.is_gone:
            raise self.error(GONE)
        if self.count != self.at:
            return call(*rest)
        self.has_failed = True
        if self.after and call == self.inner.commit:
            call()
        elif self.is_gone:
            self.inner.rollback()  # as the server does
        raise self.error(GONE)

    @property
    def closed(self):
        """Whether it is lost: a store whose database can be reached again then makes another one."""
        return self.has_failed and self.is_gone

    def cursor(self):
        return FailingCursor(self, self.inner.cursor())

    def commit(self):
        self.pass_on(self.inner.commit)

    def rollback(self):
        if self.has_failed and self.is_gone:
            raise self.error(GONE)
        self.inner.rollback()

    def close(self):
        self.inner.close()


@dataclass
class FailingCursor:
    """A cursor of it."""

    connection: FailingConnection
    inner: object

    def execute(self, *words):
        return self.connection.pass_on(self.inner.execute, *words)

    def executemany(self, *words):
        return self.connection.pass_on(self.inner.executemany, *words)


def failing_store(url, at, *, after, is_gone):
    """Return a store whose database fails at the given statement."""
    store = SqlStore(url, Path(), toys.ToyClock(), lambda _: True)
    database = store._database
    database.connection = FailingConnection(database.connection, database.errors[0], at, after, is_gone)
    return store


def is_fenced(error):
    """Tell whether the error is that of a process that lost its lease."""
    return isinstance(error, StateLocked) and "lost its hold" in error.message
