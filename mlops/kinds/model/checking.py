"""Checking a model's spec beyond its types: fields that go together, and what the project allows. Pure; imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic, Severity, did_you_mean
from mlops.kinds.dataset import Dataset
from mlops.kinds.dataset.specs import DatasetSpec
from mlops.kinds.model import estimators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlops.core import specs
    from mlops.core.addresses import Ref
    from mlops.core.settings import Allow
    from mlops.kinds.model.specs import Spec

RECIPES = ("estimator", "python", "command")
_ONLY_WITH = {
    "preprocess": ("estimator",),
    "packages": RECIPES,
    "files": ("command",),
    "outputs": ("command",),
    "format": ("estimator", "python"),
    "trusted": ("estimator", "python"),
}
_SCRIPTS = (".py", ".sh", ".r", ".jl")


def check(spec: Spec, find: Callable[[Ref], specs.Spec | None], allow: Allow) -> Iterable[Diagnostic]:
    """Yield every problem of the spec."""
    yield from _recipe(spec)
    yield from _fields(spec)
    yield from _data(spec, find(spec.dataset))
    yield from _allowed(spec, allow)
    if spec.command is not None:
        yield from _command(spec)


def columns_of(dataset: specs.Spec | None) -> frozenset[str] | None:
    """Return the columns that a dataset's table is sure to have, and no others; None where only the data can tell."""
    if not isinstance(dataset, DatasetSpec) or dataset.columns is None or dataset.extra_columns == "keep":
        return None
    return frozenset(dataset.columns)


def _recipe(spec: Spec) -> Iterator[Diagnostic]:
    given = [name for name in RECIPES if getattr(spec, name) is not None]
    if not given:
        summary = "nothing says how the model is made"
        yield Diagnostic("missing-field", summary, hint="write one of `estimator`, `python` and `command`")
    for name in given[1:]:
        summary = f"`{name}` and `{given[0]}` cannot both say how the model is made"
        yield Diagnostic("conflict", summary, path=name, hint="keep one of them")


def _fields(spec: Spec) -> Iterator[Diagnostic]:
    given = {name for name in RECIPES if getattr(spec, name) is not None}
    for name, recipes in _ONLY_WITH.items():
        if given and name in spec.model_fields_set and getattr(spec, name) and not given & set(recipes):
            summary = f"`{name}` has no meaning for a model made by `{min(given)}`"
            yield Diagnostic("conflict", summary, path=name, hint=f"it goes with {' and '.join(recipes)}; leave it out")
    for index, name in enumerate(spec.features or ()):
        if name == spec.label:
            summary = f"the label '{name}' is among the features"
            yield Diagnostic(
                "conflict", summary, path=f"features.{index}", hint="a model that sees the answer learns nothing: leave it out"
            )
        if name in (spec.features or ())[:index]:
            yield Diagnostic("conflict", f"the feature '{name}' is named twice", path=f"features.{index}", hint="leave one out")
    if spec.holdout is not None and spec.holdout == spec.train:
        summary = f"the held-out rows are the training rows, '{spec.train}'"
        yield Diagnostic("conflict", summary, path="holdout", hint="name another split, or null to hold nothing out")
    if spec.metrics and spec.holdout is None:
        summary = "`metrics` are measured on held-out rows, and `holdout` is null"
        yield Diagnostic("conflict", summary, path="metrics", hint="name the split to hold out, or leave `metrics` out")


def _data(spec: Spec, dataset: specs.Spec | None) -> Iterator[Diagnostic]:
    """Yield splits and columns that the dataset's spec rules out; where it does not say, the fit step finds out."""
    if not isinstance(dataset, DatasetSpec):
        return
    outputs = Dataset().outputs(dataset)
    for field, output in (("train", spec.train), ("holdout", spec.holdout)):
        if output is not None and output not in outputs:
            hint = f"its outputs: {', '.join(outputs)}; give it a `split`, or set `{field}:`" + (
                " (null: none)" if field == "holdout" else ""
            )
            yield Diagnostic("missing-output", f"{spec.dataset} has no output '{output}'", path=field, hint=hint)
    columns = columns_of(dataset)
    named = {"label": spec.label, **{f"features.{index}": name for index, name in enumerate(spec.features or ())}}
    named |= {f"preprocess.columns.{name}": name for name in spec.preprocess.columns}
    for path, name in named.items() if columns is not None else ():
        if name not in (columns or ()):
            hint = did_you_mean(name, columns or (), "its columns")
            yield Diagnostic("missing-column", f"{spec.dataset} has no column '{name}'", path=path, hint=hint)


def _allowed(spec: Spec, allow: Allow) -> Iterator[Diagnostic]:
    for path in estimators.paths(spec.estimator, spec.params) if spec.estimator else ():
        reason = estimators.refused(path, allow.estimators)
        if reason:
            field = "estimator" if path == spec.estimator else "params"
            yield Diagnostic("not-allowed", reason, path=field, hint=estimators.allow_hint(path))
    if spec.command is not None and not allow.commands:
        summary = "the project does not allow models that are made by a command"
        yield Diagnostic("not-allowed", summary, path="command", hint="in conf/config.yaml itself: `allow: {commands: true}`")
    if spec.format == "joblib" and not allow.pickle:
        summary = "the project does not allow pickles, and `format: joblib` is one"
        hint = "use skops, or in conf/config.yaml itself: `allow: {pickle: true}`; a pickle runs any code when it is loaded"
        yield Diagnostic("not-allowed", summary, path="format", hint=hint)


def _command(spec: Spec) -> Iterator[Diagnostic]:
    if spec.outputs is None:
        summary = "a command needs `outputs`"
        hint = "for example `outputs: {artifact: model/, metrics: metrics.json}`, paths in the folder where it runs"
        yield Diagnostic("missing-field", summary, path="command", hint=hint)
    for index, argument in enumerate(spec.command or ()):
        if argument.lower().endswith(_SCRIPTS) and argument not in spec.files:
            summary = f"'{argument}' is not among `files`: the command does not find it, and a change of it trains nothing anew"
            yield Diagnostic(
                "missing-file", summary, path=f"command.{index}", hint=f"files: [{argument}]", severity=Severity.WARNING
            )
