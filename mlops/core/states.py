"""States: what was done, as records; the journal that they are folded from; and the protocols of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.notices import Notice, Verb

LEASE = timedelta(seconds=60)  # how long a lease lasts from when it was taken or last renewed


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as it was last done: its key, the late values behind the key, what it made, how long it took."""

    key: str
    values: Mapping[str, Any]
    outputs: Mapping[str, str]
    facts: Mapping[str, Any]
    seconds: float
    at: str  # UTC, ISO 8601


@dataclass(frozen=True, slots=True)
class Record:
    """One resource of one environment as it stands. `version` is the journal sequence that wrote it."""

    address: Address
    body: Mapping[str, Any]
    digest: str
    steps: Mapping[str, StepRecord]
    refs: tuple[str, ...] = ()  # addresses it reads from, for the order of deletes
    inputs: Mapping[str, Any] = field(default_factory=dict)  # facts of its inputs when last observed, for people
    complete: bool = True  # False while a change of it is half-done
    protected: bool = False  # its lifecycle prevents that it is destroyed, also when its file is gone
    version: int = 0

    def output(self, name: str) -> str | None:
        """Return the digest of the named output, or None."""
        for step in self.steps.values():
            if name in step.outputs:
                return step.outputs[name]
        return None

    @property
    def facts(self) -> dict[str, Any]:
        """All steps' facts, merged."""
        return {name: value for step in self.steps.values() for name, value in step.facts.items()}


@dataclass(frozen=True, slots=True)
class State:
    """All records of one environment, at one point of the journal."""

    environment: str
    records: Mapping[Address, Record] = field(default_factory=dict)
    pending: tuple[Entry, ...] = ()  # begun and not ended: what a crash interrupted
    version: int = 0
    rejected: Mapping[str, Mapping[str, Notice]] = field(default_factory=dict)  # address → keys that no delivery may bring
    is_held: bool = False  # a process holds the environment: what is pending runs


@dataclass(frozen=True, slots=True)
class Realisation:
    """Outputs that are known to come from an input key, and where they were first made."""

    key: str
    outputs: Mapping[str, str]
    facts: Mapping[str, Any]
    seconds: float
    environment: str
    address: str
    at: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    event   begin       durable before the act
            checkpoint  progress of a delivery, durable before it goes on
            end         after the act; carries the record that now holds (null: forgotten) and a realisation to share
            note        a run that began or ended; or, without a plan, what a person did to the state; `body` says which
    """

    event: str
    run: str
    at: str
    plan: str = ""
    address: str = ""
    step: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    forget: bool = False
    realisation: Realisation | None = None
    sequence: int = 0


def fold(entries: Iterable[Entry]) -> dict[Address, Record]:
    """Return the records that follow from the journal: the last entry of an address that carries one, or forgets it."""
    records: dict[Address, Record] = {}
    for entry in entries:
        if entry.forget:
            records.pop(entry.address, None)  # type: ignore[call-overload]
        elif entry.record is not None:
            records[entry.record.address] = entry.record
    return records


def begun(entries: Iterable[Entry]) -> tuple[dict[tuple[str, str], list[Entry]], list[Sequence[str]]]:
    """Return what the entries begin and do not end, by run and step; and what was open before them and they do not take up.

    A run's notes name, under `open`, what earlier runs left: pairs of run and step.
    """
    opened: dict[tuple[str, str], list[Entry]] = {}
    left: list[Sequence[str]] = []
    for entry in entries:
        if entry.event == "note":
            left = list(entry.body.get("open", ()))
            continue
        left = [one for one in left if not one[1].startswith(f"{entry.address}/")]
        if entry.event == "end":
            opened.pop((entry.run, entry.step), None)
        else:
            opened.setdefault((entry.run, entry.step), []).append(entry)
    return opened, left


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to one environment, until it expires; every write carries its token."""

    environment: str
    owner: str
    token: int
    since: str
    expires: str


class StateReader(Protocol):
    """All that planning sees of the store."""

    def read(self, environment: str) -> State:
        """Return all records of the environment."""
        ...

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        """Return what is known of these input keys, in one statement for many keys."""
        ...


class Store(StateReader, Protocol):
    """The recorded state. Writes need a lease."""

    def acquire(self, environment: str, owner: str) -> Lease:
        """Take the environment's lease; raise StateLocked where another holder's has not expired."""
        ...

    def renew(self, lease: Lease) -> Lease:
        """Extend the lease; raise StateLocked where it was lost."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens where it was lost."""
        ...

    def append(self, lease: Lease, entries: Sequence[Entry]) -> int:
        """Write entries, records and realisations in one durable transaction; return the last sequence number.

        Raises:
            StateLocked: the lease's token is no longer the environment's.
            StateUnavailable: the connection was lost. Called again with the same entries, it connects anew, finds out whether
                they were committed, and writes them only where they were not.
        """
        ...

    def history(self, environment: str, address: str | None = None, *, plan: str | None = None) -> Iterable[Entry]:
        """Yield journal entries in order: all, those of one address, or those of one plan."""
        ...

    def notices(self, environment: str, address: str | None = None, after: int = 0) -> Iterable[Notice]:
        """Yield what was asked of deliveries, and decided by them, in order: all, or of one address; newer than `after`."""
        ...

    def notify(self, environment: str, address: str, verb: Verb, *, key: str = "", by: str = "", reason: str = "") -> int:
        """Append a notice, without any lease; return its sequence."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...
