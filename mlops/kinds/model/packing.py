"""Packing: a fitted estimator becomes a model folder, as it will be served, once it has answered its own input example.

Imported inside the fit step only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlops.kinds.model import frames, lessons
from mlops.kinds.model.errors import ModelError
from mlops.serving import folders, onnx_files, predictors, protocols
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.signatures import Output, Signature, conform
from mlops.serving.sklearn_files import dump_sklearn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from mlops.core.worlds import Place
    from mlops.kinds.model.fitting import Fit
    from mlops.kinds.model.frames import Shape

# Histogram boosting keeps a partial of one of its own functions; what a partial holds is looked at by itself.
_TRUSTED = ("sklearn", "numpy", "scipy", "functools.partial")
_MOST_PROBES = 4000  # rows on which a graph is compared: a second of a forest of 1,000 trees
_FEW_PROBES = 20  # and of these as many again for each column that may be missing or hold a text never seen
_UNSEEN = "\ufdd0 a text that nobody has seen"  # begins with a character that is none


def pack(folder: Path, model: Any, shape: Shape, op: Fit, frame: pd.DataFrame, place: Place) -> dict[str, Any]:
    """Write the folder of `model`, which was fitted on rows of `shape`; `frame` gives the input example and the rows for `onnx`.

    Return what the record says of the graph: how it compares with the estimator, or why there is none.

    Raises:
        ModelError: the model cannot be stored, holds types that nobody trusts, or does not answer its input example.
    """
    if op.format == "joblib" and not place.allow.pickle:
        message = "the project does not allow pickles, and `format: joblib` is one"
        raise ModelError(message, "use skops, or in conf/config.yaml itself: `allow: {pickle: true}`")
    file = folder / f"model.{op.format}"
    classes = classes_of(model)
    try:
        trusted = _trusted(dump_sklearn(model, file), (*_TRUSTED, *place.allow.estimators, *op.trusted), Path(place.root, "src"))
        manifest = folders.Manifest(
            signature=shape.signature(_outputs(model, classes)),
            flavor="sklearn",
            layout=shape.layout,
            file=file.name,
            trusted=trusted,
            allow_pickle=op.format == "joblib",
            categories=shape.categories,
        )
        predictor = predictors.SklearnPredictor(manifest, model)
        manifest, facts = _with_graph(folder, predictor, model, frame)
        typical = frames.typical(frame, shape.inputs)
        folders.write(folder, manifest, protocols.request_body(manifest.signature, typical))
        lessons.write(folder, lessons.Lesson(label=op.label, positive=lessons.positive_of(classes, op.positive)))
        predictor.predict(typical)  # as stored, it is loaded by whoever measures or serves it
    except FolderError as error:
        message = f"the fitted model cannot be stored: {error}"
        hint = "use estimators that skops can hold, or `format: joblib` where conf/config.yaml allows pickle"
        raise ModelError(message, hint) from error
    except (BadRequestError, ModelFailedError) as error:
        message = f"the fitted model does not answer its own input example: {error}"
        raise ModelError(message, f"it is asked with the columns {', '.join(each.name for each in shape.inputs)}") from error
    return facts


def _with_graph(
    folder: Path, predictor: predictors.SklearnPredictor, model: Any, frame: pd.DataFrame
) -> tuple[folders.Manifest, dict[str, Any]]:
    """Write the model's graph into the folder where there is one; return the manifest that says so, and the facts."""
    manifest = predictor.manifest
    try:
        graph = onnx_files.convert(
            model, manifest, predictor.predict, _probes(manifest.signature, frame), folder / onnx_files.FILE
        )
    except onnx_files.NotConvertedError as error:
        return manifest, {"onnx": f"none, because {error}"}
    facts = {"parity": graph.parity, "compared": graph.rows, "datatype": graph.datatype}
    return msgspec.structs.replace(manifest, onnx=graph), {"onnx": facts}


def _probes(signature: Signature, frame: pd.DataFrame) -> dict[str, Any]:
    """Return columns on which the two forms are compared.

    Training rows, and of those some again without the value of each column that may be missing, and some with a text that no row has in each
    column that takes any text.
    """
    every = -(-len(frame) // _MOST_PROBES)
    known = conform(signature, frames.columns_for(signature, frame.iloc[::every]))
    few = {name: array[:_FEW_PROBES] for name, array in known.items()}
    changed = []
    for column in signature.inputs:
        if column.nullable:
            gap = None if column.datatype == "BYTES" else np.nan
            changed.append(few | {column.name: np.full(len(few[column.name]), gap, column.dtype)})
        if column.datatype == "BYTES" and not frames.allowed(column):
            changed.append(few | {column.name: np.full(len(few[column.name]), _UNSEEN, object)})
    return {name: np.concatenate([known[name], *(each[name] for each in changed)]) for name in known}


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


def _is_below(name: str, source: Path) -> bool:
    """Tell whether the type `name` comes from a module in the folder `source`."""
    file = getattr(sys.modules.get(name.rpartition(".")[0]), "__file__", None)
    return file is not None and Path(file).is_relative_to(source)


def _trusted(types: Sequence[str], prefixes: Sequence[str], source: Path) -> tuple[str, ...]:
    own = [each for each in types if _is_below(each, source)]
    if own:
        message = (
            f"the fitted model holds types of the project's own code, which are not there where it is served: {', '.join(own)}"
        )
        raise ModelError(message, "return an estimator that is made of scikit-learn's types only")
    strangers = [each for each in types if not any(each == prefix or each.startswith(f"{prefix}.") for prefix in prefixes)]
    if strangers:
        message = f"the fitted model holds types that are not trusted: {', '.join(strangers)}"
        raise ModelError(message, "look at what they do when loaded, then list them under `trusted:`")
    return tuple(types)
