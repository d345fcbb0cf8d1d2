"""A graph beside the estimator: kept where it agrees, served where onnxruntime is installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops.serving import folders, onnx_files, predictors, protocols, sklearn_files
from mlops.serving.onnx_files import NotConvertedError, convert
from mlops.serving.signatures import Column, Output, Signature


def native(model):
    """Return what asks the estimator for labels and, where it has them, probabilities."""

    def ask(rows):
        answers = {"predict": model.predict(rows)}
        return answers | ({"predict_proba": model.predict_proba(rows)} if hasattr(model, "predict_proba") else {})

    return ask


def write(folder, model, rows, signature):
    """Write a model folder with a graph."""
    trusted = sklearn_files.dump_sklearn(model, folder / "model.skops")
    graph = convert(model, native(model), rows, folder / onnx_files.FILE)
    fields = {"layout": "array", "file": "model.skops", "trusted": tuple(trusted), "onnx": graph}
    manifest = folders.Manifest(signature=signature, flavor="sklearn", **fields)
    folders.write(folder, manifest, protocols.matrix_body(rows[:1]))
    return folder


def signature_of(classes, width, datatype, *, nullable=False):
    columns = tuple(Column(f"x{index}", "FP64", nullable=nullable) for index in range(width))
    outputs = (Output("predict", datatype, (-1,), classes), Output("predict_proba", "FP64", (-1, len(classes)), classes))
    return Signature(columns, outputs)


def test_a_linear_model_answers_in_float64_and_a_forest_in_float32(cancer, tmp_path):
    """Each model is asked in the precision in which scikit-learn itself compares, and agrees on all rows."""
    rows, linear, _ = cancer
    found = convert(linear, native(linear), rows, tmp_path / "a.onnx")
    assert (found.datatype, found.rows, found.file) == ("FP64", 569, "a.onnx")
    assert found.parity < 1e-14
    forest = RandomForestClassifier(20, random_state=0).fit(rows, linear.predict(rows))
    found = convert(forest, native(forest), rows, tmp_path / "b.onnx")
    assert found.datatype == "FP32"
    assert found.parity < 1e-6


def test_equal_models_give_equal_graphs_in_every_process(tmp_path):
    """The bytes of a graph hang on the model alone, whatever the process has done before."""
    program = (
        "import sys, pathlib, numpy as np\n"
        "from mlops.serving.onnx_files import convert\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "rows = np.random.default_rng(0).normal(size=(50, 3))\n"
        "model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(rows, rows[:, 0] > 0)\n"
        "ask = lambda rows: {'predict': model.predict(rows), 'predict_proba': model.predict_proba(rows)}\n"
        "for path in sys.argv[1:]:\n"
        "    convert(model, ask, rows, pathlib.Path(path))\n"
    )
    files = [tmp_path / name for name in "abc"]
    subprocess.run([sys.executable, "-c", program, *map(str, files[:2])], check=True)
    subprocess.run(
        [sys.executable, "-c", program, str(files[2])], check=True, env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    )
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.parametrize(
    ("labels", "datatype"),
    [(("bad", "good"), "BYTES"), ((False, True), "BOOL"), ((3, 7), "INT64")],
)
def test_labels_of_every_datatype_survive(labels, datatype, tmp_path):
    """Labels come back as they were learned: text, truth values, and integers."""
    rows = np.random.default_rng(1).normal(size=(60, 3))
    learned = np.array(labels, object if datatype == "BYTES" else None)[(rows[:, 0] > 0).astype(int)]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, learned)
    folder = write(tmp_path, model, rows, signature_of(labels, 3, datatype))
    predictor = predictors.load_fastest(folder)
    assert isinstance(predictor, predictors.OnnxPredictor)
    answers = predictor.predict({f"x{index}": rows[:, index] for index in range(3)})
    assert answers["predict"].tolist() == model.predict(rows).tolist()
    assert answers["predict_proba"] == pytest.approx(model.predict_proba(rows), abs=1e-12)


def test_missing_values_reach_the_graph(tmp_path):
    """A row with gaps is imputed by the graph as by the estimator."""
    rows = np.random.default_rng(2).normal(size=(80, 3))
    rows[::5, 1] = np.nan
    model = make_pipeline(SimpleImputer(strategy="median"), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    folder = write(tmp_path, model, rows, signature_of((False, True), 3, "BOOL", nullable=True))
    found = predictors.ask_of(predictors.load_fastest(folder))(rows)
    assert found["predict_proba"] == pytest.approx(model.predict_proba(rows), abs=1e-6)


def test_a_tree_that_splits_off_missing_values_is_converted_or_not_but_comes_back(tmp_path):
    """A threshold between missing values and all others is infinite; skl2onnx never returned from it in float64."""
    rows = np.random.default_rng(5).normal(size=(80, 1))
    rows[:30] = np.nan
    model = RandomForestClassifier(3, random_state=0).fit(rows, np.isnan(rows[:, 0]))
    assert np.isinf(model.estimators_[0].tree_.threshold).any()
    try:
        assert convert(model, native(model), rows, tmp_path / "model.onnx").datatype == "FP32"
    except NotConvertedError as error:
        assert str(error)  # noqa: PT017 - both ends are good


def test_a_regressor_is_compared_relative_to_its_numbers(tmp_path):
    """Predicted numbers are one tensor [n], and the difference is relative to their size."""
    data = load_diabetes()
    model = Ridge().fit(data.data, data.target)
    signature = Signature(tuple(Column(name, "FP64") for name in data.feature_names), (Output("predict", "FP64", (-1,)),))
    folder = write(tmp_path, model, data.data, signature)
    assert folders.read(folder).onnx.parity < 1e-12
    assert predictors.ask_of(predictors.load_fastest(folder))(data.data)["predict"] == pytest.approx(model.predict(data.data))


def test_a_model_that_does_not_convert_says_why(tmp_path):
    """What skl2onnx cannot convert is no failure of the model: the reason is kept, and no file."""
    rows = np.random.default_rng(3).normal(size=(100, 2))
    model = HistGradientBoostingClassifier(max_iter=3).fit(rows, rows[:, 0] > 0)
    with pytest.raises(NotConvertedError, match="skl2onnx cannot convert it: "):
        convert(model, native(model), rows, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda answers: {**answers, "predict": 1 - answers["predict"]}, "labels differ from those of scikit-learn on 569 rows"),
        (lambda answers: {**answers, "predict_proba": answers["predict_proba"] + 1e-3}, "answers differ by 1.0e-03 from"),
    ],
)
def test_a_graph_that_disagrees_is_not_kept(cancer, change, message, tmp_path):
    """One other label, or a probability beyond the tolerance, and the estimator serves itself."""
    rows, model, _ = cancer
    with pytest.raises(NotConvertedError, match=message):
        convert(model, lambda some: change(native(model)(some)), rows, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnxruntime_the_estimator_serves(cancer, tmp_path, monkeypatch):
    """A folder with a graph is served natively where onnxruntime is not installed."""
    rows, model, signature = cancer
    folder = write(tmp_path, model, rows, signature)
    monkeypatch.setattr(predictors, "find_spec", lambda _name: None)
    assert isinstance(predictors.load_fastest(folder), predictors.SklearnPredictor)


def test_a_garbled_graph_is_one_clear_error(cancer, tmp_path):
    """A graph that cannot be loaded is refused with its path."""
    rows, model, signature = cancer
    folder = write(tmp_path, model, rows, signature)
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(folders.FolderError, match=r"model\.onnx cannot be loaded"):
        predictors.load_fastest(folder)


def test_a_replica_serves_the_graph_without_scikit_learn(cancer, tmp_path, start):
    """A model with a graph is served by onnxruntime alone: scikit-learn is never imported, and memory stays small."""
    rows, model, signature = cancer
    replica = start(write(tmp_path, model, rows, signature))
    answer = replica.ask("POST", "/v2/models/credit/infer", protocols.matrix_body(rows[:3])).json
    assert answer["outputs"][1]["data"] == pytest.approx(model.predict_proba(rows[:3]).ravel().tolist(), abs=1e-12)
    mapped = Path(f"/proc/{replica.process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    assert "/sklearn/" not in mapped
