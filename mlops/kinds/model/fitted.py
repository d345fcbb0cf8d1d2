"""Fitting in this process: an estimator from YAML, or the project's own function; imported inside the step only."""

from __future__ import annotations

import dataclasses
import random
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import pandas as pd

from mlops.core.errors import StalePlan
from mlops.core.ops import Made
from mlops.core.worlds import Request
from mlops.kinds.model import estimators, frames, packing, preprocessing
from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.pinning import pinned
from mlops.kinds.model.recipes import ByEstimator, ByFunction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops.core.worlds import World
    from mlops.kinds.model.fitting import Fit
    from mlops.kinds.model.frames import Shape
    from mlops.kinds.model.preprocessing import Prepared

_MOST_WARNINGS = 5
_FRAMES_SHOWN = 5


def make(op: Fit, world: World) -> Made:
    """Fit by the op's recipe and keep the folder.

    Raises:
        ModelError: the data, the spec or the project's function is at fault.
    """
    frame = world.tables.load(world.artifacts.file(op.train))
    names = frames.features_of(frame, op.label, op.features)
    truth = frames.truth(frame, op.label)
    world.report.progress(f"fitting on {len(frame)} rows, {len(names)} features")
    with _listening() as heard, pinned(op.threads):
        start = world.clock.monotonic()
        model, shape = _fit(op, world, frame[names], truth)
        seconds = world.clock.monotonic() - start
        folder = world.scratch()
        packed = packing.pack(folder, model, shape, op, frame, world.place)
    facts = {"rows": len(frame), "features": len(names), "fit_seconds": round(seconds, 3), **packed}
    return Made({"artifact": world.artifacts.put_folder(folder)}, facts | ({"warnings": heard} if heard else {}))


def _fit(op: Fit, world: World, features: pd.DataFrame, truth: pd.Series[Any]) -> tuple[Any, Shape]:
    # For code that draws from the global generators: a warm worker has used them before.
    random.seed(op.seed)
    np.random.seed(op.seed)  # noqa: NPY002 - the same
    if isinstance(op.recipe, ByEstimator):
        return _fit_estimator(op, op.recipe, world, features, truth)
    return _fit_function(op, cast(ByFunction, op.recipe), world, features, truth)


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect the first lines of the warnings of the block, each once."""
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield heard
    lines = dict.fromkeys(f"{each.category.__name__}: {_first_line(each.message)}" for each in found)
    heard.extend(list(lines)[:_MOST_WARNINGS])


def _first_line(message: object) -> str:
    return str(message).strip().partition("\n")[0]


# -- an estimator from YAML --------------------------------------------------------------------------------------------


def _fit_estimator(
    op: Fit, recipe: ByEstimator, world: World, features: pd.DataFrame, truth: pd.Series[Any]
) -> tuple[Any, Shape]:
    allowed = world.place.allow.estimators
    estimator = estimators.make(recipe.estimator, recipe.params, allowed, seed=op.seed, threads=op.threads)
    target = _target(truth, recipe.estimator, estimator)
    prepared = preprocessing.decide(features, recipe.preprocess, estimator)
    shape = frames.shape_of(features, _nullable(features, prepared, recipe.estimator, estimator))
    model = preprocessing.pipeline(prepared, estimator, by_position=shape.layout == "array")
    try:
        model.fit(shape.rows(features), target)
    except (ValueError, TypeError) as error:  # scikit-learn's way to say that data or parameters do not fit
        message = f"{recipe.estimator} cannot be fitted: {_first_line(error)}"
        raise ModelError(message, "change `params`, `preprocess` or the data") from error
    return model, shape


def _target(truth: pd.Series[Any], path: str, estimator: Any) -> Any:
    """Return the label as the estimator takes it: an array of its values, or float64 for a regressor."""
    from sklearn.base import is_classifier, is_regressor

    if is_classifier(estimator):
        return _classes(truth)
    if not is_regressor(estimator):
        message = f"{path} is neither a classifier nor a regressor"
        raise ModelError(message, "use one; what prepares columns is declared under `preprocess:`")
    if frames.datatype(truth.dtype) == "BYTES":
        message = f"the label '{truth.name}' is text, and {path} predicts numbers"
        raise ModelError(message, "use a classifier, or a label of numbers")
    return truth.astype("float64").to_numpy()


def _classes(truth: pd.Series[Any]) -> Any:
    values = frames.plain_values(truth)
    classes = sorted({str(value) for value in values})
    if len(classes) == 1:
        message = f"the label '{truth.name}' has one value only in all {len(values)} rows: {classes[0]}"
        raise ModelError(message, "a classifier needs two at least: check the data, the split, or stratify by the label")
    return np.array(values, dtype=object if isinstance(values[0], str) else None)


def _nullable(features: pd.DataFrame, prepared: Mapping[str, Prepared], path: str, estimator: Any) -> dict[str, bool]:
    """Return which columns may be missing when the model is asked: where it does something about it, seen in training or not."""
    takes = preprocessing.takes_missing(estimator)
    nullable = {name: takes or each.impute != "none" or each.encode == "onehot" for name, each in prepared.items()}
    gaps = {name: int(features[name].isna().sum()) for name, handles in nullable.items() if not handles}
    told = [f"'{name}' ({count} of {len(features)} rows)" for name, count in gaps.items() if count]
    if told:
        message = f"{path} does not take missing values, and these features have some: {', '.join(told)}"
        name = next(name for name, count in gaps.items() if count)
        raise ModelError(message, f"for example `preprocess: {{columns: {{{name}: {{impute: most_frequent}}}}}}`")
    return nullable


# -- a function of the project -----------------------------------------------------------------------------------------


def _fit_function(op: Fit, recipe: ByFunction, world: World, features: pd.DataFrame, truth: pd.Series[Any]) -> tuple[Any, Shape]:
    _check_code(recipe, world)
    function = world.code.load(recipe.python)
    gaps = {str(name): bool(features[name].isna().any()) for name in features.columns}
    table = dataclasses.replace(frames.shape_of(features, gaps), layout="frame")
    train = cast(pd.DataFrame, table.rows(features)).assign(**{op.label: frames.plain_values(truth)})
    try:
        model = function(train, op.label, dict(recipe.params), op.seed)
    except (Exception, SystemExit) as error:
        raise _failed(recipe.python, error, world.root) from error
    if not callable(getattr(model, "predict", None)):
        what = "nothing" if model is None else f"a {type(model).__name__}, which has no predict"
        message = f"{recipe.python} returned {what}"
        raise ModelError(message, "return a fitted estimator: fit(train, label, params, seed) -> estimator")
    return model, _asked(model, table, features)


def _check_code(recipe: ByFunction, world: World) -> None:
    """Refuse code that is not what was planned: the outputs would be kept under the wrong key."""
    (answer,) = world.observe([Request("code", {"entry": recipe.python}, "python")])
    if isinstance(answer, Exception):
        raise answer
    if answer.value != recipe.code:
        message = f"the code that {recipe.python} imports changed after the plan was made"
        raise StalePlan(message, "plan again")


def _asked(model: Any, table: Shape, features: pd.DataFrame) -> Shape:
    """Return the shape in which the function's model is asked.

    Only the columns that it was fitted on, where it tells; a matrix where it was fitted on one; with gaps where it takes them.
    """
    by_name = {each.name: each for each in table.inputs}
    chosen = [name for name in getattr(model, "feature_names_in_", by_name) if name in by_name]
    table = dataclasses.replace(
        table,
        inputs=tuple(by_name[name] for name in chosen),
        categories=tuple(name for name in table.categories if name in chosen),
    )
    if not hasattr(model, "feature_names_in_") and table.is_numeric:
        table = dataclasses.replace(table, layout="array")
    with_gaps = dataclasses.replace(table, inputs=tuple(msgspec.structs.replace(each, nullable=True) for each in table.inputs))
    nothing = features.head(1).reindex([-1])  # one row without a value
    try:
        model.predict(with_gaps.rows(nothing))
    except Exception:  # noqa: BLE001 - a model says in its own way that it takes no missing values
        return table
    return with_gaps


def _failed(entry: str, error: BaseException, root: Path) -> ModelError:
    """Return what the project's function raised, with the places in the project's own code, outermost first."""
    source = root / "src"
    places = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(source)]
    trace = [
        f"  {Path(each.filename).relative_to(root)}:{each.lineno} in {each.name}: {each.line}" for each in places[-_FRAMES_SHOWN:]
    ]
    message = "\n".join([f"{entry} failed: {type(error).__name__}: {error}", *trace])
    return ModelError(message, "mend the function; it is called with (train, label, params, seed)")
