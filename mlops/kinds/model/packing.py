"""Packing: a fitted estimator becomes a model folder, as it will be served, and is loaded and asked once before anyone relies on it.

Imported inside the fit step only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.kinds.model import frames, lessons
from mlops.kinds.model.errors import ModelError
from mlops.serving import folders, predictors, protocols
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.signatures import Output
from mlops.serving.sklearn_files import dump_sklearn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from mlops.kinds.model.fitting import Fit
    from mlops.kinds.model.frames import Shape

# Histogram boosting keeps a partial of one of its own functions; what a partial holds is looked at by itself.
_TRUSTED = ("sklearn", "numpy", "scipy", "functools.partial")


def pack(folder: Path, model: Any, shape: Shape, op: Fit, frame: pd.DataFrame, allowed: Sequence[str]) -> None:
    """Write the folder of `model`, which was fitted on rows of `shape`; `frame` gives the input example.

    Raises:
        ModelError: the model cannot be stored, holds types that nobody trusts, or cannot be loaded and asked again.
    """
    file = folder / f"model.{op.format}"
    classes = classes_of(model)
    try:
        trusted = _trusted(dump_sklearn(model, file), (*_TRUSTED, *allowed, *op.trusted))
        manifest = folders.Manifest(
            signature=shape.signature(_outputs(model, classes)),
            flavor="sklearn",
            layout=shape.layout,
            file=file.name,
            trusted=trusted,
            allow_pickle=op.format == "joblib",
            categories=shape.categories,
        )
        typical = frames.typical(frame, shape.inputs)
        folders.write(folder, manifest, protocols.request_body(manifest.signature, typical))
        lessons.write(folder, lessons.Lesson(label=op.label, positive=lessons.positive_of(classes, op.positive)))
        predictors.load(folder).predict(typical)
    except (FolderError, BadRequestError, ModelFailedError) as error:
        message = f"the fitted model cannot be stored and served: {error}"
        raise ModelError(
            message, "use estimators that skops can hold, or `format: joblib` where conf/config.yaml allows pickle"
        ) from error


def classes_of(model: Any) -> tuple[Any, ...]:
    """Return a classifier's classes as Python's own values; none for a regressor."""
    found = getattr(model, "classes_", ())
    return tuple(found.tolist() if hasattr(found, "tolist") else found)


def _outputs(model: Any, classes: tuple[Any, ...]) -> tuple[Output, ...]:
    if not classes:
        return (Output("predict", "FP64", (-1,)),)
    datatypes = {bool: "BOOL", int: "INT64", float: "FP64"}
    labels = Output("predict", datatypes.get(type(classes[0]), "BYTES"), (-1,), classes)
    if not hasattr(model, "predict_proba"):
        return (labels,)
    return (labels, Output("predict_proba", "FP64", (-1, len(classes)), classes))


def _trusted(types: Sequence[str], prefixes: Sequence[str]) -> tuple[str, ...]:
    strangers = [each for each in types if not any(each == prefix or each.startswith(f"{prefix}.") for prefix in prefixes)]
    if strangers:
        message = f"the fitted model holds types that are not trusted: {', '.join(strangers)}"
        raise ModelError(message, "look at what they do when loaded, then list them under `trusted:`")
    return tuple(types)
