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


def fields(resource: Resource, record: Record, kind: Kind, origins: Origins) -> tuple[FieldChange, ...]:
    """Return the fields whose values differ, sorted by path, each with where the desired value was written."""
    if resource.digest == record.digest:
        return ()
    after = _leaves(_full(resource.body, kind))
    before = _leaves(_full(record.body, kind))
    replaces = specs.marked(kind.Spec, specs.REPLACES)
    cosmetic = specs.marked(kind.Spec, specs.COSMETIC)
    return tuple(
        FieldChange(
            path,
            before.get(path),
            after.get(path),
            specs.is_marked(path, replaces),
            specs.is_marked(path, cosmetic),
            origins.of(resource.address, path),
        )
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )


def is_same_template(template: Template, step: StepRecord) -> bool:
    """Tell whether the recorded step came from this very template, whatever its values were."""
    return key(template.digest, template.reads, step.values) == step.key


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


def _full(body: Mapping[str, Any], kind: Kind) -> Mapping[str, Any]:
    """Fill the defaults in, so that a field that was left out compares by its value; a body of older days stays as it is."""
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
