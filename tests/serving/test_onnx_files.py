"""A graph beside the estimator: kept where it agrees, served where onnxruntime is installed."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from mlops.serving import folders, onnx_files, onnx_graphs, predictors, protocols, sklearn_files
from mlops.serving.onnx_files import NotConvertedError, convert
from mlops.serving.signatures import Column, Output, Signature


def manifest_of(signature, layout="array", **fields):
    """Return the manifest of a model without a graph."""
    return folders.Manifest(signature=signature, flavor="sklearn", layout=layout, file="model.skops", **fields)


def converted(model, manifest, columns, file):
    """Convert and compare, as packing does."""
    return convert(model, manifest, predictors.SklearnPredictor(manifest, model).predict, columns, file)


def columns_of(signature, rows):
    """Return the columns of a matrix."""
    return {column.name: rows[:, place] for place, column in enumerate(signature.inputs)}


def write(folder, model, rows, signature):
    """Write a model folder with a graph."""
    trusted = sklearn_files.dump_sklearn(model, folder / "model.skops")
    manifest = manifest_of(signature, trusted=tuple(trusted))
    graph = converted(model, manifest, columns_of(signature, rows), folder / onnx_files.FILE)
    folders.write(folder, structs.replace(manifest, onnx=graph), protocols.matrix_body(rows[:1]))
    return folder


def signature_of(classes, width, datatype, *, nullable=False):
    columns = tuple(Column(f"x{index}", "FP64", nullable=nullable) for index in range(width))
    outputs = (Output("predict", datatype, (-1,), classes), Output("predict_proba", "FP64", (-1, len(classes)), classes))
    return Signature(columns, outputs)


def test_linear_models_and_forests_answer_in_float64_as_scikit_learn_does(cancer, tmp_path):
    """Preparation and trees are computed in the precision of scikit-learn, and agree on all rows to the last digits."""
    rows, linear, signature = cancer
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(rows, linear.predict(rows))
    for model in (linear, forest):
        found = converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "a.onnx")
        assert (found.datatype, found.rows, found.file) == ("FP64", 569, "a.onnx")
        assert found.parity < 1e-14


def test_equal_models_give_equal_graphs_in_every_process(tmp_path):
    """The bytes of a graph hang on the model alone, whatever the process has done before."""
    program = (
        "import sys, pathlib, numpy as np\n"
        "from mlops.serving import onnx_graphs\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import StandardScaler\n"
        "rows = np.random.default_rng(0).normal(size=(50, 3))\n"
        "model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(rows, rows[:, 0] > 0)\n"
        "for path in sys.argv[1:]:\n"
        "    pathlib.Path(path).write_bytes(onnx_graphs.graph(model, ['a', 'b', 'c'], 'FP64'))\n"
    )
    files = [tmp_path / name for name in "abc"]
    subprocess.run([sys.executable, "-c", program, *map(str, files[:2])], check=True)
    subprocess.run(
        [sys.executable, "-c", program, str(files[2])], check=True, env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    )
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.parametrize(
    ("labels", "datatype"),
    [(("bad", "good"), "BYTES"), ((False, True), "BOOL"), ((3, 7), "INT64"), ((1.0, 2.0), "FP64")],
)
def test_labels_of_every_datatype_survive(labels, datatype, tmp_path):
    """Labels come back as they were learned: text, truth values, integers and floats."""
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


def test_a_tree_sends_a_missing_value_where_scikit_learn_does(tmp_path):
    """A threshold between missing values and all others is infinite; the graph splits there too."""
    rows = np.random.default_rng(5).normal(size=(80, 1))
    rows[::4] = np.nan
    model = RandomForestClassifier(5, random_state=0).fit(rows, np.isnan(rows[:, 0]))
    signature = signature_of((False, True), 1, "BOOL", nullable=True)
    assert converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "model.onnx").parity < 1e-15


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
    model = LabelSpreading().fit(rows, (rows[:, 0] > 0).astype(int))
    signature = signature_of((0, 1), 2, "INT64")
    with pytest.raises(NotConvertedError, match="skl2onnx cannot convert it: "):
        converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_conversion_that_takes_too_long_is_stopped(cancer, tmp_path, monkeypatch):
    """A converter that does not come back costs its time limit, no more, and leaves no process."""
    rows, model, signature = cancer
    noted = tmp_path / "pid"
    monkeypatch.setattr(onnx_files, "SECONDS", 1.0)
    monkeypatch.setattr(onnx_graphs, "graph", lambda *_: (noted.write_text(str(os.getpid())), time.sleep(60)))
    start = time.monotonic()
    with pytest.raises(NotConvertedError, match=r"its conversion takes more than 1 s"):
        converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "model.onnx")
    assert time.monotonic() - start < 20
    assert not Path("/proc", noted.read_text()).exists()


def test_a_worker_that_is_a_daemon_converts_too(cancer, tmp_path):
    """Steps run in daemons, to which multiprocessing allows no children."""
    rows, model, signature = cancer
    manifest = manifest_of(signature)
    arguments = (model, manifest, columns_of(signature, rows), tmp_path / "model.onnx")
    worker = multiprocessing.get_context("fork").Process(target=converted, args=arguments, daemon=True)
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert (tmp_path / "model.onnx").exists()


def test_a_conversion_that_dies_is_one_reason(cancer, tmp_path, monkeypatch):
    """A converter that takes its process with it does not take the fit."""
    rows, model, signature = cancer
    monkeypatch.setattr(onnx_graphs, "graph", lambda *_: os._exit(3))
    with pytest.raises(NotConvertedError, match="its conversion ended without a word"):
        converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "model.onnx")


def test_a_graph_that_is_too_large_is_not_kept(cancer, tmp_path, monkeypatch):
    """Replicas hold the graph in memory: beyond a size there is none."""
    rows, model, signature = cancer
    monkeypatch.setattr(onnx_files, "BYTES", 100)
    with pytest.raises(NotConvertedError, match=r"its graph has \d+ bytes, and at most 100 are taken"):
        converted(model, manifest_of(signature), columns_of(signature, rows), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda answers: {**answers, "predict": 1 - answers["predict"]},
            "labels differ from those of scikit-learn on 569 of 569 rows",
        ),
        (lambda answers: {**answers, "predict_proba": answers["predict_proba"] + 1e-3}, "answers differ by 1.0e-03 from"),
    ],
)
def test_a_graph_that_disagrees_is_not_kept(cancer, change, message, tmp_path):
    """One other label, or a probability beyond the tolerance, and the estimator serves itself."""
    rows, model, signature = cancer
    manifest = manifest_of(signature)
    native = predictors.SklearnPredictor(manifest, model).predict
    with pytest.raises(NotConvertedError, match=message):
        convert(model, manifest, lambda some: change(native(some)), columns_of(signature, rows), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_graph_of_an_older_folder_is_left_alone(cancer, tmp_path, start):
    """Graphs of format 2 give labels otherwise: such a folder is served natively, and the log says so."""
    rows, model, signature = cancer
    folder = write(tmp_path, model, rows, signature)
    text = (folder / "model.json").read_text().replace('"version": 3', '"version": 2')
    (folder / "model.json").write_text(text)
    assert isinstance(predictors.load_fastest(folder), predictors.SklearnPredictor)
    assert "scikit-learn answers" in start(folder).wait_for("graph left alone")["message"]


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


def test_a_replica_serves_a_table_by_its_graph_without_pandas(mixed, tmp_path, start):
    """Text, categories and gaps reach the graph through the server; neither pandas nor scikit-learn is imported."""
    columns = mixed.columns(200)
    model = mixed.pipeline().fit(mixed.frame(columns), mixed.labels(columns))
    trusted = sklearn_files.dump_sklearn(model, tmp_path / "model.skops")
    manifest = manifest_of(mixed.signature, "frame", trusted=tuple(trusted))
    graph = converted(model, manifest, columns, tmp_path / onnx_files.FILE)
    folders.write(tmp_path, structs.replace(manifest, onnx=graph), protocols.request_body(mixed.signature, mixed.columns(1)))
    replica = start(tmp_path)
    asked = mixed.columns(30, seed=9)
    outputs = replica.ask("POST", "/v2/models/credit/infer", protocols.request_body(mixed.signature, asked)).json["outputs"]
    assert outputs[0]["data"] == model.predict(mixed.frame(asked)).tolist()
    assert outputs[1]["data"] == pytest.approx(model.predict_proba(mixed.frame(asked)).ravel().tolist(), abs=1e-12)
    mapped = Path(f"/proc/{replica.process.pid}/maps").read_text()
    assert "/sklearn/" not in mapped
    assert "/pandas/" not in mapped
