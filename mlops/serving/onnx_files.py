"""The second form of a model: an ONNX graph that answers what the estimator answers, and a thousand times faster for a forest.

`convert` is called while a model is packed, and keeps a graph only where it agrees with the estimator on every row it is shown; `OnnxSession`
answers wherever onnxruntime is installed. skl2onnx and onnx are needed for the first only, and neither is needed to serve natively.
"""

import os
import resource
import select
import signal
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from mlops.serving.folders import Datatype, Manifest, Onnx
from mlops.serving.signatures import DTYPES, Array, Column, Columns, Output

FILE = "model.onnx"
TOLERANCE = (
    1e-5  # of a probability, and of a number relative to its size: float32 keeps seven digits, and a sum of many loses one
)
CONVERTERS = ("skl2onnx", "onnx", "onnxruntime")
SECONDS = 60.0  # that a conversion may take
BYTES = 512 * 1024 * 1024  # that a graph may have
_DONE = "done"
_LONGEST_REASON = 4096  # bytes: what a pipe takes in one piece
_CHUNK = 1024  # rows that are asked at once

_MISSING: dict[Any, float] = {None: np.nan}

Answers = dict[str, Array]


class NotConvertedError(Exception):
    """There is no graph for this estimator; the message says why."""


class Coding:
    """From columns to the matrix that a graph takes: text becomes its place in the graph's vocabulary, what is missing NaN."""

    def __init__(self, columns: tuple[Column, ...], categories: tuple[str, ...], vocabulary: tuple[str, ...]) -> None:
        """Prepare a table for each column of text; one of `categories` misses a value that is not among its own."""
        places: dict[Any, float] = {text: float(place) for place, text in enumerate(vocabulary)}
        self._unknown = float(len(vocabulary))
        self._columns: list[tuple[str, dict[Any, float] | None, float]] = []
        for column in columns:
            known = column.values or ()
            if column.name not in categories:
                table: dict[Any, float] | None = places | _MISSING if column.datatype == "BYTES" else None
                self._columns.append((column.name, table, self._unknown))
            elif column.datatype == "BYTES":
                self._columns.append((column.name, {str(each): places.get(str(each), self._unknown) for each in known}, np.nan))
            else:
                self._columns.append((column.name, {each: float(each) for each in known}, np.nan))

    def matrix(self, columns: Columns) -> Array:
        """Return the float64 matrix [n, k] of conforming columns (see `signatures.conform`)."""
        return np.column_stack([self._coded(columns[name], table, other) for name, table, other in self._columns])

    def _coded(self, array: Array, table: dict[Any, float] | None, other: float) -> Array:
        if table is None:
            return array.astype(np.float64, copy=False)
        # NaN differs from itself and stands in no table: among text it is one more spelling of what is missing.
        return np.array([np.nan if value != value else table.get(value, other) for value in array.tolist()], np.float64)  # noqa: PLR0124


class OnnxSession:
    """A graph that takes one matrix [n, k] and gives the outputs by name."""

    def __init__(self, graph: bytes | Path, datatype: Datatype, outputs: tuple[Output, ...]) -> None:
        """Load the graph for one thread: a row is never worth two, and replicas share the cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = str(graph) if isinstance(graph, Path) else graph
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._run = session.run
        self._input = session.get_inputs()[0].name
        self._names = [each.name for each in session.get_outputs()][: len(outputs)]
        self._outputs = [output.name for output in outputs]
        self._labels = _labels(outputs[0])
        self._dtype = DTYPES[datatype]

    def ask(self, matrix: Array) -> Answers:
        """Return the outputs for a float64 matrix; a number beyond float32 becomes infinite where the graph takes that."""
        if matrix.dtype != self._dtype:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(self._dtype)
        first, *others = self._run(self._names, {self._input: matrix})
        first = first.reshape(-1) if self._labels is None else self._labels[first]
        return dict(zip(self._outputs, (first, *others), strict=True))


def _labels(output: Output) -> Array | None:
    """Return the labels that the graph gives by their places, or None where it gives numbers."""
    if output.classes is None:
        return None
    labels = np.empty(len(output.classes), DTYPES[output.datatype])
    labels[:] = output.classes
    return labels


def is_installed() -> bool:
    """Whether what converts and compares is there."""
    return all(find_spec(name) for name in CONVERTERS)


def convert(estimator: Any, manifest: Manifest, native: Callable[[Columns], Answers], rows: Columns, file: Path) -> Onnx:
    """Write the graph of `estimator` to `file`; return how it compares with what `native` answers for `rows`, conforming columns [n].

    Labels must be equal and numbers within `TOLERANCE`; float64 is tried before float32. Equal estimators give equal bytes.

    Raises:
        NotConvertedError: it does not convert, not in time, or answers differ.
    """
    if not is_installed():
        msg = f"{', '.join(name for name in CONVERTERS if not find_spec(name))} is not installed"
        raise NotConvertedError(msg)
    from mlops.serving import onnx_graphs

    signature, vocabulary = manifest.signature, onnx_graphs.vocabulary(estimator)
    matrix = Coding(signature.inputs, manifest.categories, vocabulary).matrix(rows)
    expected = native(rows)
    reason: NotConvertedError | None = None
    for datatype in onnx_graphs.datatypes(estimator):
        try:
            _build(estimator, [column.name for column in signature.inputs], datatype, file)
            found = difference(expected, _answers(file, datatype, matrix, signature.outputs))
        except NotConvertedError as error:
            reason = reason or error  # the one of the exact form, which was to serve
            file.unlink(missing_ok=True)
            continue
        return Onnx(file.name, datatype, rows=len(matrix), parity=float(f"{found:.1e}"), vocabulary=vocabulary)
    raise reason or NotConvertedError


def _build(estimator: Any, names: list[str], datatype: Datatype, file: Path) -> None:
    """Write the graph, in a process that can be stopped: a converter may never come back.

    Forked, because another way would load scikit-learn and the estimator anew, which takes longer than most conversions; what is computed
    there is numpy on one thread, and a child that hung nevertheless is stopped like any other. By hand, because a worker that runs steps is a
    daemon, to which multiprocessing allows no children.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of a fork beside threads
        child = os.fork()
    if not child:
        _write(estimator, names, datatype, file, writing)
    os.close(writing)
    try:
        if not select.select([reading], [], [], SECONDS)[0]:
            msg = f"its conversion takes more than {SECONDS:g} s"
            raise NotConvertedError(msg)
        said = os.read(reading, _LONGEST_REASON).decode(errors="replace")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
    if said != _DONE:
        raise NotConvertedError(said or "its conversion ended without a word")
    if file.stat().st_size > BYTES:
        msg = f"its graph has {file.stat().st_size} bytes, and at most {BYTES} are taken"
        raise NotConvertedError(msg)


def _write(estimator: Any, names: list[str], datatype: Datatype, file: Path, writing: int) -> NoReturn:
    """Write the graph, say so or say why there is none, and end; runs in the child, which ends by itself should its parent be gone."""
    from mlops.serving import onnx_graphs

    try:
        resource.setrlimit(resource.RLIMIT_CPU, (ceil(SECONDS), ceil(SECONDS)))
        file.write_bytes(onnx_graphs.graph(estimator, names, datatype))
        said = _DONE
    except BaseException as error:  # noqa: BLE001 - a converter lets anything through, and nothing may return into the parent's code
        said = f"skl2onnx cannot convert it: {_first_line(error)}"
    try:
        os.write(writing, said.encode()[:_LONGEST_REASON])
    finally:
        os._exit(0)


def _answers(file: Path, datatype: Datatype, matrix: Array, outputs: tuple[Output, ...]) -> Answers:
    try:
        session = OnnxSession(file, datatype, outputs)
        answers = [session.ask(matrix[start : start + _CHUNK]) for start in range(0, len(matrix), _CHUNK)]
    except Exception as error:  # onnxruntime has no class of its own for a graph that it cannot run
        msg = f"onnxruntime cannot run it: {_first_line(error)}"
        raise NotConvertedError(msg) from error
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}


def difference(expected: Answers, found: Answers) -> float:
    """Return the largest difference of a probability, or of a number relative to its size.

    Raises:
        NotConvertedError: a label differs, or a number by more than the tolerance.
    """
    rows = len(expected["predict"])
    is_classifier = "predict_proba" in expected or expected["predict"].dtype.kind != "f"
    if is_classifier:
        differing = int((found["predict"] != expected["predict"]).sum())
        if differing:
            msg = f"labels differ from those of scikit-learn on {differing} of {rows} rows"
            raise NotConvertedError(msg)
    name = "predict_proba" if "predict_proba" in expected else "predict"
    if is_classifier and name == "predict":
        return 0.0
    wanted, got = expected[name], found[name]
    largest = float((np.abs(got - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
    if not largest <= TOLERANCE:  # NaN is none
        msg = f"answers differ by {largest:.1e} from those of scikit-learn on {rows} rows"
        raise NotConvertedError(msg)
    return largest


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:200]
