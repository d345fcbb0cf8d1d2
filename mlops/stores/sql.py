"""The store in SQL: a row per resource and environment, the journal that the rows are folded from, and leases.

Rows are JSON beside the columns that are asked by. Every write is one transaction: it proves the lease by its token,
takes sequence numbers, appends to the journal and brings the rows up to date.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops.core.addresses import Address
from mlops.core.errors import StateError, StateLocked, StateUnavailable
from mlops.core.notices import Notice, rejections
from mlops.core.states import LEASE, Entry, Lease, Realisation, Record, State, begun, fold
from mlops.stores import databases, migrations, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops.core.notices import Verb
    from mlops.core.worlds import Clock


class SqlStore:
    """Implements `core.states.Store` on SQLite or PostgreSQL."""

    def __init__(
        self, url: str, root: Path, clock: Clock, is_gone: Callable[[str], bool] = lambda _: False, project: str | None = None
    ) -> None:
        """Open the state at `url`; `is_gone` tells whether the owner of a lease is known to be dead.

        Raises:
            StateError: it cannot be opened, or is another project's.
        """
        self._clock, self._is_gone = clock, is_gone
        self._written: dict[str, int] = {}  # environment → the last sequence there, since we hold it
        self._is_in_doubt = False  # the connection was lost while we wrote: nobody told whether it was committed
        self._database = databases.connect(url, root, clock)
        try:
            migrations.migrate(self._database)
            if project is not None:
                self._claim(project)
        except BaseException:
            self._database.close()
            raise

    def _claim(self, project: str) -> None:
        """Refuse a state of another project, whose resources would look like leftovers of this one."""
        seen = "SELECT name FROM project"
        row = self._database.execute(seen).fetchone()
        if row is None:
            with self._database.transaction(self._database.alone):
                row = self._database.execute(seen).fetchone()
                if row is None:
                    self._database.execute("INSERT INTO project (name) VALUES (?)", (project,))
        if row is not None and row[0] != project:
            message = f"the state belongs to project '{row[0]}', not to '{project}'"
            raise StateError(
                message, "give each project a state of its own (store.url); a renamed one moves by state export, import"
            )

    # -- reading -----------------------------------------------------------------------------------------------------

    def read(self, environment: str) -> State:
        """Return all records of the environment, and what was begun there and not ended, as of one moment."""
        with self._database.transaction(self._database.reading):
            records = {
                Address(address): rows.record(address, version, body) for address, version, body in self._rows(environment)
            }
            meta = dict(self._database.execute("SELECT name, value FROM meta"))
            judged = "environment = ? AND verb IN ('rejected', 'retry')"
            rejected = rejections(self._notices(judged, (environment,))) if meta["request"] else {}  # most states have none
            pending = tuple(self._pending(environment))
            lease = self._lease(environment) if pending else None
            is_held = lease is not None and bool(lease.owner) and self.is_held(lease)
            return State(environment, records, pending, meta["sequence"], rejected, is_held)

    def _rows(self, environment: str) -> Any:
        return self._database.execute("SELECT address, version, body FROM records WHERE environment = ?", (environment,))

    def _pending(self, environment: str) -> Iterator[Entry]:
        """Yield what the last run left open, and what earlier ones did that no run has taken up since: notes carry that along.

        Runs exclude each other, and one that came to its end says so last: mostly one row is read.
        """
        last = f"SELECT {rows.JOURNAL} FROM journal WHERE environment = ? AND plan <> '' ORDER BY sequence DESC LIMIT 1"  # noqa: S608 - a constant
        row = self._database.execute(last, (environment,)).fetchone()
        if row is None:
            return
        entry = rows.entry(row)
        run = [entry] if entry.event == "note" else self._entries("environment = ? AND run = ?", (environment, entry.run))
        opened, left = begun(run)
        if left:
            wanted = {tuple(one) for one in left}
            runs = rows.dump(sorted({run for run, _ in wanted}))
            earlier = begun(self._entries(f"environment = ? AND run IN ({self._database.listed})", (environment, runs)))[0]
            opened = {key: entries for key, entries in earlier.items() if key in wanted} | opened
        for entries in opened.values():
            yield from entries

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        """Return what is known of these input keys."""
        self._database.revive()
        statement = f"SELECT body FROM realisations WHERE key IN ({self._database.listed})"  # noqa: S608 - a constant
        found = [rows.realisation(body) for (body,) in self._database.execute(statement, (rows.dump(keys),))]
        return {one.key: one for one in found}

    def history(self, environment: str, address: str | None = None, *, plan: str | None = None) -> Iterator[Entry]:
        """Yield journal entries in order, of one address or of one plan where it is given."""
        wanted = {"environment": environment, "address": address, "plan": plan}
        given = {name: value for name, value in wanted.items() if value is not None}
        return self._entries(" AND ".join(f"{name} = ?" for name in given), tuple(given.values()))

    def _entries(self, condition: str, parameters: Sequence[Any]) -> Iterator[Entry]:
        statement = f"SELECT {rows.JOURNAL} FROM journal WHERE {condition} ORDER BY sequence"  # noqa: S608 - conditions stand above
        return map(rows.entry, self._database.execute(statement, parameters))

    def audit(self, environment: str) -> tuple[dict[Address, Record | StateError], dict[Address, Record]]:
        """Return the records as they stand (or why one cannot be read), and as the journal has them, of one moment."""
        found: dict[Address, Record | StateError] = {}
        with self._database.transaction(self._database.reading):
            for address, version, body in self._rows(environment):
                try:
                    found[Address(address)] = rows.record(address, version, body)
                except StateError as error:
                    found[Address(address)] = error
            return found, fold(self.history(environment))

    # -- requests ----------------------------------------------------------------------------------------------------

    def notices(self, environment: str, address: str | None = None, after: int = 0) -> Iterator[Notice]:
        """Yield what was asked of deliveries and decided by them, in order, newer than `after`."""
        wanted, given = ("", ()) if address is None else (" AND address = ?", (address,))
        return self._notices(f"environment = ? AND sequence > ?{wanted}", (environment, after, *given))

    def _notices(self, condition: str, parameters: Sequence[Any]) -> Iterator[Notice]:
        columns = "sequence, environment, address, verb, key, at, author, reason"
        statement = f"SELECT {columns} FROM requests WHERE {condition} ORDER BY sequence"  # noqa: S608 - conditions stand above
        return (Notice(*row) for row in self._database.execute(statement, parameters))

    def notify(self, environment: str, address: str, verb: Verb, *, key: str = "", by: str = "", reason: str = "") -> int:
        """Append a notice in one durable transaction, whoever holds the environment; return its sequence."""
        take = "UPDATE meta SET value = value + 1 WHERE name = 'request' RETURNING value"  # others wait: order is as committed
        at = self._clock.now().isoformat(timespec="milliseconds")
        with self._database.transaction():
            sequence = int(self._database.execute(take, ()).fetchone()[0])
            self._database.execute(
                "INSERT INTO requests (sequence, environment, address, verb, key, at, author, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (sequence, environment, address, verb, key, at, by, reason),
            )
        return sequence

    # -- writing -----------------------------------------------------------------------------------------------------

    def append(self, lease: Lease, entries: Sequence[Entry], shared: Sequence[Realisation] = ()) -> int:
        """Write entries, what follows from them, and further realisations in one durable transaction.

        Returns the last sequence number.
        """
        try:
            with self._database.transaction():
                self._prove(lease)
                last = self._committed(lease.environment) if self._is_in_doubt else None
                if last is None:
                    last = self._write(lease.environment, entries, shared)
        except StateUnavailable:
            self._is_in_doubt = True
            raise
        self._is_in_doubt = False
        self._written[lease.environment] = last
        return last

    def _committed(self, environment: str) -> int | None:
        """Return the last sequence of a write that was committed though its answer was lost; None where it must be done again.

        Nobody else wrote there while the token was ours: what is newer than what we know of is ours.
        """
        newest, known = self._newest(environment), self._written[environment]
        if newest < known:
            message = f"the state came back without what was committed to it: sequence {known} is gone, {newest} is the last"
            raise StateError(message, "put the database's newest copy back; `mlops state verify` says what does not fit")
        return newest if newest > known else None

    def _newest(self, environment: str) -> int:
        newest = "SELECT coalesce(max(sequence), 0) FROM journal WHERE environment = ?"
        return int(self._database.execute(newest, (environment,)).fetchone()[0])

    def rebuild(self, lease: Lease, note: Entry) -> None:
        """Make the records the fold of the journal again, and note it there."""
        environment = lease.environment
        with self._database.transaction():
            self._prove(lease)
            folded = fold(self.history(environment))
            self._database.execute("DELETE FROM records WHERE environment = ?", (environment,))
            self._put([_record_row(environment, record.version, record) for record in folded.values()])
            self._write(environment, [note])

    def _write(self, environment: str, entries: Sequence[Entry], shared: Sequence[Realisation] = ()) -> int:
        take = "UPDATE meta SET value = value + ? WHERE name = 'sequence' RETURNING value"  # also keeps other writers waiting
        last = int(self._database.execute(take, (len(entries),)).fetchone()[0])
        first = last - len(entries) + 1
        self._database.execute_many(
            f"INSERT INTO journal (environment, {rows.JOURNAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            [rows.journal(first + index, environment, entry) for index, entry in enumerate(entries)],
        )
        self._follow(first, environment, entries)
        made = [*(entry.realisation for entry in entries if entry.realisation is not None), *shared]
        self._database.execute_many(
            "INSERT INTO realisations (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
            [(one.key, rows.dump(rows.fields(one))) for one in made],
        )
        return last

    def _follow(self, first: int, environment: str, entries: Sequence[Entry]) -> None:
        """Bring the records up to date; the last entry of an address wins."""
        records: dict[str, tuple[Any, ...] | None] = {}
        for index, entry in enumerate(entries):
            if entry.forget:
                records[entry.address] = None
            elif entry.record is not None:
                records[entry.address] = _record_row(environment, first + index, entry.record)
        self._put([row for row in records.values() if row is not None])
        gone = [(environment, address) for address, row in records.items() if row is None]
        self._database.execute_many("DELETE FROM records WHERE environment = ? AND address = ?", gone)

    def _put(self, found: Sequence[tuple[Any, ...]]) -> None:
        self._database.execute_many(
            "INSERT INTO records (environment, address, version, body) VALUES (?, ?, ?, ?) ON CONFLICT (environment, address)"
            " DO UPDATE SET version = excluded.version, body = excluded.body",
            found,
        )

    def _prove(self, lease: Lease) -> None:
        """Hold the lease's row until the transaction ends; refuse where its token is another one by now."""
        check = "UPDATE leases SET owner = owner WHERE environment = ? AND token = ?"
        if self._database.execute(check, (lease.environment, lease.token)).rowcount != 1:
            row = self._database.execute("SELECT owner, since FROM leases WHERE environment = ?", (lease.environment,)).fetchone()
            how = f"{row[0]} took over at {row[1]}" if row is not None and row[0] else "it was taken away"
            message = f"this process lost its hold of environment '{lease.environment}': {how}"
            raise StateLocked(
                message, "nothing more was written; plan and apply again when nobody else holds it (mlops lock list)"
            )

    # -- leases ------------------------------------------------------------------------------------------------------

    def acquire(self, environment: str, owner: str) -> Lease:
        """Take the environment's lease; a lease whose owner is dead or late is taken over, and its token grows."""
        now = self._database.now()
        with self._database.transaction():
            held = self._lease(environment)
            if held is not None and held.owner and self.is_held(held):
                message = f"environment '{environment}' is held by {held.owner} since {held.since}"
                hint = f"wait for it to end; its hold expires at {held.expires} if it is dead; or: mlops lock break {environment}"
                raise StateLocked(message, hint)
            token = (held.token if held is not None else 0) + 1
            lease = Lease(environment, owner, token, now.isoformat(), (now + LEASE).isoformat())
            took = self._database.execute(
                "INSERT INTO leases (environment, owner, token, since, expires) VALUES (?, ?, ?, ?, ?) ON CONFLICT (environment)"
                " DO UPDATE SET owner = excluded.owner, token = excluded.token, since = excluded.since, expires = excluded.expires"
                " WHERE leases.token = excluded.token - 1",  # of two that see the same lease, one wins
                (lease.environment, lease.owner, lease.token, lease.since, lease.expires),
            )
            if took.rowcount != 1:
                message = f"environment '{environment}' was taken by another process at this moment"
                raise StateLocked(message, "wait for it to end; mlops lock list shows it")
            self._written[environment] = self._newest(environment)
        return lease

    def _lease(self, environment: str) -> Lease | None:
        seen = "SELECT environment, owner, token, since, expires FROM leases WHERE environment = ?"
        row = self._database.execute(seen, (environment,)).fetchone()
        return Lease(*row) if row is not None else None

    def renew(self, lease: Lease) -> Lease:
        """Extend the lease."""
        expires = (self._database.now() + LEASE).isoformat()
        with self._database.transaction():
            self._prove(lease)
            self._database.execute("UPDATE leases SET expires = ? WHERE environment = ?", (expires, lease.environment))
        return replace(lease, expires=expires)

    def release(self, lease: Lease) -> None:
        """Give the lease back: it expires now, its token stays used. Where the database is gone it expires by itself."""
        drop = "UPDATE leases SET owner = '', expires = since WHERE environment = ? AND token = ?"
        with suppress(StateError), self._database.transaction():
            self._database.execute(drop, (lease.environment, lease.token))

    def leases(self) -> list[Lease]:
        """Return the leases that somebody holds, or died with."""
        seen = "SELECT environment, owner, token, since, expires FROM leases WHERE owner <> '' ORDER BY environment"
        return [Lease(*row) for row in self._database.execute(seen)]

    def is_held(self, lease: Lease) -> bool:
        """Tell whether the lease still keeps others out: it has not expired, and its owner is not known to be dead."""
        return datetime.fromisoformat(lease.expires) > self._database.now() and not self._is_gone(lease.owner)

    def break_lease(self, lease: Lease, note: Entry) -> None:
        """Take the lease away from its holder, who cannot write any more, and note it in the journal.

        Raises:
            StateLocked: it is another one's by now.
        """
        with self._database.transaction():
            self._prove(lease)
            drop = "UPDATE leases SET owner = '', token = token + 1, expires = since WHERE environment = ?"
            self._database.execute(drop, (lease.environment,))
            self._write(lease.environment, [note])

    def close(self) -> None:
        """Give up the connection."""
        self._database.close()


def _record_row(environment: str, version: int, record: Record) -> tuple[Any, ...]:
    return (environment, record.address, version, rows.dump(rows.plain(record)))
