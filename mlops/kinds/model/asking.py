"""Asking: a kept model folder answers for every row of a table; used by `evaluating` and by the test kind, inside steps only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.kinds.model import frames, lessons, scoring
from mlops.kinds.model.errors import ModelError
from mlops.serving import onnx_files, predictors
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mlops.kinds.model.lessons import Lesson
    from mlops.serving.predictors import Predictor


_MOST_COMPARED = 4000  # held-out rows on which the graph is asked as well


@dataclass(frozen=True, slots=True)
class Judged:
    """A model with what it is judged by."""

    predictor: Predictor
    lesson: Lesson


def load(folder: Path) -> Judged:
    """Load a model's folder.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        return Judged(predictors.load(folder), lessons.read(folder))
    except FolderError as error:
        message = f"the model cannot be loaded: {error}"
        raise ModelError(message) from error


def predictions(judged: Judged, frame: pd.DataFrame) -> scoring.Predictions:
    """Return truth and answers for every row of `frame`, by the very code that serves.

    Raises:
        ModelError: the table does not fit the model, or the model fails on it.
    """
    truth = frames.truth(frame, judged.lesson.label)
    classes = _classes(judged, truth)
    try:
        answers = judged.predictor.predict(frames.columns_for(judged.predictor.signature, frame))
    except BadRequestError as error:
        message = f"the held-out rows do not fit what the model takes: {error}"
        hint = "where training saw no missing values, say how they are filled: `preprocess: {numeric: {impute: median}}`"
        raise ModelError(message, hint) from error
    except ModelFailedError as error:
        message = f"the model fails on the held-out rows: {error}"
        raise ModelError(message) from error
    if not classes:
        return scoring.Predictions(truth.to_numpy(dtype=np.float64), answers["predict"].astype(np.float64))
    positive = lessons.positive_of(classes, judged.lesson.positive)
    return scoring.Predictions(
        scoring.positions(frames.plain_values(truth), classes),
        scoring.positions(answers["predict"].tolist(), classes),
        answers.get("predict_proba"),
        classes,
        0 if positive is None else classes.index(positive),
    )


def compared(folder: Path, judged: Judged, frame: pd.DataFrame) -> dict[str, Any]:
    """Return how the model's graph, if it has one that can be asked here, compares with the model on rows of `frame`; facts for people."""
    graph = predictors.load_fastest(folder) if judged.predictor.manifest.onnx else None
    if not isinstance(graph, predictors.OnnxPredictor):
        return {}
    columns = frames.columns_for(graph.signature, frame.head(_MOST_COMPARED))
    try:
        found = onnx_files.difference(judged.predictor.predict(columns), graph.predict(columns))
    except (onnx_files.NotConvertedError, ModelFailedError) as error:
        return {"onnx": f"differs: {error}"}
    return {"onnx": {"parity": float(f"{found:.1e}"), "compared": len(frame.head(_MOST_COMPARED))}}


def _classes(judged: Judged, truth: pd.Series[Any]) -> tuple[Any, ...]:
    """Return the classes that the output `predict` stands for; none for a model that predicts numbers.

    Raises:
        ModelError: there is no such output, or it has no classes and the label is text. A command may have left such a folder.
    """
    outputs = {output.name: output.classes or () for output in judged.predictor.signature.outputs}
    if "predict" not in outputs:
        message = f"the model has no output 'predict', only {', '.join(outputs)}"
        raise ModelError(message, "name the output with the answers so in the model's signature")
    if not outputs["predict"] and frames.datatype(truth.dtype) == "BYTES":
        message = f"the label '{truth.name}' is text, and the model's output 'predict' names no classes"
        raise ModelError(message, "give the output its `classes` in the model's signature")
    return outputs["predict"]
