"""What is wrong with a test's spec is said before anything runs, all at once, each with its field."""

from __future__ import annotations

import pytest

from mlops.composing.validating import validate
from mlops.core.addresses import Address
from mlops.core.settings import Allow
from mlops.kinds.dataset import Dataset
from mlops.kinds.model import Model
from mlops.kinds.test import Test as Kind

KIND = Kind()
MODEL = {"dataset": "dataset.credit", "label": "default", "estimator": "sklearn.linear_model.LogisticRegression"}
DATA = {
    "source": {"path": "credit.csv"},
    "columns": {"age": {"type": "int"}, "housing": {"type": "category"}, "default": {"type": "bool"}},
    "split": {"test": 0.2},
}


def problems(spec, model=None):
    """Return (path, summary) of every problem, as composing finds them."""
    found, wrong = validate(KIND.Spec, spec)
    if found is None:
        return [(each.path, each.summary.removeprefix("expected ")) for each in wrong]
    known = {"model.credit": Model.Spec.model_validate(model or MODEL), "dataset.credit": Dataset.Spec.model_validate(DATA)}
    return [(each.path, each.summary) for each in KIND.check(found, lambda ref: known.get(ref.address), Allow())]


CASES = {
    "no condition": (
        {"model": "model.credit", "checks": [{"metric": "roc_auc"}]},
        [("checks.0", "the check of roc_auc says nothing: give `min`, `max` or `max_worse`")],
    ),
    "no condition on a column": (
        {"model": "model.credit", "checks": [{"column": "age"}]},
        [("checks.0", "the check of column 'age' says nothing: give `missing`, `min`, `max`, `mean`, `values` or `unique`")],
    ),
    "no sort": (
        {"model": "model.credit", "checks": [{"min": 0.5}]},
        [("checks.0", 'a mapping with one of `metric`, `rows` and `column`, got {"min": 0.5}')],
    ),
    "unknown field": (
        {"model": "model.credit", "checks": [{"metric": "roc_auc", "min": 0.5, "severty": "warn"}]},
        [("checks.0.severty", "unknown field 'severty'")],
    ),
    "unknown metric": (
        {"model": "model.credit", "checks": [{"metric": "acuracy", "min": 0.5}]},
        [("checks.0.metric", "'acuracy' is no metric: did you mean 'accuracy'?")],
    ),
    "turned around": (
        {"model": "model.credit", "checks": [{"metric": "f1", "min": 0.9, "max": 0.1}, {"rows": {"min": 9, "max": 1}}]},
        [
            ("checks.0", "`min` 0.9 is above `max` 0.1: nothing can pass"),
            ("checks.1.rows", "`min` 9 is above `max` 1: nothing can pass"),
        ],
    ),
    "nothing to compare with": (
        {"model": "model.credit", "checks": [{"metric": "f1", "max_worse": 0}]},
        [("checks.0.max_worse", "`max_worse` compares with what serves, and the test has no `against`")],
    ),
    "edges": (
        {"model": "model.credit", "checks": [{"metric": "f1", "min": 0, "slices": [{"column": "age", "edges": [50, 30]}]}]},
        [("checks.0.slices.0.edges", "`edges` must ascend, for example [30, 50]")],
    ),
    "no check": (
        {"model": "model.credit", "checks": []},
        [("checks", "the list is empty: leave the field out, or name one at least")],
    ),
    "nothing to check": (
        {"checks": [{"metric": "f1", "min": 0}, {"rows": {"min": 1}}], "against": "rollout.credit"},
        [
            (None, "the test has neither a `model` nor a `dataset`"),
            ("against", "`against` has no meaning without a `model`"),
            ("checks.0.metric", "f1 is measured on a model, and the test has none"),
        ],
    ),
    "columns": (
        {
            "model": "model.credit",
            "checks": [{"metric": "f1", "min": 0, "slices": ["housing", "hosing"]}, {"column": "agee", "min": 18}],
        },
        [
            ("checks.0.slices.1", "the held-out rows have no column 'hosing'"),
            ("checks.1.column", "the data has no column 'agee'"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_told_with_its_field(case):
    """Each mistake has the path of its field and one sentence."""
    spec, expected = CASES[case]
    assert problems(spec) == expected


def test_a_model_that_holds_nothing_out_cannot_be_tested_without_rows():
    """Without held-out rows the test must name some."""
    checks = [{"metric": "f1", "min": 0}]
    model = {**MODEL, "holdout": None}
    assert problems({"model": "model.credit", "checks": checks}, model) == [
        ("model", "model.credit holds no rows out, and the test has no `holdout`")
    ]
    assert problems({"model": "model.credit", "holdout": "dataset.credit/test", "checks": checks}, model) == []


def test_what_a_test_reads_are_edges_and_what_it_compares_with_is_none():
    """The step reads the model's folder and held-out rows, and the baseline without waiting for the rollout."""
    spec = KIND.Spec.model_validate(
        {"model": "model.credit", "against": "rollout.credit", "checks": [{"metric": "f1", "max_worse": 0}]}
    )
    (step,) = KIND.steps(spec, Address("test.credit"))
    assert sorted(step.reads) == [
        "baseline:rollout.credit|model.credit/artifact",
        "input:runtime",
        "output:model.credit/artifact",
        "output:model.credit/holdout",
    ]
    data = KIND.Spec.model_validate({"dataset": "dataset.credit", "checks": [{"rows": {"min": 1}}]})
    (step,) = KIND.steps(data, Address("test.data"))
    assert set(step.reads) == {"input:runtime", "output:dataset.credit/table"}
