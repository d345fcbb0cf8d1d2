"""A small table of loans with numbers, a category, a truth value and gaps, and a project that fits models on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from making import keep, make

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


def fit(world: Any, spec: Any, frame: pd.DataFrame, cut: int = 300) -> Any:
    """Run the steps of `model.credit`; the first `cut` rows are for training, the others are held out."""
    train, test = frame.iloc[:cut].reset_index(drop=True), frame.iloc[cut:].reset_index(drop=True)
    train.attrs = test.attrs = dict(frame.attrs)
    outputs = {"dataset.credit/train": keep(world, train), "dataset.credit/test": keep(world, test)}
    return make(world, KIND, "model.credit", spec, outputs)
