"""Ensembles of trees as one `TreeEnsemble` operator, in float64 and node for node as scikit-learn compares: forests, trees, histogram boosting.

Forests cast a row to float32 and compare with thresholds in float64, histogram boosting compares in float64; both say where a missing value
goes. The graph does the same, so that no row falls on another side. Source: ONNX, ai.onnx.ml 5, TreeEnsemble. Used by `onnx_graphs`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import numpy_helper

from mlops.serving.onnx_nodes import Codes, Convert, Nodes, array_of, hits_of, refuse
from mlops.serving.signatures import Array

_DOMAIN = "ai.onnx.ml"
_SUM = 1  # of the operator's aggregate functions
_LEQ = 0  # of its modes
_MOST_NODES = 5_000_000  # about 350 MB of graph
_WORD = 32  # bits of a word of a set of categories


@dataclass
class Ensemble:
    """The arrays of the operator, as they grow by one tree after the other."""

    targets: int
    roots: list[int] = field(default_factory=list)
    inner: int = 0
    leaves: int = 0
    columns: dict[str, list[Array]] = field(default_factory=dict)

    def add(self, tree: dict[str, Array], target: int) -> None:
        """Add a tree whose leaves count for `target`; arrays over its nodes: see `_of_tree`."""
        is_leaf = tree["left"] < 0
        at = np.where(is_leaf, self.leaves + np.cumsum(is_leaf) - 1, self.inner + np.cumsum(~is_leaf) - 1)
        if is_leaf[0]:  # the operator begins with a node that compares: one that leads to the leaf either way
            self._single(tree["value"][0], target)
            return
        left, right = tree["left"][~is_leaf], tree["right"][~is_leaf]
        self.roots.append(self.inner)
        self._extend(
            nodes_featureids=tree["feature"][~is_leaf],
            nodes_splits=tree["threshold"][~is_leaf],
            nodes_missing_value_tracks_true=tree["missing_left"][~is_leaf],
            nodes_truenodeids=at[left],
            nodes_trueleafs=is_leaf[left],
            nodes_falsenodeids=at[right],
            nodes_falseleafs=is_leaf[right],
            leaf_weights=tree["value"][is_leaf],
            leaf_targetids=np.full(int(is_leaf.sum()), target),
        )

    def _single(self, value: float, target: int) -> None:
        self.roots.append(self.inner)
        compared = {"nodes_featureids": 0, "nodes_splits": 0.0, "nodes_missing_value_tracks_true": 0}
        ends = {"nodes_truenodeids": self.leaves, "nodes_falsenodeids": self.leaves, "nodes_trueleafs": 1, "nodes_falseleafs": 1}
        leaf = {"leaf_weights": value, "leaf_targetids": target}
        self._extend(**{name: np.array([each]) for name, each in (compared | ends | leaf).items()})

    def _extend(self, **columns: Array) -> None:
        for name, values in columns.items():
            self.columns.setdefault(name, []).append(values)
        self.inner += len(columns["nodes_splits"])
        self.leaves += len(columns["leaf_weights"])
        if self.inner > _MOST_NODES:
            msg = f"the model has more than {_MOST_NODES} nodes"
            raise NotImplementedError(msg)

    def write(self, nodes: Nodes, matrix: str) -> str:
        """Add the operator over a float64 matrix; return the sums [n, targets]."""
        arrays = {name: array_of(parts) for name, parts in self.columns.items()}
        tensors = {"nodes_splits": np.float64, "leaf_weights": np.float64}
        attributes: dict[str, Any] = {
            name: numpy_helper.from_array(array.astype(tensors[name])) if name in tensors else array.astype(np.int64).tolist()
            for name, array in arrays.items()
        }
        attributes["nodes_modes"] = numpy_helper.from_array(np.full(self.inner, _LEQ, np.uint8))
        fixed: dict[str, Any] = {
            "aggregate_function": _SUM,
            "post_transform": 0,
            "n_targets": self.targets,
            "tree_roots": self.roots,
        }
        return nodes.add("TreeEnsemble", matrix, domain=_DOMAIN, **fixed, **attributes)


# -- trees and forests -------------------------------------------------------------------------------------------------


def forest(scope: Any, operator: Any, container: Any) -> None:
    """Convert a decision tree or a forest, for classes or numbers."""
    model, nodes = operator.raw_operator, Nodes(scope, operator, container)
    refuse(model.n_outputs_ != 1, model)
    trees = [each.tree_ for each in getattr(model, "estimators_", [model])]
    classes = getattr(model, "classes_", None)
    targets = [0] if classes is None else [1] if len(classes) == 2 else list(range(len(classes)))  # noqa: PLR2004 - of two one tells both
    ensemble = Ensemble(len(targets))
    for target, place in enumerate(targets):
        for tree in trees:
            ensemble.add(_of_tree(tree, place), target)
    rounded = nodes.cast(nodes.cast(nodes.matrix, np.float32), np.float64)
    sums = ensemble.write(nodes, rounded)
    count = nodes.constant(float(len(trees)), np.float64)
    if classes is None:
        nodes.add("Div", sums, count, result=0)
    else:
        _labels(nodes, nodes.add("Div", sums, count), len(classes))


def _of_tree(tree: Any, place: int) -> dict[str, Array]:
    return {
        "left": tree.children_left,
        "right": tree.children_right,
        "feature": tree.feature,
        "threshold": tree.threshold,
        "missing_left": tree.missing_go_to_left.astype(bool),
        "value": tree.value[:, 0, place],
    }


def _labels(nodes: Nodes, chances: str, classes: int) -> None:
    """Add both results of a classifier; `chances` [n, k], of two classes the second alone."""
    if classes == 2:  # noqa: PLR2004 - binary
        other = nodes.add("Sub", nodes.constant(1.0, np.float64), chances)
        chances = nodes.add("Concat", other, chances, axis=1)
    nodes.add("Identity", chances, result=1)
    nodes.add("ArgMax", chances, result=0, axis=1, keepdims=0)


# -- histogram boosting ------------------------------------------------------------------------------------------------


class _Sets:
    """The sets of categories that some node sends to the left, as further columns: 0 for a member, 1 for others, NaN for what is missing.

    A node then compares like any other, and nodes that ask for the same set share a column.
    """

    def __init__(self, model: Any) -> None:
        """Look at every node of a model; trees number categories first, then numbers."""
        is_category = model.is_categorical_ if model.is_categorical_ is not None else np.zeros(model.n_features_in_, bool)
        self.categories: list[int] = np.flatnonzero(is_category).tolist()
        self.numbers: list[int] = np.flatnonzero(~is_category).tolist()
        self.bits: list[dict[bytes, Array]] = [{} for _ in self.categories]
        for tree in (tree for iteration in model._predictors for tree in iteration):  # noqa: SLF001 - what was fitted stands nowhere else
            for node in tree.nodes[_chooses(tree)]:
                bits = tree.raw_left_cat_bitsets[node["bitset_idx"]]
                self.bits[node["feature_idx"]].setdefault(bits.tobytes(), bits)
        order = [(place, key) for place, found in enumerate(self.bits) for key in found]
        self._columns = {each: len(self.numbers) + index for index, each in enumerate(order)}

    def columns(self, tree: Any) -> Array:
        """Return the column that each node compares."""
        found = tree.nodes["feature_idx"].astype(np.int64) - len(self.categories)
        for place in np.flatnonzero(_chooses(tree)):
            node = tree.nodes[place]
            found[place] = self._columns[int(node["feature_idx"]), tree.raw_left_cat_bitsets[node["bitset_idx"]].tobytes()]
        compared: Array = np.maximum(found, 0)  # a leaf compares nothing
        return compared

    def write(self, nodes: Nodes, model: Any, codes: Codes) -> str:
        """Add the matrix of numbers and sets that the trees see."""
        if not self.categories:
            return nodes.matrix
        encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - the same
        parts = [nodes.add("Gather", nodes.matrix, nodes.constant(self.numbers, np.int64), axis=1)] if self.numbers else []
        for place, known, found in zip(self.categories, encoder.categories_, self.bits, strict=True):
            if found:
                hits, is_missing_known = hits_of(nodes, nodes.column(place), known.tolist(), codes)
                others = np.stack(
                    [[not _holds(bits, index) for bits in found.values()] for index in range(len(known) - is_missing_known)]
                )
                column = nodes.add("MatMul", hits, nodes.constant(others))
                is_known = nodes.add("Greater", nodes.add("ReduceMax", hits, nodes.constant([1], np.int64)), nodes.constant(0))
                parts.append(nodes.add("Where", is_known, column, nodes.constant(np.nan)))
        return nodes.add("Concat", *parts, axis=1)


def _chooses(tree: Any) -> Array:
    """Tell of each node whether it asks for a category."""
    chosen: Array = np.logical_and(tree.nodes["is_categorical"], np.logical_not(tree.nodes["is_leaf"]))
    return chosen


def _holds(bits: Array, index: int) -> bool:
    return bool(int(bits[index // _WORD]) >> (index % _WORD) & 1)


def boosting(codes: Codes) -> Convert:
    """Return the converter of histogram boosting, for classes or numbers, with its own encoding of categories."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        model, nodes = operator.raw_operator, Nodes(scope, operator, container)
        sets, ensemble = _Sets(model), Ensemble(model.n_trees_per_iteration_)
        for iteration in model._predictors:  # noqa: SLF001 - the same
            for target, tree in enumerate(iteration):
                ensemble.add(_of_histogram(tree, sets), target)
        start = nodes.constant(np.ravel(model._baseline_prediction), np.float64)  # noqa: SLF001 - the same
        _linked(
            nodes, model, nodes.add("Add", ensemble.write(nodes, nodes.cast(sets.write(nodes, model, codes), np.float64)), start)
        )

    return convert


def _of_histogram(tree: Any, sets: _Sets) -> dict[str, Array]:
    found = tree.nodes
    is_leaf = found["is_leaf"].astype(bool)
    return {
        "left": np.where(is_leaf, -1, found["left"].astype(np.int64)),
        "right": np.where(is_leaf, -1, found["right"].astype(np.int64)),
        "feature": sets.columns(tree),
        "threshold": np.where(_chooses(tree), 0.5, found["num_threshold"]),
        "missing_left": found["missing_go_to_left"].astype(bool),
        "value": found["value"],
    }


def _linked(nodes: Nodes, model: Any, raw: str) -> None:
    """Add the results of raw sums [n, k]: by the inverse of the loss's link."""
    classes = getattr(model, "classes_", None)
    if classes is not None:
        chances = nodes.add("Sigmoid", raw) if len(classes) == 2 else nodes.add("Softmax", raw, axis=1)  # noqa: PLR2004 - binary
        _labels(nodes, chances, len(classes))
    elif model.loss in ("poisson", "gamma"):
        nodes.add("Exp", raw, result=0)
    else:
        nodes.add("Identity", raw, result=0)
