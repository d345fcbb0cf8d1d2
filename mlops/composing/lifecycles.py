"""Lifecycles: the mapping `lifecycle:` that may stand in every resource's file, beside the fields of its spec."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops.composing.validating import validate
from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.core.resources import PLAIN, Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.resources import Kind

KEY = "lifecycle"


def split(data: Any, kind: Kind) -> tuple[Any, Lifecycle, list[Diagnostic]]:
    """Return the fields of the spec, the lifecycle beside them, and what is wrong with it."""
    if not isinstance(data, dict) or KEY not in data:
        return data, PLAIN, []
    fields = {name: value for name, value in data.items() if name != KEY}
    found, wrong = validate(Lifecycle, data[KEY])
    if found is not None:
        wrong = [*_misfits(found, kind)]
    return fields, found or PLAIN, [replace(one, path=f"{KEY}.{one.path}".removesuffix(".")) for one in wrong]


def _misfits(found: Lifecycle, kind: Kind) -> Iterator[Diagnostic]:
    known = kind.Spec.model_fields
    for index, path in enumerate(found.ignore_changes):
        field = path.partition(".")[0]
        if field not in known:
            yield Diagnostic(
                "unknown-field",
                f"a {kind.name} has no field '{field}'",
                path=f"ignore_changes.{index}",
                hint=did_you_mean(field, known),
            )
    if found.create_before_destroy and not kind.can_overlap:
        summary = f"a {kind.name} cannot have its replacement beside it" if kind.keeps else f"a {kind.name} is never destroyed"
        hint = (
            "it is replaced in place; take the field out" if kind.keeps else "what is made stays in the store; take the field out"
        )
        yield Diagnostic("create-before-destroy", summary, path="create_before_destroy", hint=hint)
