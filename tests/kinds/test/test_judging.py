"""A test's verdict says what was expected, what was found, and on which slice; it is an output and no exception."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from making import keep, make, world_at
from sklearn.metrics import recall_score, roc_auc_score

from mlops.kinds.model import Model
from mlops.kinds.test import Test as Kind
from mlops.serving import predictors

MODEL, TEST = Model(), Kind()
SPEC = {"dataset": "dataset.credit", "label": "default", "estimator": "sklearn.linear_model.LogisticRegression"}


def credit(rows=600, seed=1):
    draw = np.random.default_rng(seed)
    age, housing = draw.integers(18, 80, rows), draw.choice(["own", "rent", "free"], rows, p=[0.6, 0.37, 0.03])
    chance = 1 / (1 + np.exp((age - 45) / 8 + 1.5 * (housing == "rent")))
    return pd.DataFrame({"age": age, "housing": pd.Categorical(housing), "default": draw.random(rows) < chance})


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """One fitted model, a worse one that uses the housing only, and the held-out rows."""
    with world_at(tmp_path_factory.mktemp("project")) as world:
        frame = credit()
        frames = {"train": frame[:400].reset_index(drop=True), "test": frame[400:].reset_index(drop=True)}
        outputs = {f"dataset.credit/{name}": keep(world, each) for name, each in {**frames, "table": frame}.items()}
        make(world, MODEL, "model.credit", SPEC, outputs)
        make(world, MODEL, "model.worse", {**SPEC, "features": ["housing"]}, outputs)
        model = predictors.load(world.artifacts.folder(outputs["model.credit/artifact"]))
        answers = model.predict({name: frames["test"][name].to_numpy() for name in ("age", "housing")})
        yield world, outputs, frames["test"], answers


def judge(stage, checks, baseline=None, **spec):
    world, outputs, *_ = stage
    against = {"against": "rollout.credit"} if baseline != "none given" else {}
    outputs = {**outputs, "rollout.credit|model.credit/artifact": outputs.get(f"model.{baseline}/artifact")}
    made = make(world, TEST, "test.credit", {"model": "model.credit", "checks": checks, **against, **spec}, outputs)["check"]
    assert json.loads(world.artifacts.read_bytes(made.outputs["verdict"])) == made.facts
    return made.facts


def test_a_threshold_is_compared_with_scikit_learns_number_on_the_held_out_rows(stage):
    *_, test, answers = stage
    expected = roc_auc_score(test["default"], answers["predict_proba"][:, 1])
    facts = judge(stage, [{"metric": "roc_auc", "min": 0.99}, {"metric": "roc_auc", "min": 0.5, "max": 0.999}])
    assert [each["passed"] for each in facts["checks"]] == [False, True, True]
    assert facts["checks"][0]["got"] == pytest.approx(expected)
    assert facts["checks"][0]["expected"] == "≥ 0.99"
    assert facts["passed"] is False


def test_a_warning_does_not_fail_the_test(stage):
    facts = judge(stage, [{"metric": "roc_auc", "min": 0.99, "severity": "warn"}])
    assert (facts["passed"], facts["checks"][0]["passed"]) == (True, False)


def test_a_metric_holds_on_each_slice_and_small_slices_are_skipped_and_said_so(stage):
    *_, test, answers = stage
    facts = judge(stage, [{"metric": "recall", "min": 0.6, "slices": ["housing"]}])
    found = {each["slice"]: each for each in facts["checks"]}
    assert list(found) == ["", "housing = own", "housing = rent", "housing = free"]
    for name in ("own", "rent"):
        rows = (test["housing"] == name).to_numpy()
        expected = recall_score(test["default"][rows], answers["predict"][rows])
        assert found[f"housing = {name}"]["got"] == pytest.approx(expected)
        assert found[f"housing = {name}"]["passed"] == (expected >= 0.6)
    assert found["housing = free"]["passed"]
    assert found["housing = free"]["note"].endswith("rows, fewer than 30")


def test_numbers_are_sliced_by_edges(stage):
    facts = judge(stage, [{"metric": "accuracy", "min": 0, "slices": [{"column": "age", "edges": [30, 50]}]}])
    assert [each["slice"] for each in facts["checks"]] == ["", "age < 30", "age 30 to 50", "age ≥ 50"]


def test_where_a_class_is_missing_a_slice_is_skipped_and_all_rows_fail(stage):
    facts = judge(
        stage,
        [{"metric": "roc_auc", "min": 0, "slices": [{"column": "default", "values": [True]}]}],
    )
    assert facts["checks"][1]["note"] == "skipped: undefined on these rows, where a class is missing"
    assert facts["passed"]


def test_worse_than_what_serves_fails_and_better_passes(stage):
    world, outputs, *_ = stage
    better = judge(stage, [{"metric": "roc_auc", "max_worse": 0.01}, {"metric": "log_loss", "max_worse": 0}], "worse")
    assert better["passed"]
    assert better["compared_with"] == outputs["model.worse/artifact"]
    made = make(
        world,
        TEST,
        "test.worse",
        {"model": "model.worse", "against": "rollout.w", "checks": [{"metric": "log_loss", "max_worse": 0.01}]},
        {**outputs, "rollout.w|model.worse/artifact": outputs["model.credit/artifact"]},
    )
    (finding,) = made["check"].facts["checks"]
    assert not finding["passed"]
    assert finding["expected"].startswith("at most 0.01 worse than 0.")


def test_the_same_model_is_not_worse_than_itself(stage):
    assert judge(stage, [{"metric": "brier", "max_worse": 0, "slices": ["housing"]}], "credit")["passed"]


def test_with_nothing_serving_the_comparison_is_skipped_and_says_so(stage):
    facts = judge(stage, [{"metric": "roc_auc", "max_worse": 0.01, "min": 0.5}])
    assert [each["note"] for each in facts["checks"]] == ["", "skipped: nothing serves yet"]
    assert facts["passed"]
    assert facts["compared_with"] is None


def test_rows_and_columns_of_the_dataset_are_checked(stage):
    checks = [
        {"rows": {"min": 600, "max": 600}},
        {"column": "age", "min": 18, "max": 70, "missing": {"max": 0}},
        {"column": "age", "mean": {"min": 40, "max": 60}},
        {"column": "housing", "values": ["own", "rent"]},
        {"column": "age", "unique": True},
        {"column": "hosing", "missing": {"max": 0.1}},
        {"column": "housing", "min": 3},
    ]
    facts = judge(stage, checks, dataset="dataset.credit")
    got = [(each["check"], each["passed"]) for each in facts["checks"]]
    assert got == [
        ("rows", True),
        ("rows", True),
        ("age missing", True),
        ("age min", True),
        ("age max", False),
        ("age mean", True),
        ("age mean", True),
        ("housing values", False),
        ("age unique", False),
        ("hosing", False),
        ("housing min", False),
    ]
    assert facts["checks"][4]["got"] == 79
    assert facts["checks"][7]["got"] == "free"
    assert facts["checks"][9]["note"] == "did you mean 'housing'?"


def test_without_a_dataset_data_checks_read_the_held_out_rows(stage):
    facts = judge(stage, [{"rows": {"min": 201}}])
    assert facts["checks"] == [
        {"check": "rows", "severity": "error", "expected": "≥ 201", "got": 200, "passed": False, "slice": "", "note": ""}
    ]
