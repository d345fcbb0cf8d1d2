"""Diffing: what differs between a recorded and a desired resource, field by field and step by step, as reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core import specs
from mlops.core.ops import Late, key
from mlops.core.plans import FieldChange, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops.core.ops import Template
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Origins
    from mlops.core.states import Record, StepRecord


def fields(resource: Resource | None, record: Record | None, kind: Kind | None, origins: Origins) -> tuple[FieldChange, ...]:
    """Return the fields whose values differ, sorted by path, each with where the desired value was written."""
    after = _leaves(_full(resource.body, kind)) if resource is not None else {}
    before = _leaves(_full(record.body, kind)) if record is not None else {}
    replaces = specs.marked(kind.Spec, specs.REPLACES) if kind is not None else frozenset()
    cosmetic = specs.marked(kind.Spec, specs.COSMETIC) if kind is not None else frozenset()
    changed = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            origin = origins.of(resource.address, path) if resource is not None else None
            is_replacing = record is not None and resource is not None and specs.is_marked(path, replaces)
            changed.append(
                FieldChange(path, before.get(path), after.get(path), is_replacing, specs.is_marked(path, cosmetic), origin)
            )
    return tuple(changed)


def is_same_template(template: Template, step: StepRecord) -> bool:
    """Tell whether the recorded step came from this very template, whatever its values were."""
    return key(template.digest, step.values) == step.key


def step_reasons(
    template: Template, step: StepRecord, values: Mapping[str, Any], unknown: tuple[str, ...], facts: Mapping[str, Any]
) -> Iterator[Reason]:
    """Yield why the step is not as recorded: inputs and outputs that changed, outputs that are not known yet.

    `facts` maps an input's name to (facts now, facts when recorded).
    """
    for read in template.reads:
        sort, _, source = read.partition(":")
        before, after = step.values.get(read), values.get(read)
        if read in unknown:
            continue
        if before != after:
            detail: dict[str, Any] = {"before": before, "after": after}
            if sort == "input":
                now, then = facts.get(source, ({}, {}))
                yield Reason("input", {"name": source, **detail, "facts": now, "facts_before": then})
            else:
                yield Reason("output", {"ref": source, **detail})
    if unknown:
        yield Reason("upstream", {"refs": sorted({str(Late(read).ref) for read in unknown})})


def _full(body: Mapping[str, Any], kind: Kind | None) -> Mapping[str, Any]:
    """Fill the defaults in, so that a field that was left out compares by its value; a body of older days stays as it is."""
    if kind is None:
        return body
    try:
        return kind.Spec.model_validate(body).model_dump(mode="json")
    except ValueError:
        return body


def _leaves(value: object, path: str = "") -> dict[str, Any]:
    """Return {dotted path: leaf}; lists are leaves, since people read them whole."""
    if isinstance(value, dict) and (value or not path):
        return {
            deeper: leaf
            for name, item in value.items()
            for deeper, leaf in _leaves(item, f"{path}.{name}" if path else name).items()
        }
    return {path: value} if value is not None else {}
