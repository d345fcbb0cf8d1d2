"""The model folder: the one form in which a model is stored, tested, put into an image and served.

    model.json           the manifest below
    input_example.json   a request body of the protocol that the model must answer; the server warms up with it
    model.skops          the estimator (flavor sklearn); `.joblib` only with `allow_pickle`
    model.onnx           the same as a graph for onnxruntime, where it converts and agrees (`onnx` in the manifest)
    code/                the project's own modules (flavor python)

Written by the model kind's fit step with `write`, read by `predictors.load`. Equal models give equal bytes.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from mlops.serving.errors import FolderError
from mlops.serving.signatures import Signature

Datatype = Literal["FP32", "FP64"]
VERSION = 3  # 2: `onnx`; 3: its `vocabulary`, and labels by their places
GRAPH_VERSION = 3  # the graphs of older folders say their labels otherwise, and are left alone
MANIFEST = "model.json"
EXAMPLE = "input_example.json"


class Onnx(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A graph beside the estimator, taking one matrix of `datatype`, that gave the same labels on `rows` rows.

    `parity` is the largest difference of a probability, or of a predicted number relative to its size. Text in a column is its place in
    `vocabulary`, its length where it is not there, and NaN where it is missing; labels come as their places among the classes.
    """

    file: str
    datatype: Datatype
    rows: int
    parity: float
    vocabulary: tuple[str, ...] = ()


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What model.json says.

    `layout` is the form in which the rows reach the model: "array" one float64 matrix [n, k], no pandas; "frame" a DataFrame, whose columns
    named in `categories` are Categoricals over the signature's `values`; "columns" a mapping of arrays (flavor python).
    """

    signature: Signature
    flavor: Literal["sklearn", "python"]
    layout: Literal["array", "frame", "columns"]
    file: str | None = None
    entry: str | None = None
    trusted: tuple[str, ...] = ()
    allow_pickle: bool = False
    categories: tuple[str, ...] = ()
    onnx: Onnx | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        """Refuse fields that do not go together."""
        for is_wrong, message in self._conflicts():
            if is_wrong:
                raise ValueError(message)

    def _conflicts(self) -> list[tuple[bool, str]]:
        is_python = self.flavor == "python"
        named = {column.name: column for column in self.signature.inputs}
        return [
            (is_python and not _is_entry(self.entry), "flavor python needs an `entry` of the form module:function"),
            (is_python and self.layout != "columns", "flavor python takes layout columns"),
            (not is_python and not _is_plain(self.file), "flavor sklearn needs a `file` inside the folder"),
            (not is_python and self.layout == "columns", "flavor sklearn takes layout array or frame"),
            (self.layout == "array" and not self.signature.is_numeric, "layout array takes no BYTES columns"),
            (bool(self.file and self.file.endswith(".joblib")) and not self.allow_pickle, "a .joblib file needs `allow_pickle`"),
            (
                any(name not in named or not named[name].values for name in self.categories),
                "`categories` name inputs that have `values`",
            ),
            (bool(self.categories) and self.layout != "frame", "`categories` need layout frame"),
            (self.onnx is not None and is_python, "`onnx` needs flavor sklearn"),
            (self.onnx is not None and not _is_plain(self.onnx.file), "`onnx` needs a `file` inside the folder"),
        ]


def _is_entry(entry: str | None) -> bool:
    module, _, function = (entry or "").partition(":")
    return all(part.isidentifier() for part in [*module.split("."), function])


def _is_plain(file: str | None) -> bool:
    return bool(file) and Path(file or "").name == file and file not in (MANIFEST, EXAMPLE)


def write(folder: Path, manifest: Manifest, example: dict[str, Any]) -> None:
    """Complete `folder`, in which the model file or `code/` lies already, with model.json and input_example.json.

    `example` is a request body, for instance from `protocols.request_body`. Raises `FolderError` when the model file is not there.
    """
    _check_files(folder, manifest)
    for name, content in ((MANIFEST, manifest), (EXAMPLE, example)):
        text = msgspec.json.format(msgspec.json.encode(content, order="deterministic"), indent=1)
        (folder / name).write_bytes(text + b"\n")


def read(folder: Path) -> Manifest:
    """Return the manifest of `folder`; raise `FolderError` if it is missing, garbled, incomplete or newer than this program."""
    raw = _read_bytes(folder, MANIFEST)
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        if version > VERSION:
            msg = f"{folder / MANIFEST} has format version {version}; this program reads up to {VERSION}: use a newer mlops"
            raise FolderError(msg)
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"{folder / MANIFEST} is no manifest of a model: {error}"
        raise FolderError(msg) from error
    _check_files(folder, manifest)
    return manifest


def read_example(folder: Path) -> bytes:
    """Return input_example.json as bytes, ready to be sent."""
    return _read_bytes(folder, EXAMPLE)


class _Version(msgspec.Struct):
    version: int


def _read_bytes(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        msg = f"there is no model folder {folder}"
        raise FolderError(msg)
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        msg = f"{folder} is no model folder: it has no {name}"
        raise FolderError(msg) from None
    except OSError as error:
        msg = f"{folder / name} cannot be read: {error.strerror}"
        raise FolderError(msg) from error


def _check_files(folder: Path, manifest: Manifest) -> None:
    needed = ["code" if manifest.flavor == "python" else manifest.file or "", *([manifest.onnx.file] if manifest.onnx else [])]
    for name in needed:
        if not (folder / name).exists():
            msg = f"{folder} lacks {name}, which its model.json names"
            raise FolderError(msg)
