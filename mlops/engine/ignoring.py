"""Ignoring: fields that a resource's lifecycle says to ignore stay as they are recorded, whatever is written."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from mlops.core.diagnostics import Diagnostic
from mlops.core.resources import compile_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Composition
    from mlops.core.states import Record, State


def ignore(desired: Composition, state: State, kinds: Mapping[str, Kind], problems: list[Diagnostic]) -> dict[Address, Resource]:
    """Return the desired resources, with ignored fields as recorded."""
    resources = dict(desired.resources)
    for address, resource in desired.resources.items():
        record = state.records.get(address)
        if record is None or not resource.lifecycle.ignore_changes:
            continue
        try:
            resources[address] = _as_recorded(resource, record, kinds[address.kind])
        except ValueError as error:
            origin = desired.origins.of(address, "lifecycle.ignore_changes")
            summary = f"with its ignored fields as recorded the spec is not valid: {error}"
            hint = "take the field that must change out of ignore_changes"
            problems.append(Diagnostic("ignore-changes", summary, address, "lifecycle.ignore_changes", origin, hint))
    return resources


def _as_recorded(resource: Resource, record: Record, kind: Kind) -> Resource:
    body = deepcopy(dict(resource.body))
    for path in resource.lifecycle.ignore_changes:
        _copy(path.split("."), record.body, body)
    if body == resource.body:
        return resource
    return compile_spec(kind, resource.address, kind.Spec.model_validate(body), resource.lifecycle)


def _copy(parts: list[str], source: Mapping[str, Any], target: dict[str, Any]) -> None:
    """Make the value at the path in `target` that of `source`; a field that has none there has its default."""
    first, *rest = parts
    if rest:
        below, inside = source.get(first), target.get(first)
        if isinstance(inside, dict) or isinstance(below, dict):
            inside = target[first] = inside if isinstance(inside, dict) else {}
            _copy(rest, below if isinstance(below, dict) else {}, inside)
            if not inside:
                del target[first]
    elif first in source:
        target[first] = deepcopy(source[first])
    else:
        target.pop(first, None)
