"""Checking a test's spec beyond its types: everything that is checked must be there. Pure; imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.kinds.model.checking import columns_of
from mlops.kinds.test.specs import ColumnCheck, MetricCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops.core.addresses import Ref
    from mlops.core.specs import Spec as AnySpec
    from mlops.kinds.test.specs import Spec

    Find = Callable[[Ref], AnySpec | None]


def check(spec: Spec, find: Find) -> Iterator[Diagnostic]:
    """Yield every problem of the spec."""
    if spec.model is None:
        yield from _without_model(spec)
    elif spec.holdout is None and getattr(find(spec.model), "holdout", "") is None:
        summary = f"{spec.model} holds no rows out, and the test has no `holdout`"
        yield Diagnostic(
            "missing-field",
            summary,
            path="model",
            hint="for example `holdout: dataset.NAME/test`, rows that the model has not seen",
        )
    for index, each in enumerate(spec.checks):
        if isinstance(each, MetricCheck) and each.max_worse is not None and spec.against is None:
            summary = "`max_worse` compares with what serves, and the test has no `against`"
            yield Diagnostic(
                "missing-field", summary, path=f"checks.{index}.max_worse", hint="for example `against: rollout.NAME`"
            )
    yield from _columns(spec, find)


def _without_model(spec: Spec) -> Iterator[Diagnostic]:
    if spec.dataset is None:
        summary = "the test has neither a `model` nor a `dataset`"
        yield Diagnostic("missing-field", summary, hint="for example `model: model.NAME`")
    for name in ("holdout", "against"):
        if getattr(spec, name) is not None:
            summary = f"`{name}` has no meaning without a `model`"
            yield Diagnostic("conflict", summary, path=name, hint="add `model`, or leave it out")
    for index, each in enumerate(spec.checks):
        if isinstance(each, MetricCheck):
            summary = f"{each.metric} is measured on a model, and the test has none"
            yield Diagnostic("missing-field", summary, path=f"checks.{index}.metric", hint="for example `model: model.NAME`")


def _columns(spec: Spec, find: Find) -> Iterator[Diagnostic]:
    """Yield columns that the datasets' specs rule out; where a spec does not say, the step finds out."""
    held_out = spec.holdout or getattr(spec.model and find(spec.model), "dataset", None)
    sliced = columns_of(held_out and find(held_out))
    looked_at = sliced if spec.dataset is None else columns_of(find(spec.dataset))
    for index, each in enumerate(spec.checks):
        if isinstance(each, ColumnCheck) and looked_at is not None and each.column not in looked_at:
            hint = did_you_mean(each.column, looked_at, "its columns")
            yield Diagnostic(
                "missing-column", f"the data has no column '{each.column}'", path=f"checks.{index}.column", hint=hint
            )
        for place, slicing in enumerate(each.slices if isinstance(each, MetricCheck) else ()):
            if sliced is not None and slicing.column not in sliced:
                hint = did_you_mean(slicing.column, sliced, "its columns")
                summary = f"the held-out rows have no column '{slicing.column}'"
                yield Diagnostic("missing-column", summary, path=f"checks.{index}.slices.{place}", hint=hint)
