"""A model may be made by a program of any framework, which a project must allow."""

from __future__ import annotations

import json

import pytest
from lending import CREDIT, KIND, credit, fit
from making import world_at

from mlops.core.errors import MlopsError
from mlops.serving import folders

MEASURES = """
import json, os, pathlib, sys
import pandas as pd
from tools.means import mean

train = pd.read_parquet(os.environ["MLOPS_TRAIN"])
held_out = pd.read_parquet(os.environ["MLOPS_HOLDOUT"])
params = json.loads(pathlib.Path(os.environ["MLOPS_PARAMS"]).read_text())
output = pathlib.Path(os.environ["MLOPS_OUTPUT"])
(output / "model").mkdir()
rate = mean(train[os.environ["MLOPS_LABEL"]]) * params["factor"]
(output / "model" / "weights.json").write_text(json.dumps({"rate": rate, "seed": os.environ["MLOPS_SEED"]}))
(output / "metrics.json").write_text(json.dumps({"error": abs(rate - mean(held_out["default"])), "nothing": float("nan")}))
print("trained with", os.environ["OMP_NUM_THREADS"], "thread", sorted(str(path) for path in pathlib.Path().rglob("*.py")), sys.argv[1:])
"""
SPEC = {
    **CREDIT,
    "command": ["python", "train.py", "--fast"],
    "files": ["train.py", "tools/*.py"],
    "outputs": {"artifact": "model/", "metrics": "metrics.json"},
    "params": {"factor": 2},
}


@pytest.fixture
def world(tmp_path):
    """A project with a program in two files."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "train.py").write_text(MEASURES)
    (tmp_path / "tools" / "means.py").write_text("def mean(values):\n    return float(values.mean())\n")
    with world_at(tmp_path, commands=True) as doors:
        yield doors


def test_a_command_makes_the_model_and_measures_it(world):
    """A command finds its files, is told what it needs by environment variables, and leaves what it declares."""
    frame = credit()
    made = fit(world, SPEC, frame)
    assert list(made) == ["fit"]
    outputs = made["fit"].outputs
    assert list(outputs) == ["artifact", "metrics", "holdout"]
    rate = frame["default"].iloc[:300].mean() * 2
    weights = json.loads((world.artifacts.folder(outputs["artifact"]) / "weights.json").read_text())
    assert weights == {"rate": pytest.approx(rate), "seed": "7"}
    metrics = json.loads(world.artifacts.read_bytes(outputs["metrics"]))
    assert metrics == {"error": pytest.approx(abs(rate - frame["default"].iloc[300:].mean())), "nothing": None}


def test_a_command_that_does_not_measure_leaves_a_model_folder(world):
    """Without `outputs.metrics` the command leaves a model folder, and mlops measures it."""
    (world.root / "train.py").write_text(WRITES_FOLDER)
    made = fit(world, {**SPEC, "outputs": {"artifact": "model/"}}, credit())
    assert made["evaluate"].facts["metrics"]["roc_auc"] == 0.5
    assert folders.read(world.artifacts.folder(made["fit"].outputs["artifact"])).flavor == "sklearn"


def test_a_change_of_a_declared_file_is_a_change_of_the_model(world):
    """The contents of `files`, globs too, are inputs."""
    requests = [request for request in KIND.inputs(KIND.Spec.model_validate(SPEC)).values() if request.door == "file"]
    before = [answer.value for answer in world.observe(requests)]
    (world.root / "tools" / "means.py").write_text("def mean(values):\n    return 0.0\n")
    after = [answer.value for answer in world.observe(requests)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False]


WRITES_FOLDER = """
import os, pathlib
from sklearn.dummy import DummyClassifier
from mlops.serving import folders, protocols
from mlops.serving.sklearn_files import dump_sklearn
from mlops.serving.signatures import Column, Output, Signature
import numpy as np

folder = pathlib.Path(os.environ["MLOPS_OUTPUT"]) / "model"
folder.mkdir()
model = DummyClassifier().fit(np.array([[1.0], [2.0]]), [False, True])
trusted = dump_sklearn(model, folder / "model.skops")
outputs = (Output("predict", "BOOL", (-1,), (False, True)), Output("predict_proba", "FP64", (-1, 2), (False, True)))
signature = Signature((Column("age", "FP64"),), outputs)
manifest = folders.Manifest(signature=signature, flavor="sklearn", layout="array", file="model.skops", trusted=tuple(trusted))
folders.write(folder, manifest, protocols.request_body(signature, {"age": np.array([30.0])}))
"""
WRONG = {
    "exit code": ("import sys\nsys.exit('the GPU is gone')\n", "the command python ended with exit code 1\n  the GPU is gone"),
    "no artifact": ("pass\n", "the command left no metrics.json in $MLOPS_OUTPUT, which `outputs.metrics` names"),
    "bad metrics": (
        "import os\nopen(os.environ['MLOPS_OUTPUT'] + '/metrics.json', 'w').write('[1]')\n",
        "metrics.json, which the command left, is no JSON object of numbers",
    ),
    "text": (
        "import os\nopen(os.environ['MLOPS_OUTPUT'] + '/metrics.json', 'w').write('{')\n",
        "metrics.json, which the command left, is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "no folder": (
        "import os\nopen(os.environ['MLOPS_OUTPUT'] + '/metrics.json', 'w').write('{}')\n",
        "the command left no folder model/ in $MLOPS_OUTPUT, which `outputs.artifact` names",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_command_that_fails_says_what_is_wrong(world, case):
    """What a command does wrong is one message; nothing is kept."""
    source, message = WRONG[case]
    (world.root / "train.py").write_text(source)
    with pytest.raises(MlopsError) as caught:
        fit(world, SPEC, credit())
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Output("predict", "BOOL"', 'Output("answer", "BOOL"', "the model has no output 'predict', only answer, predict_proba"),
        ('"age"', '"wealth"', "the data lacks wealth, which the model takes"),
        ('"model"\n', '"modal"\n', "the command left no folder model/ in $MLOPS_OUTPUT, which `outputs.artifact` names"),
        (
            "np.array([30.0])}))",
            "np.array([30.0])}))\n(folder / 'model.skops').unlink()",
            "the command left a folder that is no model folder: ",
        ),
    ],
)
def test_a_model_folder_that_cannot_be_measured_says_why(world, old, new, message):
    """What a command leaves must be a model folder that answers for the held-out rows."""
    assert old in WRITES_FOLDER
    (world.root / "train.py").write_text(WRITES_FOLDER.replace(old, new))
    with pytest.raises(MlopsError) as caught:
        fit(world, {**SPEC, "outputs": {"artifact": "model/"}}, credit())
    assert message in caught.value.message


def test_a_missing_file_is_named(world):
    """A declared file that is not there is an error before anything runs."""
    (world.root / "train.py").unlink()
    with pytest.raises(MlopsError, match=r"train\.py"):
        fit(world, SPEC, credit())
