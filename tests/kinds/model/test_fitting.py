"""Models are fitted from YAML and measured on rows held out, as scikit-learn itself would."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from lending import CREDIT, credit, fit
from making import world_at
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, log_loss, mean_absolute_error, r2_score, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.core.errors import MlopsError
from mlops.kinds.model import Model, frames
from mlops.serving import folders, predictors


@pytest.fixture
def world(tmp_path):
    """The real world of an empty project."""
    with world_at(tmp_path) as doors:
        yield doors


ESTIMATORS = {
    "sklearn.linear_model.LogisticRegression": {},
    "sklearn.ensemble.RandomForestClassifier": {"n_estimators": 10},
    "sklearn.ensemble.HistGradientBoostingClassifier": {"max_depth": 3, "max_iter": 20},
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_same_fit_gives_the_same_bytes(world, estimator):
    """Two fits of equal rows and spec give equal bytes."""
    spec = {**CREDIT, "estimator": estimator, "params": ESTIMATORS[estimator]}
    first, second = fit(world, spec, credit()), fit(world, spec, credit())
    assert first["fit"].outputs == second["fit"].outputs
    assert first["evaluate"].outputs == second["evaluate"].outputs


@pytest.mark.parametrize("estimator", ["linear_model.LogisticRegression", "ensemble.HistGradientBoostingClassifier"])
def test_a_model_is_kept_as_a_graph_as_well_and_the_record_says_how_they_compare(world, estimator):
    """The folder holds model.onnx, compared on training rows and rows with gaps, then on the held-out ones, text and categories among them."""
    spec = {**CREDIT, "estimator": f"sklearn.{estimator}"}
    frame = credit()
    steps = fit(world, spec, frame)
    made = steps["fit"]
    folder = world.artifacts.folder(made.outputs["artifact"])
    manifest = folders.read(folder)
    kept = manifest.onnx
    assert made.facts["onnx"] == {"parity": kept.parity, "compared": kept.rows, "datatype": "FP64"}
    nullable = sum(column.nullable for column in manifest.signature.inputs)
    open_text = sum(column.datatype == "BYTES" and not frames.allowed(column) for column in manifest.signature.inputs)
    assert kept.rows == 300 + 20 * (nullable + open_text)
    held_out = steps["evaluate"].facts["onnx"]
    assert held_out["compared"] == len(frame) - 300
    assert held_out["parity"] < 1e-12
    assert kept.parity < 1e-12
    assert "rent" in kept.vocabulary
    assert (folder / "model.onnx").exists()
    assert fit(world, spec, frame)["fit"].outputs == made.outputs


def test_a_model_that_no_graph_can_do_says_so_in_the_record(world):
    """What does not convert is served natively, and the record holds the reason."""
    made = fit(world, {**CREDIT, "estimator": "sklearn.neighbors.NearestCentroid"}, credit())["fit"]
    assert made.facts["onnx"].startswith("none, because skl2onnx cannot convert it: MissingShapeCalculator")
    assert folders.read(world.artifacts.folder(made.outputs["artifact"])).onnx is None


def test_installing_a_converter_is_part_of_what_the_artifact_depends_on():
    """The converters enter the key where they are installed; a command's model does not depend on them."""
    spec = Model.Spec.model_validate({**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression"})
    assert Model().inputs(spec)["runtime"].arguments["optional"] == ["onnx", "onnxruntime", "skl2onnx"]


def test_metrics_are_those_of_scikit_learn_done_by_hand(world):
    """Metrics are those of scikit-learn with the documented preparation done by hand."""
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
    """An estimator that takes gaps and categories gets the table as it is."""
    frame = credit()
    made = fit(world, {**CREDIT, "estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}, frame)
    features = ["age", "income", "housing", "employed"]
    by_hand = HistGradientBoostingClassifier(random_state=7).fit(frame[features].iloc[:300], frame["default"].iloc[:300])
    expected = roc_auc_score(frame["default"].iloc[300:], by_hand.predict_proba(frame[features].iloc[300:])[:, 1])
    assert made["evaluate"].facts["metrics"]["roc_auc"] == pytest.approx(expected, abs=1e-12)


def test_all_columns_but_label_and_key_are_features_and_the_input_example_is_nobodys_row(world):
    """Without `features` a model takes all columns but label and key; its example is made of middles and most frequent values."""
    frame = credit()
    made = fit(world, {**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression"}, frame)
    folder = world.artifacts.folder(made["fit"].outputs["artifact"])
    manifest = folders.read(folder)
    assert [each.name for each in manifest.signature.inputs] == ["age", "income", "housing", "employed"]
    assert {each.name: (each.datatype, each.nullable) for each in manifest.signature.inputs} == {
        "age": ("INT64", True),
        "income": ("FP64", True),
        "housing": ("BYTES", True),
        "employed": ("BOOL", True),
    }
    example = {each["name"]: each["data"][0] for each in json.loads(folders.read_example(folder))["inputs"]}
    train = frame.iloc[:300]
    assert example["income"] == train["income"].median()
    assert example["housing"] == train["housing"].mode()[0]
    assert made["fit"].facts["rows"] == 300
    assert made["fit"].facts["features"] == 4


def test_a_matrix_is_enough_where_all_features_are_numbers(world):
    """Numbers only: the server feeds a matrix, and needs no pandas."""
    iris = load_iris(as_frame=True).frame.rename(columns={"target": "species"})
    frame = iris.assign(species=pd.Categorical(np.array(["setosa", "versicolor", "virginica"])[iris["species"]])).sample(
        frac=1, random_state=0
    )
    spec = {
        **CREDIT,
        "label": "species",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "metrics": ["f1", "roc_auc", "log_loss"],
    }
    made = fit(world, spec, frame, cut=100)
    manifest = folders.read(world.artifacts.folder(made["fit"].outputs["artifact"]))
    assert manifest.layout == "array"
    assert manifest.signature.outputs[0].classes == ("setosa", "versicolor", "virginica")
    features = list(iris.columns[:4])
    by_hand = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        frame[features].iloc[:100], frame["species"].iloc[:100].astype(object)
    )
    truth, test = frame["species"].iloc[100:].astype(object), frame[features].iloc[100:]
    chances = by_hand.predict_proba(test)
    assert made["evaluate"].facts["metrics"] == {
        "f1": pytest.approx(f1_score(truth, by_hand.predict(test), average="macro")),
        "roc_auc": pytest.approx(roc_auc_score(truth, chances, multi_class="ovr")),
        "log_loss": pytest.approx(log_loss(truth, chances)),
    }


def test_a_regressor_is_measured_by_its_errors(world):
    """A regressor's default metrics are mae, rmse and r2, in the label's unit."""
    frame = load_diabetes(as_frame=True).frame
    made = fit(world, {**CREDIT, "label": "target", "estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 0.5}}, frame)
    by_hand = make_pipeline(StandardScaler(), Ridge(alpha=0.5)).fit(frame.iloc[:300, :10], frame["target"].iloc[:300])
    answers, truth = by_hand.predict(frame.iloc[300:, :10]), frame["target"].iloc[300:]
    assert made["evaluate"].facts["metrics"] == {
        "mae": pytest.approx(mean_absolute_error(truth, answers)),
        "rmse": pytest.approx(float(np.sqrt(np.mean((truth - answers) ** 2)))),
        "r2": pytest.approx(r2_score(truth, answers)),
    }


def test_preparation_is_declared_by_sort_and_by_column(world):
    """`preprocess` says how sorts of columns are prepared; `columns` makes exceptions."""
    spec = {
        **CREDIT,
        "estimator": "sklearn.linear_model.LogisticRegression",
        "preprocess": {
            "numeric": {"impute": "mean", "scale": "none"},
            "categorical": {"encode": "ordinal"},
            "columns": {"age": {"scale": "standard"}},
        },
        "params": {"max_iter": 500},
    }
    made = fit(world, spec, credit())
    model = predictors.load(world.artifacts.folder(made["fit"].outputs["artifact"]))._estimator
    parts = {tuple(columns): transformer for _, transformer, columns in model.named_steps["columns"].transformers_}
    assert [type(step).__name__ for step in parts[("age",)].named_steps.values()] == ["SimpleImputer", "StandardScaler"]
    assert [type(step).__name__ for step in parts[("income",)].named_steps.values()] == ["SimpleImputer"]
    assert parts[("income",)].named_steps["impute"].strategy == "mean"
    assert [type(step).__name__ for step in parts[("housing",)].named_steps.values()] == ["SimpleImputer", "OrdinalEncoder"]


def test_numbers_are_prepared_by_column_in_a_matrix_too(world):
    """An exception for one of several numeric columns gives what scikit-learn gives."""
    frame = load_diabetes(as_frame=True).frame
    spec = {
        **CREDIT,
        "label": "target",
        "features": ["age", "bmi", "bp"],
        "estimator": "sklearn.linear_model.Ridge",
        "preprocess": {"columns": {"bmi": {"scale": "none"}}},
        "metrics": ["mae"],
    }
    made = fit(world, spec, frame)
    scaled = StandardScaler().fit(frame[["age", "bp"]].iloc[:300])
    rows = np.column_stack([scaled.transform(frame[["age", "bp"]]), frame["bmi"]])
    by_hand = Ridge().fit(rows[:300], frame["target"].iloc[:300])
    expected = mean_absolute_error(frame["target"].iloc[300:], by_hand.predict(rows[300:]))
    assert made["evaluate"].facts["metrics"]["mae"] == pytest.approx(expected)


def test_params_may_nest_estimators_and_seeds_reach_them(world):
    """A parameter may be an estimator of its own; the seed is set wherever one is left open."""
    spec = {
        **CREDIT,
        "estimator": "sklearn.ensemble.VotingClassifier",
        "params": {
            "voting": "soft",
            "estimators": [
                ["tree", {"estimator": "sklearn.tree.DecisionTreeClassifier", "params": {"max_depth": 2}}],
                ["line", {"estimator": "sklearn.linear_model.LogisticRegression"}],
            ],
        },
        "preprocess": {"numeric": {"impute": "median"}},
    }
    made = fit(world, spec, credit())
    model = predictors.load(world.artifacts.folder(made["fit"].outputs["artifact"]))._estimator.named_steps["model"]
    assert model.get_params()["tree__random_state"] == 7
    assert model.get_params()["tree__max_depth"] == 2


def test_a_pipeline_is_an_estimator_too(world):
    """Steps of scikit-learn's Pipeline are declared as nested estimators."""
    steps = [
        ["poly", {"estimator": "sklearn.preprocessing.PolynomialFeatures", "params": {"degree": 2}}],
        ["ridge", {"estimator": "sklearn.linear_model.Ridge"}],
    ]
    spec = {**CREDIT, "label": "target", "estimator": "sklearn.pipeline.Pipeline", "params": {"steps": steps}}
    made = fit(world, spec, load_diabetes(as_frame=True).frame)
    assert made["evaluate"].facts["metrics"]["r2"] > 0.3


def test_which_class_is_positive_decides_binary_metrics(world):
    """`positive` names the class that f1 counts; without it the last one in order."""
    spec = {**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression", "metrics": ["recall"]}
    one = fit(world, spec, credit())["evaluate"].facts["metrics"]["recall"]
    other = fit(world, {**spec, "positive": False}, credit())["evaluate"].facts["metrics"]["recall"]
    last = fit(world, {**spec, "positive": True}, credit())["evaluate"].facts["metrics"]["recall"]
    assert one == last != other


def test_what_scikit_learn_warns_of_is_told(world):
    """Warnings of the fit become facts."""
    spec = {**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1}}
    (warning,) = fit(world, spec, credit())["fit"].facts["warnings"]
    assert warning.startswith("ConvergenceWarning: ")


def test_integers_and_truth_values_with_gaps_are_numbers(world):
    """Int64 and boolean columns with gaps train and serve as numbers with NaN."""
    frame = credit()
    gaps = frame.index % 7 == 0
    frame["age"] = frame["age"].astype("Int64").mask(gaps)
    frame["employed"] = frame["employed"].astype("boolean").mask(gaps)
    made = fit(world, {**CREDIT, "estimator": "sklearn.linear_model.LogisticRegression"}, frame)
    model = predictors.load(world.artifacts.folder(made["fit"].outputs["artifact"]))
    columns = {"age": np.array([np.nan]), "income": np.array([1.0]), "housing": np.array([None]), "employed": np.array([np.nan])}
    assert model.predict(columns)["predict_proba"].shape == (1, 2)


def test_text_is_a_category(world):
    """Columns of text are encoded; text that training has not seen is all zeros."""
    frame = credit()
    frame["housing"] = frame["housing"].astype("str")
    made = fit(world, {**CREDIT, "estimator": "sklearn.ensemble.HistGradientBoostingClassifier"}, frame)
    model = predictors.load(world.artifacts.folder(made["fit"].outputs["artifact"]))
    columns = {"age": np.array([30]), "income": np.array([1.0]), "housing": np.array(["tent"]), "employed": np.array([True])}
    assert model.predict(columns)["predict"].shape == (1,)


LINE = {"estimator": "sklearn.linear_model.LogisticRegression"}
WRONG = {
    "label": ({**LINE, "label": "defalt"}, "the label 'defalt' is no column of the data", "did you mean 'default'?"),
    "features": (
        {**LINE, "features": ["agee", "income", "hosing"]},
        "the feature 'agee' is no column of the data; the feature 'hosing' is no column of the data",
        "did you mean 'age'?",
    ),
    "empty and dates": (
        {**LINE, "features": ["nothing", "age", "day"]},
        "the feature 'nothing' has no value in any of the 300 rows; the feature 'day' is datetime64[us], which no model takes",
        "leave them out",
    ),
    "one class": ({**LINE, "label": "always"}, "the label 'always' has one value only in all 300 rows: True", "needs two"),
    "gaps in label": ({**LINE, "label": "income"}, "the label 'income' is missing in ", "leave such rows out"),
    "text": (
        {"estimator": "sklearn.linear_model.Ridge", "label": "word"},
        "the label 'word' is text, and sklearn.linear_model.Ridge predicts numbers",
        "use a classifier",
    ),
    "param": (
        {**LINE, "params": {"max_itr": 1, "soler": "x"}},
        "sklearn.linear_model.LogisticRegression has no parameter 'max_itr' and none 'soler'",
        "did you mean 'max_iter'? did you mean 'solver'?",
    ),
    "value": (
        {**LINE, "params": {"C": -1}},
        "sklearn.linear_model.LogisticRegression cannot be fitted: The 'C' parameter",
        "change `params`",
    ),
    "import": (
        {"estimator": "pandas.DataFrame"},
        "the estimator 'pandas.DataFrame' may not be imported",
        "allow: {estimators: [pandas]}",
    ),
    "nested import": (
        {"estimator": "sklearn.ensemble.BaggingClassifier", "params": {"estimator": {"estimator": "numpy.random.Generator"}}},
        "the estimator 'numpy.random.Generator' may not be imported",
        "allow: {estimators: [numpy]}",
    ),
    "absent": (
        {"estimator": "sklearn.linear_model.LogisticRegresion"},
        "'sklearn.linear_model.LogisticRegresion' is not there",
        "did you mean 'LogisticRegression'?",
    ),
    "transformer": (
        {"estimator": "sklearn.preprocessing.StandardScaler"},
        "sklearn.preprocessing.StandardScaler is neither a classifier nor a regressor",
        "use one",
    ),
    "no imputer": (
        {**LINE, "preprocess": {"numeric": {"impute": "none"}}},
        "sklearn.linear_model.LogisticRegression does not take missing values, and these features have some: 'income' (",
        "preprocess: {columns: {income: {impute: most_frequent}}}",
    ),
    "sort": (
        {**LINE, "preprocess": {"columns": {"housing": {"scale": "standard"}}}},
        "the categorical feature 'housing' cannot have preprocess scale: standard",
        "numeric columns take impute and scale",
    ),
    "names": (
        {**LINE, "features": ["name"]},
        "the feature 'name' has 1001 different values, and each would become a column",
        "preprocess: {columns: {name: {encode: ordinal}}}",
    ),
    "exception": (
        {**LINE, "preprocess": {"columns": {"hosing": {}}}},
        "preprocess.columns names 'hosing'",
        "did you mean 'housing'?",
    ),
    "positive": ({**LINE, "positive": "yes"}, "positive: yes is not a value of the label", "its values are False, True"),
    "metric": ({**LINE, "metrics": ["mae"]}, "'mae' is a metric for regression, and the model does classification", "roc_auc"),
    "chances": (
        {"estimator": "sklearn.svm.LinearSVC", "metrics": ["roc_auc"]},
        "the model gives no probabilities, which this metric needs",
        "choose accuracy",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_user_can_mend_is_said_in_one_message(world, case):
    """Each mistake gives one message: what, where, and what to do."""
    changes, message, hint = WRONG[case]
    frame = credit(1301 if case == "names" else 400)
    cut = 1001 if case == "names" else 300
    frame["name"] = [f"person {number}" for number in range(len(frame))]
    frame["nothing"] = np.nan
    frame["day"] = pd.Timestamp("2024-01-01").as_unit("us")
    frame["always"] = True
    frame["word"] = "a"
    usual = {"features": ["age", "income", "housing", "employed"]}
    with pytest.raises(MlopsError) as caught:
        fit(world, {**CREDIT, **usual, **changes}, frame, cut)
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_missing_values_that_only_held_out_rows_have_are_no_surprise(world, estimator):
    """Whatever the type, values may be missing in rows to come though none was in training, where something is done about it."""
    frame = credit()
    gaps = (frame.index >= 300) & (frame.index % 3 == 0)
    frame["income"] = frame["income"].fillna(1.0).mask(gaps)
    frame["age"] = frame["age"].astype("Int64").mask(gaps)
    frame["employed"] = frame["employed"].astype("boolean").mask(gaps)
    frame["housing"] = frame["housing"].fillna("own").mask(gaps)
    made = fit(world, {**CREDIT, "estimator": estimator, "params": ESTIMATORS[estimator]}, frame)
    assert made["evaluate"].facts["metrics"]["roc_auc"] > 0.5


def test_a_pickle_is_written_only_where_the_project_allows_it(world, tmp_path_factory):
    """`format: joblib` is a pickle: refused by the step itself, too, and equal fits give equal bytes."""
    spec = {**CREDIT, **LINE, "format": "joblib"}
    with pytest.raises(MlopsError, match="the project does not allow pickles"):
        fit(world, spec, credit())
    with world_at(tmp_path_factory.mktemp("daring"), pickle=True) as daring:
        made = fit(daring, spec, credit())
        assert folders.read(daring.artifacts.folder(made["fit"].outputs["artifact"])).allow_pickle
        assert fit(daring, spec, credit())["fit"].outputs == made["fit"].outputs
