"""Rows: records and journal entries as the JSON that stands in the database, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlops.core.addresses import Address
from mlops.core.errors import StateError
from mlops.core.states import Entry, Realisation, Record, StepRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNREADABLE = (msgspec.MsgspecError, KeyError, TypeError, AttributeError)
JOURNAL = "sequence, run, plan, address, step, event, at, body"


def dump(data: Any) -> str:
    """Return data as JSON."""
    return msgspec.json.encode(data, enc_hook=str).decode()


def plain(record: Record) -> dict[str, Any]:
    """Return the record as JSON, without what the row's own columns hold; dataclasses.asdict takes 20 times as long."""
    return {
        "body": record.body,
        "digest": record.digest,
        "steps": {name: fields(step) for name, step in record.steps.items()},
        "refs": record.refs,
        "inputs": record.inputs,
        "complete": record.complete,
        "protected": record.protected,
    }


def fields(value: StepRecord | Realisation) -> dict[str, Any]:
    """Return a flat value's fields."""
    return {name: getattr(value, name) for name in value.__slots__}


def from_plain(address: str, version: int, data: dict[str, Any]) -> Record:
    """Return the record written by `plain`."""
    steps = {name: StepRecord(**step) for name, step in data.pop("steps").items()}
    data["refs"] = tuple(data["refs"])
    return Record(Address(address), steps=steps, version=version, **data)


def record(address: str, version: int, text: str) -> Record:
    """Return the record of a row.

    Raises:
        StateError: the row was damaged by another hand.
    """
    try:
        return from_plain(address, version, msgspec.json.decode(text))
    except _UNREADABLE as error:
        message = f"the state is damaged: the record of {address} cannot be read ({error})"
        raise StateError(message, "rebuild the records from the journal: mlops state repair") from None


def realisation(text: str) -> Realisation:
    """Return the realisation of a row."""
    try:
        return Realisation(**msgspec.json.decode(text))
    except _UNREADABLE as error:
        message = f"the state is damaged: a realisation cannot be read ({error})"
        raise StateError(message, "put a copy of the state back") from None


def journal(sequence: int, environment: str, entry: Entry) -> tuple[Any, ...]:
    """Return the row of a journal entry: its environment and the columns of `JOURNAL`."""
    data: dict[str, Any] = {"body": dict(entry.body)}
    if entry.record is not None:
        data["record"] = plain(entry.record)
    if entry.forget:
        data["forget"] = True
    return (environment, sequence, entry.run, entry.plan, entry.address, entry.step, entry.event, entry.at, dump(data))


def entry(row: Sequence[Any]) -> Entry:
    """Return the journal entry of a row with the columns of `JOURNAL`.

    Raises:
        StateError: the row was damaged by another hand.
    """
    sequence, run, plan, address, step, event, at, text = row
    try:
        data = msgspec.json.decode(text)
        held = from_plain(address, sequence, data["record"]) if data.get("record") else None
        body, forget = data.get("body", {}), data.get("forget", False)
    except _UNREADABLE as error:
        message = f"the state is damaged: entry {sequence} of the journal cannot be read ({error})"
        raise StateError(message, "put a copy of the state back, or export what can be read with: mlops state export") from None
    return Entry(event, run, at, plan, address, step, body, held, forget, sequence=sequence)
