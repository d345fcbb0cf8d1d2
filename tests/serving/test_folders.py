"""The model folder: what is written, and what a reader says of a folder that is not as it should be."""

import json

import msgspec
import pytest

from mlops.serving import folders
from mlops.serving.errors import FolderError
from mlops.serving.signatures import Column, Output, Signature

SIGNATURE = Signature(
    inputs=(Column("a", "FP64"), Column("b", "BYTES", values=("x", "y"))), outputs=(Output("predict", "FP64", (-1,)),)
)
FIELDS = {"signature": SIGNATURE, "flavor": "sklearn", "layout": "frame", "file": "model.skops"}


@pytest.fixture
def folder(tmp_path):
    """Give a complete folder."""
    (tmp_path / "model.skops").write_bytes(b"")
    folders.write(tmp_path, folders.Manifest(**FIELDS), {"inputs": []})
    return tmp_path


def test_what_was_written_is_read(folder):
    """A manifest survives its file, and equal manifests are equal bytes."""
    assert folders.read(folder) == folders.Manifest(**FIELDS)
    before = (folder / "model.json").read_bytes()
    folders.write(folder, folders.read(folder), {"inputs": []})
    assert (folder / "model.json").read_bytes() == before
    assert json.loads(before)["version"] == 3


def test_a_missing_folder_is_named(tmp_path):
    """A folder that is not there is an error that names it."""
    with pytest.raises(FolderError, match=r"there is no model folder .*nowhere"):
        folders.read(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_no_model_folder(tmp_path):
    """A folder without model.json says so."""
    with pytest.raises(FolderError, match=r"is no model folder: it has no model\.json"):
        folders.read(tmp_path)


def test_a_newer_folder_asks_for_a_newer_program(folder):
    """A format version beyond this program's is refused before its fields are looked at."""
    (folder / "model.json").write_text('{"version": 4, "something": "new"}')
    with pytest.raises(FolderError, match=r"format version 4; this program reads up to 3: use a newer mlops"):
        folders.read(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": "1"}', '{"version": 1}', '{"version": 1, "surprise": 2}', "\udce4"]
)
def test_a_garbled_manifest_is_one_clear_error(folder, text):
    """What is no manifest is a FolderError that names the file."""
    (folder / "model.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FolderError, match=r"model\.json is no manifest of a model"):
        folders.read(folder)


def test_a_lost_model_file_is_named(folder):
    """A manifest whose model file is gone says which."""
    (folder / "model.skops").unlink()
    with pytest.raises(FolderError, match=r"lacks model\.skops"):
        folders.read(folder)


def test_a_lost_example_is_named(folder):
    """A folder without its input example says so."""
    (folder / "input_example.json").unlink()
    with pytest.raises(FolderError, match=r"has no input_example\.json"):
        folders.read_example(folder)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"file": None}, "needs a `file`"),
        ({"file": "../model.skops"}, "needs a `file` inside the folder"),
        ({"file": "model.json"}, "needs a `file`"),
        ({"layout": "columns"}, "takes layout array or frame"),
        ({"layout": "array"}, "takes no BYTES"),
        ({"file": "model.joblib"}, "needs `allow_pickle`"),
        ({"flavor": "python"}, "needs an `entry`"),
        ({"flavor": "python", "entry": "module"}, "needs an `entry`"),
        ({"flavor": "python", "entry": "module:load"}, "takes layout columns"),
        ({"categories": ("a",)}, "that have `values`"),
        ({"categories": ("c",)}, "that have `values`"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changed, message):
    """A manifest that contradicts itself cannot be made, and not be read either."""
    fields = {**FIELDS, **changed}
    with pytest.raises(ValueError, match=message):
        folders.Manifest(**fields)
    raw = msgspec.json.encode({**fields, "version": 1})
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(raw, type=folders.Manifest)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Column("a", "FLOAT"), "unknown datatype 'FLOAT'"),
        (lambda: Output("a", "FP64", (2,)), "first dimension is the rows"),
        (lambda: Signature((), (Output("p", "FP64", (-1,)),)), "at least one input"),
        (lambda: Signature((Column("a", "FP64"),), ()), "at least one output"),
        (lambda: Signature((Column("a", "FP64"),) * 2, (Output("p", "FP64", (-1,)),)), "'a' are used twice"),
    ],
)
def test_a_signature_that_cannot_be_served_is_refused(make, message):
    """A signature names known datatypes, each name once, and something on both sides."""
    with pytest.raises(ValueError, match=message):
        make()
