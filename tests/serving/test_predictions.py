"""Answers are counted by class, by bin and by size, off the request path, with as few series as are of use."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.predictions import Predictions
from mlops.serving.signatures import Output

LABELS = Output("predict", "BYTES", (-1,), ("bad", "good"))
CHANCES = Output("predict_proba", "FP64", (-1, 2), ("bad", "good"))
NUMBER = Output("predict", "FP64", (-1,))


def counts(predictions, *, zeros=False):
    """Return (output, bucket) to count."""
    return {(output, bucket): count for output, bucket, count in predictions.samples() if count or zeros}


def counted(output, values):
    """Return what is counted of one output's values."""
    predictions = Predictions()
    predictions.expect((output,))
    predictions.add({output.name: np.asarray(values)}, len(values))
    return {bucket: count for (_, bucket), count in counts(predictions).items()}


def test_every_class_and_bin_stands_at_zero_from_the_start():
    """Labels and bins of probabilities are known before the first request; of two classes the last one's bins are kept."""
    predictions = Predictions()
    predictions.expect((LABELS, CHANCES))
    found = counts(predictions, zeros=True)
    assert set(found.values()) == {0}
    assert [bucket for output, bucket in found if output == "predict"] == ["bad", "good"]
    bins = [bucket for output, bucket in found if output == "predict_proba.good"]
    assert (len(bins), bins[0], bins[1], bins[-1]) == (20, "0:0.05", "0.05:0.1", "0.95:1")
    assert len(found) == 22


def test_labels_and_probabilities_are_counted():
    """Each row counts once in its label's bucket and once in the bin of its probability; a bin holds its upper end."""
    predictions = Predictions()
    predictions.expect((LABELS, CHANCES))
    chances = np.array([[1.0, 0.0], [0.95, 0.05], [0.94, 0.06], [0.0, 1.0]])
    predictions.add({"predict": np.array(["bad", "bad", "bad", "good"], object), "predict_proba": chances}, 4)
    assert counts(predictions) == {
        ("predict", "bad"): 3,
        ("predict", "good"): 1,
        ("predict_proba.good", "0:0.05"): 2,
        ("predict_proba.good", "0.05:0.1"): 1,
        ("predict_proba.good", "0.95:1"): 1,
    }


@pytest.mark.parametrize(
    ("datatype", "classes", "values", "expected"),
    [
        ("BOOL", (False, True), [True, False, True], {"true": 2, "false": 1}),
        ("INT64", (3, 7), [7, 7], {"7": 2}),
        ("FP64", (0.5, 1.0), [0.5], {"0.5": 1}),
        ("BYTES", None, ["a", "b", "a"], {"a": 2, "b": 1}),
    ],
)
def test_labels_of_every_datatype_are_counted_by_what_they_are(datatype, classes, values, expected):
    """A bucket bears its label as JSON would show it, without quotes."""
    array = np.array(values, object if datatype == "BYTES" else None)
    assert counted(Output("predict", datatype, (-1,), classes), array) == expected


def test_numbers_fall_into_buckets_that_grow_by_a_fourth_root_of_two():
    """1 is the upper end of its bucket, zero and what is missing stand by themselves, negatives mirror the positives."""
    found = counted(NUMBER, [1.0, 1.01, 1.9, 0.0, -1.0, math.nan, math.inf, -math.inf])
    assert found == {
        "0.840896:1": 1,
        "1:1.18921": 1,
        "1.68179:2": 1,
        "0:0": 1,
        "-1:-0.840896": 1,
        "nan": 1,
        f"{2 ** (159 / 4):.6g}:inf": 1,
        f"-inf:{-(2 ** (159 / 4)):.6g}": 1,
    }


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_a_number_lies_in_its_bucket(values):
    """LOW < x ≤ HIGH for positive numbers, and as mirrored for negative ones; nothing is lost."""
    found = counted(NUMBER, values)
    assert sum(found.values()) == len(values)
    for value in values:
        held = [bucket.split(":") for bucket in counted(NUMBER, [value])]
        ((low, high),) = [(float(low), float(high)) for low, high in held]
        slack = 1e-5 * abs(value)  # six digits of the name
        assert low - slack <= value <= high + slack


def test_the_number_of_series_is_bounded():
    """Beyond a hundred buckets an output's answers are counted as `other`; of more than ten classes no bins are kept."""
    found = counted(Output("text", "BYTES", (-1,)), np.array([f"v{index}" for index in range(300)], object))
    assert len(found) == 101
    assert found["other"] == 200
    many = Predictions()
    many.expect((Output("predict_proba", "FP64", (-1, 11), tuple(range(11))),))
    assert counts(many, zeros=True) == {}


def test_answers_are_counted_many_at_a_time_and_never_twice():
    """A thousand single rows are kept and counted together; reading counts the rest."""
    predictions = Predictions()
    predictions.expect((LABELS,))
    for index in range(2500):
        predictions.add({"predict": np.array(["good" if index % 5 else "bad"], object)}, 1)
    assert counts(predictions) == {("predict", "bad"): 500, ("predict", "good"): 2000}
    assert counts(predictions) == {("predict", "bad"): 500, ("predict", "good"): 2000}
