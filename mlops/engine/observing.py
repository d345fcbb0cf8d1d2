"""Observing: the last touch of the outside before planning; asks for inputs and looks at the things that are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic
from mlops.core.digests import canonical
from mlops.core.errors import SpecError, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Origins
    from mlops.core.states import Record
    from mlops.core.worlds import Observation, Request, World


@dataclass(frozen=True, slots=True)
class Observations:
    """What was found outside: inputs by (address, name), and kept things by address."""

    inputs: Mapping[tuple[str, str], Observation] = field(default_factory=dict)
    kept: Mapping[str, Observation] = field(default_factory=dict)


def observe(
    resources: Iterable[Resource], records: Iterable[Record], kinds: Mapping[str, Kind], world: World, origins: Origins
) -> Observations:
    """Look at every input of `resources` (equal requests once), and at every kept thing in `records`.

    Raises:
        SpecError: with one diagnostic for each input that cannot be had, at the field that names it.
    """
    asked: dict[bytes, Request] = {}
    wanted: list[tuple[Address, str, bytes, Request]] = []
    for resource in resources:
        for name, request in resource.inputs.items():
            identity = canonical([request.door, dict(request.arguments)])
            asked.setdefault(identity, request)
            wanted.append((resource.address, name, identity, request))
    answers = dict(zip(asked, world.observe(list(asked.values())), strict=True))
    inputs: dict[tuple[str, str], Observation] = {}
    problems: list[Diagnostic] = []
    for address, name, identity, request in wanted:
        answer = answers[identity]
        if isinstance(answer, WorldError):
            origin = origins.of(address, request.field)
            problems.append(Diagnostic(answer.code, answer.message, address, request.field, origin, answer.hint))
        elif isinstance(answer, Exception):
            raise answer
        else:
            inputs[address, name] = answer
    if problems:
        raise SpecError(problems)
    kept = {
        str(record.address): kinds[record.address.kind].observe(record, world) for record in records if _is_kept(record, kinds)
    }
    return Observations(inputs, kept)


def _is_kept(record: Record, kinds: Mapping[str, Kind]) -> bool:
    kind = kinds.get(record.address.kind)
    return kind is not None and kind.keeps
