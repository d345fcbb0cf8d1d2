"""Whatever the rows, the graph answers what the estimator answers: gaps, texts never seen, categories, huge and tiny numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops.serving import folders, onnx_files, predictors
from mlops.serving.onnx_files import NotConvertedError
from mlops.serving.signatures import Column, Output, Signature, conform

ROWS = 300
HOUSING, CITIES, ROOMS = ("free", "own", "rent"), ("Ulm", "Bonn", "Kiel"), (1, 2, 3)
COLUMNS = (
    Column("amount", "FP64", nullable=True),
    Column("age", "INT64"),
    Column("owner", "BOOL"),
    Column("housing", "BYTES", nullable=True, values=HOUSING),
    Column("city", "BYTES", nullable=True),
    Column("rooms", "INT64", nullable=True, values=ROOMS),
)
NUMBERS, TEXTS, CATEGORIES = ["amount", "age"], ["housing", "city"], ("housing", "rooms")


def rows(seed=0):
    """Return columns with gaps, and a number that hangs on them."""
    random = np.random.default_rng(seed)
    amount = np.where(random.random(ROWS) < 0.1, np.nan, random.normal(100, 30, ROWS))
    texts = {
        name: np.where(random.random(ROWS) < 0.1, None, random.choice(np.array(values, object), ROWS))
        for name, values in (("housing", HOUSING), ("city", CITIES))
    }
    rooms = np.where(random.random(ROWS) < 0.1, np.nan, random.integers(1, 4, ROWS).astype(float))
    columns = {
        "amount": amount,
        "age": random.integers(18, 90, ROWS),
        "owner": random.random(ROWS) < 0.5,
        **texts,
        "rooms": rooms,
    }
    number = np.nan_to_num(amount, nan=50) + columns["age"] + 40 * (texts["city"] == "Ulm") + 30 * (texts["housing"] == "own")
    return columns, number + 10 * np.nan_to_num(rooms)


def table(columns):
    """Return the table on which a model is fitted."""
    values = {"housing": list(HOUSING), "rooms": list(ROOMS)}
    return pd.DataFrame(
        {
            name: pd.Categorical(array, categories=values[name])
            if name in CATEGORIES
            else pd.Series([np.nan if each is None else each for each in array], dtype=object)
            if array.dtype == object
            else array
            for name, array in columns.items()
        }
    )


def prepared(model, *steps, numbers):
    """Return a model behind its columns, as `preprocess:` makes it."""
    text = Pipeline(list(steps))
    columns = [("numeric", numbers, NUMBERS), ("categorical", text, [*TEXTS, "rooms"]), ("bool", "passthrough", ["owner"])]
    return Pipeline([("columns", ColumnTransformer(columns, sparse_threshold=0)), ("model", model)])


def scaled():
    return Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])


IMPUTE = ("impute", SimpleImputer(strategy="most_frequent"))
ONEHOT = ("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False))
ORDINAL = ("encode", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))
MARKED = ("encode", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2))
FOREST = {"n_estimators": 15, "random_state": 0}
BOOSTED = {"max_iter": 15, "categorical_features": "from_dtype"}
MODELS = {
    "linear, one-hot, imputed": lambda: prepared(LogisticRegression(max_iter=500), IMPUTE, ONEHOT, numbers=scaled()),
    "linear, one-hot, missing is a category": lambda: prepared(LogisticRegression(max_iter=500), ONEHOT, numbers=scaled()),
    "numbers, one-hot": lambda: prepared(Ridge(), IMPUTE, ONEHOT, numbers=scaled()),
    "forest, ordinal": lambda: prepared(RandomForestClassifier(**FOREST), ORDINAL, numbers="passthrough"),
    "forest, ordinal, missing is marked": lambda: prepared(ExtraTreesClassifier(**FOREST), MARKED, numbers="passthrough"),
    "forest behind a scaler": lambda: prepared(RandomForestClassifier(**FOREST), IMPUTE, ONEHOT, numbers=scaled()),
    "forest of numbers": lambda: prepared(RandomForestRegressor(**FOREST), IMPUTE, ORDINAL, numbers="passthrough"),
    "one tree": lambda: prepared(DecisionTreeClassifier(random_state=0), ORDINAL, numbers="passthrough"),
    "boosting, one-hot": lambda: prepared(HistGradientBoostingClassifier(max_iter=15), ONEHOT, numbers="passthrough"),
    "boosting of numbers": lambda: prepared(HistGradientBoostingRegressor(max_iter=15), ORDINAL, numbers="passthrough"),
    "boosting of counts": lambda: prepared(
        HistGradientBoostingRegressor(max_iter=15, loss="poisson"), ORDINAL, numbers="passthrough"
    ),
}


def pair(model, labels, folder, names=None):
    """Return the native predictor of a fitted model, and that of its graph."""
    columns, _ = rows()
    columns = {name: columns[name] for name in names or columns}
    inputs = tuple(column for column in COLUMNS if column.name in columns)
    model.fit(table(columns), labels)
    outputs = (Output("predict", "FP64", (-1,)),)
    if hasattr(model, "classes_"):
        classes = tuple(model.classes_.tolist())
        outputs = (Output("predict", "BYTES", (-1,), classes), Output("predict_proba", "FP64", (-1, len(classes)), classes))
    categories = tuple(name for name in CATEGORIES if name in columns)
    manifest = folders.Manifest(
        signature=Signature(inputs, outputs), flavor="sklearn", layout="frame", file="model.skops", categories=categories
    )
    native = predictors.SklearnPredictor(manifest, model)
    graph = onnx_files.convert(model, manifest, native.predict, conform(manifest.signature, columns), folder / "model.onnx")
    session = onnx_files.OnnxSession(folder / "model.onnx", graph.datatype, outputs)
    return native, predictors.OnnxPredictor(manifest, graph, session)


@pytest.fixture(scope="module", params=[*MODELS, "boosting of categories", "boosting, three classes"])
def both(request, tmp_path_factory):
    """A model of each sort that `preprocess:` makes, natively and as a graph."""
    _, number = rows()
    folder = tmp_path_factory.mktemp("graph")
    labels = np.where(number > 230, "good", "bad").astype(object)
    if request.param == "boosting, three classes":
        thirds = np.array(["low", "middle", "high"], object)[np.digitize(number, [180, 240])]
        return pair(HistGradientBoostingClassifier(**BOOSTED), thirds, folder, ["amount", "age", "housing", "rooms"])
    if request.param == "boosting of categories":
        return pair(HistGradientBoostingClassifier(**BOOSTED), labels, folder, ["amount", "owner", "housing", "rooms"])
    model = MODELS[request.param]()
    return pair(model, labels if "predict_proba" in dir(model) else number, folder)


amounts = st.none() | st.floats(-1e30, 1e30) | st.floats(50, 150) | st.sampled_from([0.0, -0.0, 1e-300, 5e-324])
texts = st.none() | st.sampled_from([*CITIES, "Ulm ", "ulm", "", "\0", "nan", "None"]) | st.text(max_size=5)
row = st.tuples(
    amounts,
    st.integers(18, 90) | st.integers(-(2**53), 2**53),
    st.booleans(),
    st.none() | st.sampled_from(HOUSING),
    texts,
    st.none() | st.sampled_from([1, 2, 3]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(row, min_size=1, max_size=8))
def test_the_graph_answers_what_the_estimator_answers(both, sample):
    """Labels are equal and numbers agree to twelve digits, for rows that no training has seen."""
    native, graph = both
    columns = {
        column.name: np.array(
            [np.nan if value is None and column.datatype != "BYTES" else value for value in values], column.dtype
        )
        for column, values in zip(COLUMNS, zip(*sample, strict=True), strict=True)
        if column in native.signature.inputs
    }
    wanted, found = native.predict(columns), graph.predict(columns)
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype
        if wanted[name].dtype == object:
            assert found[name].tolist() == wanted[name].tolist()
        else:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, atol=1e-12)


def test_an_encoder_that_refuses_what_it_does_not_know_has_no_graph(tmp_path):
    """A graph cannot refuse: where scikit-learn would, the model stays native."""
    _, number = rows()
    strict = ("encode", OneHotEncoder(handle_unknown="error", sparse_output=False))
    with pytest.raises(NotConvertedError, match="OneHotEncoder is set to something that the graph cannot do"):
        pair(prepared(Ridge(), IMPUTE, strict, numbers=scaled()), number, tmp_path)
