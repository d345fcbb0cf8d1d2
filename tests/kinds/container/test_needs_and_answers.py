"""What serving a model takes, and which answers are those of the model."""

import json

import pytest

from mlops.core.images import Locked
from mlops.kinds.container import locking, proving
from mlops.kinds.container.errors import ContainerError
from mlops.kinds.container.questions import Question
from mlops.serving import folders
from mlops.serving.folders import Manifest, Onnx
from mlops.serving.signatures import Column, Output, Signature

SERVER = {"granian", "msgspec", "numpy", "prometheus-client", "uvloop"}
SIGNATURE = Signature((Column("a", "FP64"),), (Output("predict", "FP64", (-1,)),))


def model(folder, **fields):
    for name in ("model.skops", "model.onnx"):
        (folder / name).write_bytes(b"")
    (folder / "code").mkdir()
    manifest = {"signature": SIGNATURE, "flavor": "sklearn", "layout": "array", "file": "model.skops"} | fields
    folders.write(folder, Manifest(**manifest), {"inputs": []})
    return folder


@pytest.mark.parametrize(
    ("fields", "form", "more"),
    [
        ({"onnx": Onnx("model.onnx", "FP64", 1, 0.0)}, "onnx", {"onnxruntime"}),
        ({"trusted": ("sklearn.tree._tree.Tree", "numpy.dtype")}, "sklearn", {"scikit-learn", "skops"}),
        ({"layout": "frame"}, "sklearn", {"scikit-learn", "skops", "pandas"}),
        ({"flavor": "python", "layout": "columns", "file": None, "entry": "m:f"}, "python", set()),
    ],
)
def test_an_image_gets_only_what_its_model_needs(tmp_path, fields, form, more):
    found, packages = locking.needs(model(tmp_path, **fields), ())
    assert (found, set(packages)) == (form, SERVER | more)


def test_types_of_further_packages_are_to_be_named(tmp_path):
    folder = model(tmp_path, trusted=("light_trees.Booster",))
    with pytest.raises(ContainerError, match="holds types of light_trees") as told:
        locking.needs(folder, ())
    assert told.value.hint == "packages: [light_trees]"
    assert "light-trees" in locking.needs(folder, ("light-trees",))[1]


def test_a_lock_is_read_as_it_was_written():
    locked = [Locked("numpy", "2.1.0", "a" * 64), Locked("uvloop", "0.23.0", "b" * 64)]
    assert locking.read(locking.written(locked)) == locked
    assert locking.written(locked[:1]) == b"numpy==2.1.0 --hash=sha256:" + b"a" * 64 + b"\n"


def difference(got, tolerance=0.0, status=200, wanted=(1, 0.25, 0.75)):
    question = Question("rows", 1, b"", {"predict": [wanted[0]], "predict_proba": list(wanted[1:])})
    outputs = [{"name": "predict", "data": list(got[:1])}, {"name": "predict_proba", "data": list(got[1:])}]
    return list(proving.differences(question, status, json.dumps({"outputs": outputs}).encode(), tolerance))


def test_equal_answers_are_equal():
    assert difference((1, 0.25, 0.75)) == []


def test_the_last_bit_counts_where_answers_are_exact():
    assert difference((1, 0.25000000000000006, 0.75)) == ["rows, row 0: predict_proba is 0.25000000000000006, expected 0.25"]


def test_within_the_tolerance_only_floats_may_differ():
    assert difference((1, 0.25000000000000006, 0.75), 1e-9) == []
    assert difference((1, 0.2500001, 0.75), 1e-9) != []
    assert difference((2, 0.25, 0.75), 1e-9) == ["rows, row 0: predict is 2, expected 1"]
    assert difference((True, 0.25, 0.75), 1e-9) != []


def test_a_missing_value_and_an_error_are_told():
    assert difference((1, 0.25)) == ["rows: predict_proba has 1 values, expected 2"]
    assert difference((1,), status=500)[0].startswith("rows: answered 500")
