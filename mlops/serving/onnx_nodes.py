"""The steps of a model for which skl2onnx has no converter that serves: preparation in float64, text included, and ensembles of trees.

skl2onnx 1.20 fills gaps in float32 only, knows no text that is missing, cannot read histogram boosting under numpy 2.4, and takes seconds
for a forest because it visits each node in Python. `onnx_graphs` hands these converters to it. Text is a number here: its place in the
vocabulary of the whole model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, guess_numpy_type

from mlops.serving.signatures import Array

Codes = Mapping[str, int]
Convert = Callable[[Any, Any, Any], None]  # scope, operator, container: skl2onnx's own types
_OPSET = 18  # of the operators below; none of them has changed since


class Nodes:
    """Adds operators to the graph that skl2onnx builds; names are made up."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        """Begin at the inputs of `operator`, joined to one matrix."""
        self._scope = scope
        self._container = container
        self._results = [each.full_name for each in operator.outputs]
        names = [each.full_name for each in operator.inputs]
        self.dtype = np.dtype(guess_numpy_type(operator.inputs[0].type))
        self.matrix: str = names[0] if len(names) == 1 else self.add("Concat", *names, axis=1)

    def add(self, kind: str, *inputs: str, result: int | None = None, domain: str = "", **attributes: Any) -> str:
        """Add an operator; return the name of its output, the operator's own number `result` where that is given."""
        output: str = self._scope.get_unique_variable_name(kind) if result is None else self._results[result]
        name = self._scope.get_unique_operator_name(kind)
        # skl2onnx refuses version 5 of the trees' domain, in which TreeEnsemble is: `onnx_graphs` states it afterwards.
        version = 1 if domain else _OPSET
        self._container.add_node(kind, list(inputs), output, name=name, op_domain=domain, op_version=version, **attributes)
        return output

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add an array, by default in the precision of the graph."""
        array = np.asarray(values, dtype or self.dtype)
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, None, None, numpy_helper.from_array(array, name))
        return name

    def column(self, place: int) -> str:
        """Return one column [n, 1] of the matrix."""
        return self.add("Gather", self.matrix, self.constant([place], np.int64), axis=1)

    def cast(self, name: str, dtype: Any) -> str:
        """Return the values in another datatype."""
        kinds = {np.dtype(np.float64): TensorProto.DOUBLE, np.dtype(np.float32): TensorProto.FLOAT}
        return self.add("Cast", name, to=kinds[np.dtype(dtype)])


def number(value: Any, codes: Codes) -> float:
    """Return what stands for a value in the graph: text by its place in the vocabulary; what is missing stays so."""
    return float(codes[value]) if isinstance(value, str) else np.nan if value is None else float(value)


def is_missing(value: Any) -> bool:
    """Tell whether a category is that of what is missing."""
    return value is None or (isinstance(value, float) and np.isnan(value))


# -- preparation -------------------------------------------------------------------------------------------------------


def imputer(codes: Codes) -> Convert:
    """Return the converter of a SimpleImputer."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        step, nodes = operator.raw_operator, Nodes(scope, operator, container)
        fills = [number(value, codes) for value in step.statistics_.tolist()]
        refuse(step.add_indicator or not is_missing(step.missing_values) or bool(np.isnan(fills).any()), step)
        nodes.add("Where", nodes.add("IsNaN", nodes.matrix), nodes.constant(fills), nodes.matrix, result=0)

    return convert


def onehot(codes: Codes) -> Convert:
    """Return the converter of a OneHotEncoder that lets unknown categories pass."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        step, nodes = operator.raw_operator, Nodes(scope, operator, container)
        refuse(step.handle_unknown == "error" or step.drop is not None or _groups(step), step)
        parts = []
        for place, known in enumerate(step.categories_):
            column = nodes.column(place)
            hits, is_missing_known = hits_of(nodes, column, known.tolist(), codes)
            parts += [hits, nodes.cast(nodes.add("IsNaN", column), nodes.dtype)] if is_missing_known else [hits]
        nodes.add("Concat", *parts, axis=1, result=0)

    return convert


def ordinal(codes: Codes) -> Convert:
    """Return the converter of an OrdinalEncoder that lets unknown categories pass."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        step, nodes = operator.raw_operator, Nodes(scope, operator, container)
        refuse(step.handle_unknown == "error" or _groups(step), step)
        nodes.add("Concat", *_places(nodes, step, codes), axis=1, result=0)

    return convert


def _places(nodes: Nodes, step: Any, codes: Codes) -> list[str]:
    """Return, for each column of an OrdinalEncoder, the places [n, 1] of its values among its categories."""
    axis, zero = nodes.constant([1], np.int64), nodes.constant(0)
    unknown = nodes.constant(np.nan if step.unknown_value is None else step.unknown_value)
    parts = []
    for place, known in enumerate(step.categories_):
        column = nodes.column(place)
        hits, is_missing_known = hits_of(nodes, column, known.tolist(), codes)
        order = nodes.add("ReduceSum", nodes.add("Mul", hits, nodes.constant(np.arange(len(known) - is_missing_known))), axis)
        is_known = nodes.add("Greater", nodes.add("ReduceMax", hits, axis), zero)
        result = nodes.add("Where", is_known, order, unknown)
        if is_missing_known:
            result = nodes.add("Where", nodes.add("IsNaN", column), nodes.constant(step.encoded_missing_value), result)
        parts.append(result)
    return parts


def hits_of(nodes: Nodes, column: str, known: list[Any], codes: Codes) -> tuple[str, bool]:
    """Return [n, k], 1 where the column's value is the k-th category, else 0; and whether what is missing is one more, the last."""
    present = [number(value, codes) for value in known if not is_missing(value)]
    hits = nodes.cast(nodes.add("Equal", column, nodes.constant([present])), nodes.dtype)
    return hits, len(present) < len(known)


def _groups(step: Any) -> bool:
    """Tell whether an encoder takes rare categories together."""
    return step.min_frequency is not None or step.max_categories is not None


def refuse(is_wrong: bool, step: Any) -> None:  # noqa: FBT001 - a condition, not a switch
    """Raise `NotImplementedError` where a step is set to what no graph does."""
    if is_wrong:
        msg = f"{type(step).__name__} is set to something that the graph cannot do"
        raise NotImplementedError(msg)


def same_width(operator: Any) -> None:
    """Say that the output is as wide as what the step was fitted on."""
    _shape(operator, operator.raw_operator.n_features_in_)


def onehot_width(operator: Any) -> None:
    """Say that the output has a column for each category."""
    _shape(operator, sum(map(len, operator.raw_operator.categories_)))


def _shape(operator: Any, width: int) -> None:
    first = operator.inputs[0]
    operator.outputs[0].type = type(first.type)([first.get_first_dimension(), width])


def answers(operator: Any) -> None:
    """Say what an ensemble gives: places of labels [n] and probabilities [n, k], or numbers [n, 1]; all in float64."""
    rows = operator.inputs[0].get_first_dimension()
    classes = getattr(operator.raw_operator, "classes_", None)
    if classes is None:
        operator.outputs[0].type = DoubleTensorType([rows, 1])
        return
    operator.outputs[0].type = Int64TensorType([rows])
    operator.outputs[1].type = DoubleTensorType([rows, len(classes)])


def array_of(parts: Sequence[Array]) -> Array:
    """Return the parts in one array; none for none."""
    return np.concatenate(parts) if parts else np.zeros(0)
