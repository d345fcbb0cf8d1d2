"""Observing: the last touch of the outside before planning; asks for inputs and looks at the things that are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic
from mlops.core.digests import canonical
from mlops.core.errors import Deferred, SpecError, WorldError
from mlops.core.worlds import Observation
from mlops.engine.choosing import Refresh

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Origins
    from mlops.core.states import Record
    from mlops.core.worlds import Request, World
    from mlops.engine.choosing import Scope

Asker = tuple["Address", str]  # a resource and the name of one of its inputs


@dataclass(frozen=True, slots=True)
class Observations:
    """What was found outside, and what was not looked at."""

    inputs: Mapping[Asker, Observation] = field(default_factory=dict)
    recalled: frozenset[Asker] = frozenset()  # inputs that the records told
    kept: Mapping[str, Observation] = field(default_factory=dict)  # kept things by address
    deferred: Mapping[Address, str] = field(default_factory=dict)  # why an input cannot be known yet
    absent: frozenset[str] = frozenset()  # artifacts that are not there, or not whole


def observe(scope: Scope, kinds: Mapping[str, Kind], world: World) -> Observations:
    """Look at inputs (equal requests once) and kept things, as far as the plan's `refresh` says.

    Raises:
        SpecError: with one diagnostic for each input that cannot be had, at the field that names it.
    """
    refresh = scope.options.refresh
    records = [record for address, record in scope.state.records.items() if address in scope.resources]
    recalled = dict(_recall(scope)) if refresh is Refresh.NONE else {}
    inputs, deferred = _ask(scope.resources.values(), recalled, world, scope.desired.origins)
    kept = {} if refresh is Refresh.NONE else _look(records, kinds, world)
    wanted = {digest for one in scope.imports.values() for digest in one.outputs.values()}
    if refresh is Refresh.ALL:
        wanted |= {digest for record in records for step in record.steps.values() for digest in step.outputs.values()}
    absent = frozenset(digest for digest in sorted(wanted) if not world.artifacts.is_whole(digest))
    return Observations({**recalled, **inputs}, frozenset(recalled), kept, deferred, absent)


def _recall(scope: Scope) -> Iterator[tuple[Asker, Observation]]:
    """Yield inputs as they were when they were last observed; an equal spec asks for the same."""
    for address, resource in scope.resources.items():
        record = scope.state.records.get(address)
        if record is None or record.digest != resource.digest:
            continue
        for name in resource.inputs:
            known = [step.values for step in record.steps.values() if f"input:{name}" in step.values]
            if known:
                yield (address, name), Observation(known[0][f"input:{name}"], record.inputs.get(name, {}))


def _ask(
    resources: Iterable[Resource], known: Mapping[Asker, Observation], world: World, origins: Origins
) -> tuple[dict[Asker, Observation], dict[Address, str]]:
    asked: dict[bytes, Request] = {}
    wanted: list[tuple[Address, str, bytes, Request]] = []
    for resource in resources:
        for name, request in resource.inputs.items():
            if (resource.address, name) not in known:
                identity = canonical([request.door, dict(request.arguments)])
                asked.setdefault(identity, request)
                wanted.append((resource.address, name, identity, request))
    answers = dict(zip(asked, world.observe(list(asked.values())), strict=True))
    inputs: dict[Asker, Observation] = {}
    deferred: dict[Address, str] = {}
    problems: list[Diagnostic] = []
    for address, name, identity, request in wanted:
        answer = answers[identity]
        if isinstance(answer, Deferred):
            deferred[address] = answer.message
        elif isinstance(answer, WorldError):
            origin = origins.of(address, request.field)
            problems.append(Diagnostic(answer.code, answer.message, address, request.field, origin, answer.hint))
        elif isinstance(answer, Exception):
            raise answer
        else:
            inputs[address, name] = answer
    if problems:
        raise SpecError(problems)
    return inputs, deferred


def _look(records: Iterable[Record], kinds: Mapping[str, Kind], world: World) -> dict[str, Observation]:
    kept = [record for record in records if record.address.kind in kinds and kinds[record.address.kind].keeps]
    return {str(record.address): kinds[record.address.kind].observe(record, world) for record in kept}
