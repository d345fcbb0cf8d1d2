"""Load a model folder into something that predicts; the kinds `model` and `test` use it on whole tables, the server on each request.

One `Predictor` for both. What was tested is what serves, or a graph that was compared with it when it was packed. It takes columns in, gives named outputs back, and knows no HTTP.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlops.serving import folders
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.folders import Manifest
from mlops.serving.onnx_files import Coding, OnnxSession
from mlops.serving.signatures import DTYPES, Array, Columns, Output, Signature, conform
from mlops.serving.sklearn_files import load_sklearn, parts

# Final estimators whose own `predict` is the class of the highest probability: one pass through the model gives both outputs. It is
# not so for SVC(probability=True) or for a tuned threshold, therefore a list of those that are known and no guess.
_ARGMAX = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreesClassifier",
        "HistGradientBoostingClassifier",
        "LogisticRegression",
        "RandomForestClassifier",
    }
)
# Names that a project's modules must leave alone, beside the standard library's: they are loaded already when its code is.
_TAKEN = frozenset({"mlops", "numpy", "msgspec"})

# What is compared with each answer: an output, its name, its dtype and the shape of one of its rows.
_Expected = tuple[Output, str, np.dtype[Any], tuple[int, ...]]


class Predictor(Protocol):
    """A loaded model."""

    manifest: Manifest

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Return the outputs by name, each with n rows, for `columns` of shape [n] each (see `signatures.conform`).

        Raises `BadRequestError` for columns that do not fit the signature and `ModelFailedError` for a failure of the model.
        """


class SklearnPredictor:
    """A scikit-learn estimator, fed with a matrix or a DataFrame."""

    def __init__(self, manifest: Manifest, estimator: Any) -> None:
        """Decide once how the estimator is fed and asked."""
        self.manifest = manifest
        self._estimator = estimator
        names = {output.name for output in manifest.signature.outputs}
        self._has_probabilities = "predict_proba" in names
        final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
        self._is_argmax = (
            self._has_probabilities and type(final).__module__.startswith("sklearn.") and type(final).__name__ in _ARGMAX
        )
        self._expected = _expected(manifest.signature)
        # Only where no value may be missing is finiteness known, so that scikit-learn need not look for it in every step.
        self._is_finite = _is_finite(manifest.signature)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.manifest.signature

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Return the outputs for `columns`; see `Predictor.predict`."""
        if self.manifest.layout == "array":
            return self.predict_matrix(matrix_of(self.signature, columns))
        return self._ask(self._frame(conform(self.signature, columns)))

    def predict_matrix(self, matrix: Array) -> dict[str, Array]:
        """Return the outputs for a float64 matrix [n, k] in the signature's order that was checked against it (layout array only)."""
        return self._ask(matrix)

    def _frame(self, arrays: dict[str, Array]) -> Any:
        import pandas as pd

        values = {column.name: column.values for column in self.signature.inputs}  # noqa: PD011 - a field of ours, no DataFrame
        series = {
            name: pd.Categorical(array, categories=list(values[name] or ()))
            if name in self.manifest.categories
            else _strings(array)
            for name, array in arrays.items()
        }
        return pd.DataFrame(series, copy=False)

    def _ask(self, rows: Any) -> dict[str, Array]:
        from sklearn import config_context

        try:
            with config_context(assume_finite=self._is_finite):
                outputs = self._outputs(rows)
        except Exception as error:
            msg = f"{type(self._estimator).__name__} failed: {type(error).__name__}: {error}"
            raise ModelFailedError(msg) from error
        return _checked(outputs, self._expected, len(rows))

    def _outputs(self, rows: Any) -> dict[str, Array]:
        if not self._has_probabilities:
            return {"predict": self._estimator.predict(rows)}
        probabilities = self._estimator.predict_proba(rows)
        labels = self._estimator.classes_[probabilities.argmax(axis=1)] if self._is_argmax else self._estimator.predict(rows)
        return {"predict": labels, "predict_proba": probabilities}


class OnnxPredictor:
    """The graph of a scikit-learn estimator, with which it agreed when it was packed; needs onnxruntime only."""

    def __init__(self, manifest: Manifest, graph: folders.Onnx, session: OnnxSession) -> None:
        """Keep the session of `graph`, and prepare the way to its matrix."""
        self.manifest = manifest
        self._answers = session.ask
        self._expected = _expected(manifest.signature)
        self._coding = Coding(manifest.signature.inputs, manifest.categories, graph.vocabulary)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.manifest.signature

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Return the outputs for `columns`; see `Predictor.predict`."""
        if self.manifest.layout == "array":
            return self.predict_matrix(matrix_of(self.signature, columns))
        return self.predict_matrix(self._coding.matrix(conform(self.signature, columns)))

    def predict_matrix(self, matrix: Array) -> dict[str, Array]:
        """Return the outputs for a float64 matrix [n, k] in the signature's order that was checked against it, its text coded."""
        try:
            outputs = self._answers(matrix)
        except Exception as error:
            msg = f"the graph failed: {type(error).__name__}: {error}"
            raise ModelFailedError(msg) from error
        return _checked(outputs, self._expected, len(matrix))


class PythonPredictor:
    """An object of the project's own code that has `predict(columns) -> outputs`."""

    def __init__(self, manifest: Manifest, model: Any) -> None:
        """Keep the object that the entry function returned."""
        self.manifest = manifest
        self._model = model
        self._expected = _expected(manifest.signature)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.manifest.signature

    def predict(self, columns: Columns) -> dict[str, Array]:
        """Return the outputs for `columns`; see `Predictor.predict`."""
        arrays = conform(self.signature, columns)
        try:
            outputs = dict(self._model.predict(arrays))
        except Exception as error:
            msg = f"{self.manifest.entry} failed: {type(error).__name__}: {error}"
            raise ModelFailedError(msg) from error
        return _checked(outputs, self._expected, len(next(iter(arrays.values()))))


def load_fastest(folder: Path) -> OnnxPredictor | SklearnPredictor | PythonPredictor:
    """Return what serves a model folder: its graph where there is one and onnxruntime is installed, else as `load`."""
    manifest = folders.read(folder)
    if manifest.onnx is not None and not has_old_graph(manifest) and find_spec("onnxruntime"):
        return OnnxPredictor(manifest, manifest.onnx, _load_graph(folder / manifest.onnx.file, manifest.onnx, manifest.signature))
    return load(folder)


def has_old_graph(manifest: Manifest) -> bool:
    """Whether there is a graph that says its labels in a way which is no longer read."""
    return manifest.onnx is not None and manifest.version < folders.GRAPH_VERSION


def load(folder: Path) -> SklearnPredictor | PythonPredictor:
    """Return the predictor of a model folder as it was fitted: its answers are those that models are judged by.

    Raises `FolderError` saying what is wrong with the folder.
    """
    manifest = folders.read(folder)
    if manifest.flavor == "python":
        return PythonPredictor(manifest, _load_entry(folder, manifest))
    estimator = load_sklearn(folder / (manifest.file or ""), trusted=manifest.trusted, allow_pickle=manifest.allow_pickle)
    _pin_jobs(estimator)
    return SklearnPredictor(manifest, estimator)


def matrix_of(signature: Signature, columns: Columns) -> Array:
    """Return the columns as one float64 matrix in the signature's order; raise `BadRequestError` where a value is missing that may not."""
    matrix = np.column_stack(list(conform(signature, columns).values())).astype(np.float64, copy=False)
    finite = np.isfinite(matrix) if _is_finite(signature) else np.True_
    if not finite.all():
        row, index = divmod(int(finite.ravel().argmin()), matrix.shape[1])
        name = signature.inputs[index].name
        msg = f"input {name!r}, row {row}: got {matrix[row, index]}, expected a finite number (the column is not nullable)"
        raise BadRequestError(msg)
    return matrix


def _is_finite(signature: Signature) -> bool:
    return not any(column.nullable for column in signature.inputs)


def _load_graph(file: Path, graph: folders.Onnx, signature: Signature) -> OnnxSession:
    try:
        return OnnxSession(file, graph.datatype, signature.outputs)
    except Exception as error:  # onnxruntime has no class of its own for a garbled file
        msg = f"{file} cannot be loaded: {type(error).__name__}: {error}"
        raise FolderError(msg) from error


def _strings(array: Array) -> Array:
    """Return BYTES with NaN for what is missing, as in the tables that models are trained on; other arrays as they are."""
    if array.dtype != object:
        return array
    missing = np.array([value is None for value in array.tolist()], np.bool_)
    return np.where(missing, np.nan, array) if missing.any() else array


def _expected(signature: Signature) -> list[_Expected]:
    return [(output, output.name, DTYPES[output.datatype], output.shape[1:]) for output in signature.outputs]


def _checked(outputs: dict[str, Any], expected: list[_Expected], rows: int) -> dict[str, Array]:
    """Return the outputs as arrays of the signature's dtypes and shapes; raise `ModelFailedError` where they differ."""
    arrays: dict[str, Array] = {}
    for output, name, dtype, of_row in expected:
        if name not in outputs:
            msg = f"the model gave no output {name!r}"
            raise ModelFailedError(msg)
        array, shape = outputs[name], (rows, *of_row)
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            array = _cast(array, output)
        if array.shape != shape:
            _check_shape(array, shape, output)
        arrays[name] = array
    return arrays


def _cast(array: Any, output: Output) -> Array:
    try:
        return np.asarray(array).astype(DTYPES[output.datatype], copy=False)
    except (TypeError, ValueError) as error:
        msg = f"the model's output {output.name!r} is not {output.datatype}: {error}"
        raise ModelFailedError(msg) from error


def _check_shape(array: Array, shape: tuple[int, ...], output: Output) -> None:
    if len(array.shape) != len(shape) or any(want not in (-1, got) for want, got in zip(shape, array.shape, strict=True)):
        msg = f"the model's output {output.name!r} has the shape {list(array.shape)}, expected {list(shape)}"
        raise ModelFailedError(msg)


def _pin_jobs(estimator: Any) -> None:
    """Set n_jobs to 1 in an estimator and everything fitted inside it: one row is never worth a thread, and replicas share the cores."""
    for part in parts(estimator):
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1


def _load_entry(folder: Path, manifest: Manifest) -> Any:
    module_name, _, function_name = (manifest.entry or "").partition(":")
    try:
        function = getattr(_import_fresh(folder / "code", module_name), function_name)
        model = function(folder)
    except FolderError:
        raise
    except Exception as error:  # the project's code may raise anything
        msg = f"{folder}: {manifest.entry} cannot be loaded: {type(error).__name__}: {error}"
        raise FolderError(msg) from error
    if not callable(getattr(model, "predict", None)):
        msg = f"{folder}: {manifest.entry} returned a {type(model).__name__}, which has no predict(columns)"
        raise FolderError(msg)
    return model


def _import_fresh(code: Path, name: str) -> Any:
    """Import module `name` from `code`, whatever was imported under the same names before: two versions of a model share a process."""
    place = str(code.resolve())
    own = {path.stem for path in code.iterdir() if path.suffix == ".py" or path.is_dir()}
    hidden = sorted(own & (sys.stdlib_module_names | _TAKEN))
    if hidden:
        msg = f"{code} has modules that hide others: {', '.join(hidden)}"
        raise FolderError(msg)
    for loaded in [each for each in sys.modules if each.partition(".")[0] in own]:
        del sys.modules[loaded]
    sys.path.insert(0, place)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(place)


def ask_of(predictor: Predictor) -> Callable[[Any], dict[str, Array]]:
    """Return the function that answers what `tensors.Reader` reads: a matrix for layout array, columns for the others."""
    if isinstance(predictor, SklearnPredictor | OnnxPredictor) and predictor.manifest.layout == "array":
        return predictor.predict_matrix
    return predictor.predict
