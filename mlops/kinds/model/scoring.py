"""Scores: a metric's value for predictions, computed by scikit-learn; imported inside steps only.

Used by `evaluating` (the model's own step) and by the test kind. A metric that is undefined on the rows at hand, such as
roc_auc where only one class occurs, is NaN and never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics as sk

from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.metrics import METRICS, Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

_BINARY = 2
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """The truth and a model's answers for n rows.

    Classification: `truth` and `labels` [n] are positions in `classes`; `probabilities` [n, k] or None; `positive` is the
    position that binary metrics count. Regression: `truth` and `labels` [n] are float64 in the label's unit, `classes` is empty.
    """

    truth: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float64] | None = None
    classes: tuple[bool | int | float | str, ...] = ()
    positive: int = 1

    @property
    def purpose(self) -> Purpose:
        """Which sort of metric applies."""
        return "classification" if self.classes else "regression"

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes, one of which is the positive one."""
        return len(self.classes) == _BINARY

    @property
    def chances(self) -> npt.NDArray[np.float64]:
        """The probabilities [n, k]; raise ModelError where the model gives none."""
        if self.probabilities is None:
            message = "the model gives no probabilities, which this metric needs"
            raise ModelError(message, "choose accuracy, f1, precision or recall, or an estimator with predict_proba")
        return self.probabilities

    def of(self, rows: npt.NDArray[np.bool_]) -> Predictions:
        """Return those rows whose mask is true."""
        chances = None if self.probabilities is None else self.probabilities[rows]
        return Predictions(self.truth[rows], self.labels[rows], chances, self.classes, self.positive)


def score(name: str, predictions: Predictions) -> float:
    """Return the metric `name`, or NaN where these rows do not define it.

    Raises:
        ModelError: the metric is not one for this sort of model, or needs probabilities that the model does not give.
    """
    metric = METRICS[name]
    if metric.purpose != predictions.purpose:
        known = [other for other, each in METRICS.items() if each.purpose == predictions.purpose]
        message = f"'{name}' is a metric for {metric.purpose}, and the model does {predictions.purpose}"
        raise ModelError(message, f"choose among {', '.join(known)}")
    return float(_SCORERS[name](predictions)) if len(predictions.truth) else float("nan")


def as_json(value: float) -> float | None:
    """Return a score as JSON has it: null for NaN and infinities."""
    return float(value) if np.isfinite(value) else None


def default_metrics(predictions: Predictions) -> tuple[str, ...]:
    """Return the metrics of a model whose spec names none."""
    if predictions.purpose == "regression":
        return ("mae", "rmse", "r2")
    return ("accuracy", "f1") if predictions.probabilities is None else ("roc_auc", "accuracy", "f1", "log_loss")


def positions(values: Sequence[Any], classes: tuple[Any, ...]) -> npt.NDArray[np.int64]:
    """Return where each value stands in `classes`.

    Raises:
        ModelError: a value is not one of the classes.
    """
    order = {value: index for index, value in enumerate(classes)}
    unknown = sorted({str(value) for value in values if value not in order})
    if unknown:
        message = f"the label holds values that the model has never seen: {', '.join(unknown[:_SHOWN])}"
        raise ModelError(message, f"its classes are {', '.join(map(str, classes))}: stratify the split by the label")
    return np.array([order[value] for value in values], dtype=np.int64)


def _of_labels(function: Callable[..., float], predictions: Predictions) -> float:
    """Count the positive class; where there are more than two, take the plain mean over the classes that occur."""
    if predictions.is_binary:
        truth, labels = predictions.truth == predictions.positive, predictions.labels == predictions.positive
        return function(truth, labels, zero_division=np.nan)
    return function(
        predictions.truth, predictions.labels, labels=np.unique(predictions.truth), average="macro", zero_division=0.0
    )


def _of_values(function: Callable[..., float], predictions: Predictions) -> float:
    return function(predictions.truth, predictions.labels)


def _balanced_accuracy(predictions: Predictions) -> float:
    """Return the mean recall over the classes that occur; sklearn's own warns where the model names others."""
    occurring = np.unique(predictions.truth)
    return float(np.mean([np.mean(predictions.labels[predictions.truth == each] == each) for each in occurring]))


def _r2(predictions: Predictions) -> float:
    if len(predictions.truth) < 2:  # noqa: PLR2004 - R² compares with the variance, which one row does not have
        return float("nan")
    return float(sk.r2_score(predictions.truth, predictions.labels))


def _roc_auc(predictions: Predictions) -> float:
    """Return the area for the positive class, or the mean over one class against the rest; NaN where a class is missing."""
    if len(np.unique(predictions.truth)) < len(predictions.classes):
        return float("nan")
    if predictions.is_binary:
        hits = predictions.truth == predictions.positive
        return float(sk.roc_auc_score(hits, predictions.chances[:, predictions.positive]))
    labels = range(len(predictions.classes))
    return float(sk.roc_auc_score(predictions.truth, predictions.chances, multi_class="ovr", labels=labels))


def _pr_auc(predictions: Predictions) -> float:
    """Return the average precision of the positive class, or its mean over the classes; NaN where a class is missing."""
    wanted = [predictions.positive] if predictions.is_binary else range(len(predictions.classes))
    hits = [predictions.truth == each for each in wanted]
    if not all(each.any() for each in hits):
        return float("nan")
    chances = predictions.chances
    return float(np.mean([sk.average_precision_score(hit, chances[:, each]) for each, hit in zip(wanted, hits, strict=True)]))


def _log_loss(predictions: Predictions) -> float:
    return float(sk.log_loss(predictions.truth, predictions.chances, labels=range(len(predictions.classes))))


def _brier(predictions: Predictions) -> float:
    """Return the mean squared error of the probability of the positive class, or of all of them, summed, where there are more than two."""
    if predictions.is_binary:
        hits = predictions.truth == predictions.positive
        return float(np.mean((predictions.chances[:, predictions.positive] - hits) ** 2))
    return float(np.mean(np.sum((predictions.chances - np.eye(len(predictions.classes))[predictions.truth]) ** 2, axis=1)))


_SCORERS: Mapping[str, Callable[[Predictions], float]] = {
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "accuracy": partial(_of_values, sk.accuracy_score),
    "balanced_accuracy": _balanced_accuracy,
    "f1": partial(_of_labels, sk.f1_score),
    "precision": partial(_of_labels, sk.precision_score),
    "recall": partial(_of_labels, sk.recall_score),
    "log_loss": _log_loss,
    "brier": _brier,
    "mae": partial(_of_values, sk.mean_absolute_error),
    "median_ae": partial(_of_values, sk.median_absolute_error),
    "rmse": partial(_of_values, sk.root_mean_squared_error),
    "mape": partial(_of_values, sk.mean_absolute_percentage_error),
    "r2": _r2,
}
