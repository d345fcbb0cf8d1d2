"""Moving: what `moved` says of addresses is done to a copy of the state before anything is compared with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.addresses import Address
from mlops.core.diagnostics import Diagnostic
from mlops.core.ops import Late

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.resources import Kind
    from mlops.core.settings import Composition, Moved
    from mlops.core.states import Record, State


def move(
    desired: Composition, state: State, kinds: Mapping[str, Kind], problems: list[Diagnostic]
) -> tuple[State, dict[Address, Address]]:
    """Return the state as it is once all has moved, and {new address: old address}; what was done before is left out."""
    records, names = dict(state.records), dict[Address, Address]()
    for index, one in enumerate(desired.settings.moved):
        if one.source not in records:
            continue
        wrong = _wrong(one, desired, records, kinds)
        if wrong is not None:
            summary, hint = wrong
            problems.append(Diagnostic("moved", summary, origin=desired.origins.of("moved", str(index)), hint=hint))
            continue
        records[one.to] = records.pop(one.source)
        names[one.to] = names.pop(one.source, one.source)
    if not names:
        return state, {}
    new = {old: to for to, old in names.items()}
    return replace(state, records={address: rename(record, new) for address, record in records.items()}), names


def _wrong(
    one: Moved, desired: Composition, records: Mapping[Address, Record], kinds: Mapping[str, Kind]
) -> tuple[str, str] | None:
    """Return what is wrong with a move, and what to do."""
    if one.source.kind != one.to.kind:
        return f"{one.source} cannot become {one.to}: they are of two kinds", "name two resources of one kind"
    if one.source.kind in kinds and kinds[one.source.kind].keeps:
        hint = "take the entry out: the plan then makes the new one and removes the old one"
        return f"{one.source} runs under its name and cannot be renamed", hint
    if one.source in desired.resources:
        return f"{one.source} is said to have moved, and is still in the configuration", "rename its file"
    if one.to in records:
        return f"{one.source} cannot become {one.to}: both are recorded", "take the entry out, or destroy one of them first"
    return None


def rename(record: Record, names: Mapping[Address, Address]) -> Record:
    """Return the record under the new name of its address, and with those of what it reads."""
    steps = {
        name: replace(step, values={_renamed(late, names): value for late, value in step.values.items()})
        for name, step in record.steps.items()
    }
    refs = tuple(names.get(ref, ref) for ref in record.refs)  # type: ignore[call-overload]
    return replace(record, address=names.get(record.address, record.address), steps=steps, refs=refs)


def _renamed(late: str, names: Mapping[Address, Address]) -> str:
    found = Late(late)
    if found.sort == "input" or found.ref.address not in names:
        return late
    head = late.removesuffix(found.ref)
    return f"{head}{names[found.ref.address]}/{found.ref.output}"
