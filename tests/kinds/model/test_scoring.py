"""Every metric is scikit-learn's number; where the rows do not define it, it is NaN and no exception or warning."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn import metrics as sk

from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.metrics import METRICS
from mlops.kinds.model.scoring import Predictions, as_json, positions, score

CLASSIFICATION = [name for name, each in METRICS.items() if each.purpose == "classification"]
REGRESSION = [name for name, each in METRICS.items() if each.purpose == "regression"]


@some.composite
def answers(draw, classes):
    """Return what a model of so many classes might answer, with labels that need not be the likeliest."""
    rows = draw(some.integers(1, 30))
    chance = np.random.default_rng(draw(some.integers(0, 2**32)))
    return Predictions(
        truth=chance.integers(0, classes, rows),
        labels=chance.integers(0, classes, rows),
        probabilities=chance.dirichlet(np.ones(classes), rows).round(2).clip(0.01, 0.98),
        classes=tuple("abcd"[:classes]),
        positive=draw(some.integers(0, 1)),
    )


def normal(found):
    """Return the answers with probabilities that sum to 1 exactly."""
    chances = found.probabilities / found.probabilities.sum(axis=1, keepdims=True)
    return Predictions(found.truth, found.labels, chances, found.classes, found.positive)


@settings(max_examples=60, deadline=None)
@given(answers(2))
def test_of_two_classes_the_positive_one_counts(found):
    """Binary metrics are scikit-learn's with the positive class as 1."""
    found = normal(found)
    truth, labels = found.truth == found.positive, found.labels == found.positive
    chances = found.probabilities[:, found.positive]
    assert score("brier", found) == pytest.approx(sk.brier_score_loss(truth, chances))
    assert score("accuracy", found) == pytest.approx(sk.accuracy_score(truth, labels))
    assert score("log_loss", found) == pytest.approx(sk.log_loss(truth, chances, labels=[False, True]))
    for name in ("f1", "precision", "recall"):
        expected = getattr(sk, f"{name}_score")(truth, labels, zero_division=np.nan)
        assert score(name, found) == pytest.approx(expected, nan_ok=True)
    if len(set(found.truth)) == 2:
        assert score("roc_auc", found) == pytest.approx(sk.roc_auc_score(truth, chances))
        assert score("pr_auc", found) == pytest.approx(sk.average_precision_score(truth, chances))
        assert score("balanced_accuracy", found) == pytest.approx(sk.balanced_accuracy_score(truth, labels))
    else:
        assert math.isnan(score("roc_auc", found))


@settings(max_examples=60, deadline=None)
@given(answers(4))
def test_of_many_classes_the_plain_mean_counts(found):
    """With more classes metrics are means over the classes that occur."""
    found = normal(found)
    occurring = np.unique(found.truth)
    for name in ("f1", "precision", "recall"):
        expected = getattr(sk, f"{name}_score")(found.truth, found.labels, labels=occurring, average="macro", zero_division=0)
        assert score(name, found) == pytest.approx(expected)
    hits = np.eye(4)[found.truth]
    assert score("brier", found) == pytest.approx(
        np.mean([((row - hit) ** 2).sum() for row, hit in zip(found.probabilities, hits, strict=True)])
    )
    assert score("log_loss", found) == pytest.approx(sk.log_loss(found.truth, found.probabilities, labels=range(4)))
    if len(occurring) == 4:
        assert score("roc_auc", found) == pytest.approx(sk.roc_auc_score(found.truth, found.probabilities, multi_class="ovr"))
        assert score("pr_auc", found) == pytest.approx(sk.average_precision_score(hits, found.probabilities, average="macro"))


@pytest.mark.parametrize("name", REGRESSION)
def test_errors_are_in_the_labels_unit(name):
    """Hand-worked: errors 1, 0, 3 of truths 2, 4, 8."""
    found = Predictions(np.array([2.0, 4.0, 8.0]), np.array([3.0, 4.0, 5.0]))
    expected = {
        "mae": 4 / 3,
        "median_ae": 1,
        "rmse": math.sqrt(10 / 3),
        "mape": (0.5 + 0 + 0.375) / 3,
        "r2": 1 - 10 / ((2 - 14 / 3) ** 2 + (4 - 14 / 3) ** 2 + (8 - 14 / 3) ** 2),
    }
    assert score(name, found) == pytest.approx(expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_no_rows_define_no_metric(name):
    """Without rows every metric is NaN, and null in JSON."""
    classes = ("a", "b") if name in CLASSIFICATION else ()
    empty = np.array([], dtype=np.int64)
    found = Predictions(empty, empty, np.empty((0, 2)), classes)
    assert math.isnan(score(name, found))
    assert as_json(score(name, found)) is None


def test_one_row_has_no_r2():
    """R² compares with a variance, which one row does not have."""
    assert math.isnan(score("r2", Predictions(np.array([1.0]), np.array([1.0]))))


@pytest.mark.parametrize(("name", "worse"), [("roc_auc", 0.02), ("log_loss", -0.02), ("r2", 0.02), ("mae", -0.02)])
def test_worse_has_the_sign_of_the_metric(name, worse):
    """From 0.80 to 0.78 a metric is worse where greater is better, and better where it is not."""
    assert METRICS[name].worse_by(0.78, 0.80) == pytest.approx(worse)


def test_a_label_that_no_class_has_is_told():
    """Held-out labels that the model has never seen are an error with the values."""
    with pytest.raises(ModelError, match="values that the model has never seen: maybe"):
        positions(["yes", "maybe", "no"], ("no", "yes"))
