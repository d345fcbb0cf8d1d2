"""Models are fitted from YAML and measured on rows held out, as scikit-learn itself would."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from making import keep, make, world_at
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.kinds.model import Model

KIND = Model()
CREDIT = {"dataset": "dataset.credit", "label": "default", "seed": 7}


def credit(rows: int = 400) -> pd.DataFrame:
    """Return mixed columns with gaps, whose label depends on some of them."""
    draw = np.random.default_rng(3)
    age = draw.integers(18, 80, rows)
    income = draw.normal(3000, 900, rows).round(2)
    housing = draw.choice(["own", "rent", "free"], rows)
    chance = 1 / (1 + np.exp((age - 45) / 12 + (income - 3000) / 800 - (housing == "rent")))
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "age": age,
            "income": np.where(draw.random(rows) < 0.1, np.nan, income),
            "housing": pd.Categorical(np.where(draw.random(rows) < 0.05, None, housing), categories=["own", "rent", "free"]),
            "employed": draw.random(rows) < 0.5,
            "default": draw.random(rows) < chance,
        }
    )
    frame.attrs["key"] = "id"
    return frame


@pytest.fixture
def world(tmp_path):
    with world_at(tmp_path) as doors:
        yield doors


def fit(world, spec, frame, name="credit", cut=300):
    train, test = frame.iloc[:cut].reset_index(drop=True), frame.iloc[cut:].reset_index(drop=True)
    train.attrs = test.attrs = dict(frame.attrs)
    outputs = {f"dataset.{name}/train": keep(world, train), f"dataset.{name}/test": keep(world, test)}
    return make(world, KIND, f"model.{name}", spec, outputs)


ESTIMATORS = {
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 10},
    "sklearn.ensemble.HistGradientBoostingClassifier": {"max_depth": 3, "max_iter": 20},
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_same_fit_gives_the_same_bytes(world, estimator):
    spec = {**CREDIT, "estimator": estimator, "params": ESTIMATORS[estimator]}
    first, second = fit(world, spec, credit()), fit(world, spec, credit())
    assert first["fit"].outputs == second["fit"].outputs
    assert first["evaluate"].outputs == second["evaluate"].outputs


def test_metrics_are_those_of_scikit_learn_done_by_hand(world):
    frame = credit()
    made = fit(world, {**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression"}, frame)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    table = frame.assign(housing=frame["housing"].astype(object).where(frame["housing"].notna(), np.nan))
    by_hand = Pipeline(
        [
            (
                "columns",
                ColumnTransformer(
                    [("n", numbers, ["age", "income"]), ("w", words, ["housing"]), ("b", "passthrough", ["employed"])]
                ),
            ),
            ("model", LogisticRegression()),
        ]
    ).fit(table.iloc[:300], table["default"].iloc[:300])
    chances = by_hand.predict_proba(table.iloc[300:])[:, 1]
    metrics = json.loads(world.artifacts.read_bytes(made["evaluate"].outputs["metrics"]))
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(table["default"].iloc[300:], chances), abs=1e-6)
    assert metrics["log_loss"] == pytest.approx(log_loss(table["default"].iloc[300:], chances), abs=1e-6)
    assert made["evaluate"].facts["metrics"] == metrics
    assert made["evaluate"].facts["held_out_rows"] == 100


def test_histogram_boosting_takes_gaps_and_categories_as_they_are(world):
    frame = credit()
    made = fit(world, {**CREDIT, "estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}, frame)
    features = ["age", "income", "housing", "employed"]
    by_hand = HistGradientBoostingClassifier(random_state=7).fit(frame[features].iloc[:300], frame["default"].iloc[:300])
    expected = roc_auc_score(frame["default"].iloc[300:], by_hand.predict_proba(frame[features].iloc[300:])[:, 1])
    assert made["evaluate"].facts["metrics"]["roc_auc"] == pytest.approx(expected, abs=1e-12)
