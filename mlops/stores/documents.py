"""Documents: one environment's state as one JSON value, to be kept, moved to another database, or read by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlops.core.addresses import Address
from mlops.core.errors import StateError
from mlops.core.states import Entry, Realisation
from mlops.stores import rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops.core.states import Record, State

FORMAT = "1.0"


class _Step(msgspec.Struct):
    key: str
    values: dict[str, Any]
    outputs: dict[str, str]
    facts: dict[str, Any]
    seconds: float
    at: str


class _Record(msgspec.Struct):
    body: dict[str, Any]
    digest: str
    steps: dict[str, _Step]
    refs: list[str]
    inputs: dict[str, Any]
    complete: bool


class _Realisation(msgspec.Struct):
    key: str
    outputs: dict[str, str]
    facts: dict[str, Any]
    seconds: float
    environment: str
    address: str
    at: str


class _Entry(msgspec.Struct):
    event: str
    run: str
    at: str
    plan: str
    address: str
    step: str
    body: dict[str, Any]
    record: _Record | None = None
    forget: bool = False


class Document(msgspec.Struct):
    """An exported environment. Keys that a newer minor format adds are ignored."""

    format: str
    project: str
    environment: str
    records: dict[str, _Record]
    realisations: list[_Realisation]
    journal: list[_Entry] = []

    def held(self) -> list[Record]:
        """Return its records."""
        return [_held(address, part) for address, part in self.records.items()]

    def known(self) -> list[Realisation]:
        """Return its realisations."""
        return [Realisation(**msgspec.to_builtins(part)) for part in self.realisations]

    def entries(self) -> list[Entry]:
        """Return its journal."""
        found = []
        for part in self.journal:
            record = _held(part.address, part.record) if part.record is not None else None
            found.append(Entry(part.event, part.run, part.at, part.plan, part.address, part.step, part.body, record, part.forget))
        return found


def _held(address: str, part: _Record) -> Record:
    return rows.from_plain(address, 0, msgspec.to_builtins(part))


def write(project: str, state: State, realisations: Iterable[Realisation], journal: Iterable[Entry] | None) -> dict[str, Any]:
    """Return the document of an environment, as JSON."""
    document = {
        "format": FORMAT,
        "project": project,
        "environment": state.environment,
        "records": {str(address): rows.plain(record) for address, record in sorted(state.records.items())},
        "realisations": [rows.fields(one) for one in realisations],
    }
    if journal is not None:
        document["journal"] = [_entry(entry) for entry in journal]
    return document


def _entry(entry: Entry) -> dict[str, Any]:
    names = ("event", "run", "at", "plan", "address", "step", "body")
    data = {name: getattr(entry, name) for name in names}
    if entry.record is not None:
        data["record"] = rows.plain(entry.record)
    return data | ({"forget": True} if entry.forget else {})


def read(data: Any) -> Document:
    """Return the document that `write` wrote.

    Raises:
        StateError: it is none, is damaged, or has a newer format.
    """
    hint = "write one with: mlops state export FILE"
    if not isinstance(data, dict) or not isinstance(data.get("format"), str) or "records" not in data:
        message = "this file is no exported state"
        raise StateError(message, hint)
    if data["format"].partition(".")[0] != FORMAT.partition(".")[0]:
        message = f"the exported state has format {data['format']}, this mlops reads {FORMAT}"
        raise StateError(message, "use the mlops that wrote it, or a newer one")
    try:
        document = msgspec.convert(data, Document)
        for address in document.records:
            Address.parse(address)
    except (msgspec.ValidationError, ValueError) as error:
        message = f"the exported state is damaged: {error}"
        raise StateError(message, hint) from None
    return document
