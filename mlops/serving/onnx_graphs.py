"""From a fitted estimator to the bytes of an ONNX graph over one matrix [n, k]: skl2onnx, and our converters where it has none that serves.

Called by `onnx_files.convert` while a model is packed, in a process of its own that is stopped when it takes too long; the only importer of
onnx and skl2onnx beside `onnx_nodes` and `onnx_trees`. Labels come out as places among the classes, so that their datatype does not matter.
"""

import copy
import warnings
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from mlops.serving import onnx_nodes, onnx_trees
from mlops.serving.folders import Datatype
from mlops.serving.onnx_nodes import Codes, Convert
from mlops.serving.sklearn_files import parts

INPUT = "input"
_ENCODERS = (OneHotEncoder, OrdinalEncoder)
_FORESTS = (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
_BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_TREES = ("sklearn.tree", "sklearn.ensemble")


def datatypes(estimator: Any) -> tuple[Datatype, ...]:
    """Return the datatypes of the graph's input to try, the more exact one first.

    Trees that skl2onnx converts are asked in float32 only: graphs hold their thresholds in it, and skl2onnx 1.20 never returns from a
    float64 threshold that is infinite.
    """
    own = _FORESTS + _BOOSTED
    models = [type(part) for part in parts(estimator) if hasattr(part, "predict")]
    is_foreign = any(model.__module__.startswith(_TREES) and model not in own for model in models)
    return ("FP32",) if is_foreign else ("FP64", "FP32")


def vocabulary(estimator: Any) -> tuple[str, ...]:
    """Return every text that a step of the estimator knows, sorted."""
    known: set[str] = set()
    for part in parts(estimator):  # of a pipeline both what was given, which knows nothing, and what was fitted
        tables = getattr(part, "categories_", ()) if isinstance(part, _ENCODERS) else ()
        fills = getattr(part, "statistics_", ()) if isinstance(part, SimpleImputer) else ()
        known.update(value for table in (*tables, fills) for value in np.ravel(table).tolist() if isinstance(value, str))
    return tuple(sorted(known))


def graph(estimator: Any, names: list[str], datatype: Datatype) -> bytes:
    """Return the graph of `estimator` over a matrix of `datatype` whose columns are `names`. Equal estimators give equal bytes.

    Raises anything for what does not convert: skl2onnx lets through whatever it meets.
    """
    codes = {text: place for place, text in enumerate(vocabulary(estimator))}
    kind = DoubleTensorType if datatype == "FP64" else FloatTensorType
    chooses = isinstance(_first(estimator), ColumnTransformer)
    types = [(name, kind([None, 1])) for name in names] if chooses else [(INPUT, kind([None, len(names)]))]
    asked = _placed(estimator)
    options = {id(asked): {"zipmap": False}} if hasattr(asked, "predict_proba") else None
    converters, shapes = _own(codes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = convert_sklearn(
            asked,
            "model",
            types,
            options=options,
            custom_conversion_functions=converters,
            custom_shape_calculators=shapes,
        )
    if any(node.op_type == "TreeEnsemble" for node in found.graph.node):
        next(each for each in found.opset_import if each.domain == "ai.onnx.ml").version = 5
    if chooses:
        _join_inputs(found, names, datatype)
    content: bytes = found.SerializeToString(deterministic=True)
    return content


def _own(codes: Codes) -> tuple[dict[type, Convert], dict[type, Any]]:
    """Return our converters, and what tells the shapes of their results."""
    prepared = {
        SimpleImputer: (onnx_nodes.imputer(codes), onnx_nodes.same_width),
        OneHotEncoder: (onnx_nodes.onehot(codes), onnx_nodes.onehot_width),
        OrdinalEncoder: (onnx_nodes.ordinal(codes), onnx_nodes.same_width),
    }
    trees: dict[type, Any] = dict.fromkeys(_FORESTS, (onnx_trees.forest, onnx_nodes.answers))
    boosted = dict.fromkeys(_BOOSTED, (onnx_trees.boosting(codes), onnx_nodes.answers))
    every = prepared | trees | boosted
    return {kind: pair[0] for kind, pair in every.items()}, {kind: pair[1] for kind, pair in every.items()}


def _first(estimator: Any) -> Any:
    return _first(estimator.steps[0][1]) if hasattr(estimator, "steps") else estimator


def _placed(estimator: Any) -> Any:
    """Return a shallow copy whose classes are their places."""
    if hasattr(estimator, "steps"):
        piped = copy.copy(estimator)
        name, last = estimator.steps[-1]
        piped.steps = [*estimator.steps[:-1], (name, _placed(last))]
        return piped
    if "classes_" in vars(estimator):
        placed = copy.copy(estimator)
        placed.classes_ = np.arange(len(estimator.classes_))
        return placed
    return estimator


def _join_inputs(found: ModelProto, names: list[str], datatype: Datatype) -> None:
    """Let the graph take one matrix instead of one column after the other: a caller then hands over one array."""
    whole = next(name for name in (INPUT, *(f"{INPUT}_{index}" for index in range(len(names)))) if name not in names)
    sizes = f"{whole}_sizes"
    kind = TensorProto.DOUBLE if datatype == "FP64" else TensorProto.FLOAT
    body = found.graph
    del body.input[:]
    body.input.append(helper.make_tensor_value_info(whole, kind, [None, len(names)]))
    body.initializer.append(numpy_helper.from_array(np.ones(len(names), np.int64), sizes))
    body.node.insert(0, helper.make_node("Split", [whole, sizes], names, name=f"{whole}_split", axis=1))
