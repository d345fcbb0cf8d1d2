"""The second form of a model: an ONNX graph that answers what the estimator answers, and a thousand times faster for a forest.

`convert` is called while a model is packed, and keeps a graph only where it agrees with the estimator on every row it is shown; `OnnxSession`
answers wherever onnxruntime is installed. skl2onnx and onnx are needed for the first only, and neither is needed to serve natively.
"""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mlops.serving.folders import Datatype, Onnx
from mlops.serving.signatures import DTYPES, Array
from mlops.serving.sklearn_files import parts

FILE = "model.onnx"
TOLERANCE = (
    1e-5  # of a probability, and of a number relative to its size: float32 keeps seven digits, and a sum of many loses one
)
CONVERTERS = ("skl2onnx", "onnx", "onnxruntime")
_INPUT = "input"
_TREES = ("sklearn.tree", "sklearn.ensemble")
_CHUNK = 1024  # rows that are asked at once

Answers = dict[str, Array]


class NotConvertedError(Exception):
    """There is no graph for this estimator; the message says why."""


class OnnxSession:
    """A graph that takes one matrix [n, k] and gives the outputs by name."""

    def __init__(self, graph: bytes | Path, datatype: Datatype, outputs: tuple[str, ...]) -> None:
        """Load the graph for one thread: a row is never worth two, and replicas share the cores."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = str(graph) if isinstance(graph, Path) else graph
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._run = session.run
        self._names = [each.name for each in session.get_outputs()][: len(outputs)]
        self._is_flat = len(outputs) == 1
        self._outputs = outputs
        self._dtype = DTYPES[datatype]

    def ask(self, matrix: Array) -> Answers:
        """Return the outputs for a float64 matrix; a number beyond float32 becomes infinite, as inside scikit-learn's trees."""
        if matrix.dtype != self._dtype:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(self._dtype)
        arrays = self._run(self._names, {_INPUT: matrix})
        return {"predict": arrays[0].reshape(-1)} if self._is_flat else dict(zip(self._outputs, arrays, strict=True))


def is_installed() -> bool:
    """Whether what converts and compares is there."""
    return all(find_spec(name) for name in CONVERTERS)


def convert(estimator: Any, native: Callable[[Array], Answers], rows: Array, file: Path) -> Onnx:
    """Write the graph of `estimator` to `file`; return how it compares with the answers of `native` on `rows`, a float64 matrix.

    Equal estimators give equal bytes.

    Raises:
        NotConvertedError: it does not convert, or answers differ by more than the tolerance.
    """
    if not is_installed():
        msg = f"{', '.join(name for name in CONVERTERS if not find_spec(name))} is not installed"
        raise NotConvertedError(msg)
    expected = _in_chunks(native, rows)
    reason = NotConvertedError()
    for datatype in _datatypes(estimator):
        try:
            graph = _graph(estimator, rows.shape[1], datatype)
            difference = _difference(expected, _answers(graph, datatype, rows, tuple(expected)))
        except NotConvertedError as error:
            reason = error
            continue
        file.write_bytes(graph)
        return Onnx(file.name, datatype, rows=len(rows), parity=float(f"{difference:.1e}"))
    raise reason


def _datatypes(estimator: Any) -> tuple[Datatype, ...]:
    """Return the datatypes of the graph's input to try, the more exact one first.

    Trees are asked in float32 only: scikit-learn itself casts rows to it, graphs hold thresholds in it, and skl2onnx 1.20 never returns
    from a float64 threshold that is infinite, as one between missing values and all others is.
    """
    has_trees = any(type(part).__module__.startswith(_TREES) for part in parts(estimator))
    return ("FP32",) if has_trees else ("FP64", "FP32")


def _graph(estimator: Any, width: int, datatype: Datatype) -> bytes:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = (DoubleTensorType if datatype == "FP64" else FloatTensorType)([None, width])
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "classes_") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = to_onnx(estimator, initial_types=[(_INPUT, kind)], options=options, name="model")
    except Exception as error:  # a converter lets anything through where it meets what it does not know
        msg = f"skl2onnx cannot convert it: {_first_line(error)}"
        raise NotConvertedError(msg) from error
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def _answers(graph: bytes, datatype: Datatype, rows: Array, outputs: tuple[str, ...]) -> Answers:
    try:
        return _in_chunks(OnnxSession(graph, datatype, outputs).ask, rows)
    except Exception as error:  # onnxruntime has no class of its own for a graph that it cannot run
        msg = f"onnxruntime cannot run it: {_first_line(error)}"
        raise NotConvertedError(msg) from error


def _in_chunks(ask: Callable[[Array], Answers], rows: Array) -> Answers:
    answers = [ask(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}


def _difference(expected: Answers, found: Answers) -> float:
    """Return the largest difference of a probability, or of a number relative to its size.

    Raises:
        NotConvertedError: a label differs, or a number by more than the tolerance.
    """
    is_classifier = "predict_proba" in expected or expected["predict"].dtype.kind != "f"
    if is_classifier and not np.array_equal(found["predict"].astype(expected["predict"].dtype), expected["predict"]):
        msg = f"labels differ from those of scikit-learn on {len(expected['predict'])} rows"
        raise NotConvertedError(msg)
    name = "predict_proba" if "predict_proba" in expected else "predict"
    if is_classifier and name == "predict":
        return 0.0
    wanted, got = expected[name], found[name]
    largest = float((np.abs(got - wanted) / np.maximum(np.abs(wanted), 1.0)).max())
    if not largest <= TOLERANCE:  # NaN is none
        msg = f"answers differ by {largest:.1e} from those of scikit-learn on {len(wanted)} rows"
        raise NotConvertedError(msg)
    return largest


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().partition("\n")[0][:200]
