"""One predictor for whole tables and for requests: it says what the estimator says."""

import time

import numpy as np
import pytest

from mlops.serving import folders, predictors, protocols, sklearn_files
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.signatures import Column, Output, Signature


def named(matrix, signature):
    """Return the columns of a matrix by the names of the signature."""
    return {column.name: matrix[:, index] for index, column in enumerate(signature.inputs)}


def test_an_array_model_predicts_what_its_estimator_predicts(array_folder, cancer):
    """Labels and probabilities are the estimator's own, bit for bit."""
    matrix, estimator, signature = cancer
    outputs = predictors.load(array_folder).predict(named(matrix, signature))
    assert (outputs["predict"] == estimator.predict(matrix)).all()
    assert np.array_equal(outputs["predict_proba"], estimator.predict_proba(matrix))
    assert outputs["predict"].dtype == np.int64


def test_a_frame_model_predicts_what_its_estimator_predicts(frame_folder, mixed):
    """Strings, truth values and gaps reach the pipeline as in the table it was trained on."""
    folder, estimator = frame_folder
    columns = mixed.columns(200, seed=5)
    outputs = predictors.load(folder).predict(columns)
    frame = mixed.frame(columns)
    assert outputs["predict"].tolist() == estimator.predict(frame).tolist()
    assert np.array_equal(outputs["predict_proba"], estimator.predict_proba(frame))


def test_categories_reach_the_model_as_categoricals(mixed, write_folder, tmp_path):
    """A column among `categories` is a Categorical, which gradient boosting splits by."""
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = mixed.columns(300)
    values = ("own", "rent", "free")
    frame = mixed.frame(columns).assign(housing=pd.Categorical(columns["housing"], categories=list(values)))
    estimator = HistGradientBoostingClassifier(max_iter=10).fit(frame, mixed.labels(columns))
    example = protocols.request_body(mixed.signature, {name: array[:1] for name, array in columns.items()})
    folder = write_folder(tmp_path / "m", estimator, mixed.signature, example, layout="frame", categories=("housing",))
    outputs = predictors.load(folder).predict(columns)
    assert np.array_equal(outputs["predict_proba"], estimator.predict_proba(frame))


def test_a_regression_gives_one_number_a_row(cancer, write_folder, tmp_path):
    """A regressor's only output is `predict`."""
    from sklearn.linear_model import LinearRegression

    matrix, _, _ = cancer
    estimator = LinearRegression().fit(matrix[:, 1:4], matrix[:, 0])
    signature = Signature(tuple(Column(name, "FP64") for name in "abc"), (Output("predict", "FP64", (-1,)),))
    folder = write_folder(tmp_path / "m", estimator, signature, protocols.matrix_body(matrix[:1, 1:4]), layout="array")
    outputs = predictors.load(folder).predict(named(matrix[:, 1:4], signature))
    assert list(outputs) == ["predict"]
    assert np.array_equal(outputs["predict"], estimator.predict(matrix[:, 1:4]))


def test_a_label_that_is_not_the_likeliest_class_is_the_estimators_own(cancer, write_folder, tmp_path):
    """Where an estimator moves the threshold, `predict` follows the estimator and not the probabilities."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import FixedThresholdClassifier

    matrix, _, signature = cancer
    labels = (matrix[:, 0] > 14).astype(int)
    estimator = FixedThresholdClassifier(LogisticRegression(max_iter=5000), threshold=0.05).fit(matrix[:, :2], labels)
    short = Signature(signature.inputs[:2], signature.outputs)
    folder = write_folder(tmp_path / "m", estimator, short, protocols.matrix_body(matrix[:1, :2]), layout="array")
    outputs = predictors.load(folder).predict(named(matrix[:, :2], short))
    assert (outputs["predict"] == estimator.predict(matrix[:, :2])).all()
    assert (outputs["predict"] != outputs["predict_proba"].argmax(axis=1)).any()


def test_a_table_of_a_hundred_thousand_rows_is_one_call(array_folder, cancer):
    """Offline the same predictor takes whole tables."""
    matrix, _, signature = cancer
    large = np.tile(matrix, (176, 1))[:100_000]
    start = time.perf_counter()
    outputs = predictors.load(array_folder).predict(named(large, signature))
    assert len(outputs["predict"]) == 100_000
    assert time.perf_counter() - start < 20


def test_a_gap_where_none_may_be_is_refused(array_folder, cancer):
    """scikit-learn's own check is off, so the predictor refuses NaN itself, naming column and row."""
    matrix, _, signature = cancer
    spoiled = matrix[:3].copy()
    spoiled[2, 1] = np.nan
    with pytest.raises(BadRequestError, match="input 'mean texture', row 2: got nan"):
        predictors.load(array_folder).predict(named(spoiled, signature))


def test_columns_that_do_not_fit_are_refused(array_folder, cancer):
    """A missing column, unequal lengths and text among numbers are refused by name."""
    matrix, _, signature = cancer
    predictor = predictors.load(array_folder)
    columns = named(matrix[:3], signature)
    with pytest.raises(BadRequestError, match="'mean radius' is missing"):
        predictor.predict({name: array for name, array in columns.items() if name != "mean radius"})
    with pytest.raises(BadRequestError, match="differ in rows"):
        predictor.predict({**columns, "mean radius": np.array([1.0])})
    with pytest.raises(BadRequestError, match="'mean radius' holds"):
        predictor.predict({**columns, "mean radius": np.array(["x", "y", "z"])})
    with pytest.raises(BadRequestError, match="2 dimensions"):
        predictor.predict({**columns, "mean radius": matrix[:3, :1]})


def test_jobs_are_pinned_to_one_however_deep(cancer, write_folder, tmp_path):
    """No estimator inside the model starts threads or processes of its own when it is served."""
    from sklearn.ensemble import RandomForestClassifier, VotingClassifier
    from sklearn.pipeline import make_pipeline

    matrix, fitted, signature = cancer
    labels = fitted.predict(matrix)
    forest = RandomForestClassifier(3, random_state=0, n_jobs=2)
    estimator = make_pipeline(VotingClassifier([("forest", forest)], voting="soft", n_jobs=2)).fit(matrix, labels)
    folder = write_folder(tmp_path / "m", estimator, signature, protocols.matrix_body(matrix[:1]), layout="array")
    predictor = predictors.load(folder)
    voting = predictor._estimator.steps[0][1]
    assert (voting.n_jobs, voting.estimators_[0].n_jobs) == (1, 1)
    assert np.array_equal(predictor.predict(named(matrix, signature))["predict_proba"], estimator.predict_proba(matrix))


def test_a_model_that_fails_says_how(python_folder):
    """A failure inside the model is a ModelFailedError with the model's own words."""
    with pytest.raises(ModelFailedError, match="adding:load failed: ValueError: negative"):
        predictors.load(python_folder).predict({"a": np.array([-1.0]), "b": np.array([1])})


SUM = (Output("sum", "FP64", (-1,)),)


def write_code(folder, text, name="scoring", outputs=SUM):
    """Write a folder of flavor python around a module's text."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / f"{name}.py").write_text(text)
    signature = Signature((Column("a", "FP64"),), outputs)
    manifest = folders.Manifest(signature=signature, flavor="python", layout="columns", entry=f"{name}:load")
    folders.write(folder, manifest, {"inputs": []})
    return folder


CLASS = "class Model:\n    def predict(self, columns):\n        return {result}\ndef load(folder):\n    return Model()\n"


def test_two_versions_of_a_projects_code_live_in_one_process(tmp_path):
    """Each folder gets the code that lies in it, although the modules have one name."""
    one = write_code(tmp_path / "1", CLASS.format(result="{'sum': columns['a'] + 1}"))
    two = write_code(tmp_path / "2", CLASS.format(result="{'sum': columns['a'] + 2}"))
    loaded = [predictors.load(one), predictors.load(two)]
    assert [each.predict({"a": np.array([1.0])})["sum"].tolist() for each in loaded] == [[2.0], [3.0]]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("{}", "gave no output 'sum'"),
        ("{'sum': [1.0, 2.0]}", r"has the shape \[2\], expected \[1\]"),
        ("{'sum': ['x']}", "is not FP64"),
        ("None", "failed: TypeError"),
    ],
)
def test_outputs_that_break_the_signature_are_the_models_failure(result, message, tmp_path):
    """What a model gives is held against its signature, too."""
    folder = write_code(tmp_path / "m", CLASS.format(result=result))
    with pytest.raises(ModelFailedError, match=message):
        predictors.load(folder).predict({"a": np.array([1.0])})


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("import nowhere_to_be_found", "scoring", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("x = 1", "scoring", "has no attribute 'load'"),
        ("def load(folder):\n    return 5", "scoring", "returned a int, which has no predict"),
        ("def load(folder):\n    raise OSError('no weights')", "scoring", "OSError: no weights"),
        ("def load(folder):\n    return 5", "json", "hide others: json"),
        ("def load(folder):\n    return 5", "numpy", "hide others: numpy"),
    ],
)
def test_code_that_does_not_load_is_one_clear_error(text, name, message, tmp_path):
    """Whatever goes wrong in the project's code is a FolderError that says what."""
    with pytest.raises(FolderError, match=message):
        predictors.load(write_code(tmp_path / "m", text, name))


def test_the_file_of_another_format_is_not_tried(cancer, tmp_path):
    """A skops folder never unpickles."""
    _, estimator, signature = cancer
    sklearn_files.dump_sklearn(estimator, tmp_path / "m.joblib")
    (tmp_path / "m.joblib").rename(tmp_path / "model.skops")
    folders.write(
        tmp_path, folders.Manifest(signature=signature, flavor="sklearn", layout="array", file="model.skops"), {"inputs": []}
    )
    with pytest.raises(FolderError, match="cannot be loaded"):
        predictors.load(tmp_path)
