"""Preparation of columns, from `preprocess:` in YAML and from what the columns and the estimator are.

What the spec leaves open is decided so:

    numeric      impute  none where the estimator takes missing values itself (trees, histogram boosting), else median
                 scale   standard for estimators that measure distances or slopes (linear, svm, neighbors, ...), else none
    categorical  none of both where the estimator takes categories itself (histogram boosting), else
                 impute  most_frequent
                 encode  onehot; a category that training has not seen becomes all zeros
    bool         impute  none where the estimator takes missing values itself, else most_frequent

Strings are categorical. Imported inside steps only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mlops.core.diagnostics import did_you_mean
from mlops.kinds.model import frames
from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.specs import Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.kinds.model.specs import Encode, Impute, Scale, Treatment

Sort = Literal["numeric", "categorical", "bool"]

_SCALED = frozenset(
    {"discriminant_analysis", "gaussian_process", "kernel_ridge", "linear_model", "neighbors", "neural_network", "svm"}
)
_MOST_COLUMNS = 1000  # that one column of text is turned into without being asked
_MOST_CATEGORIES = 255  # what histogram boosting takes in one column


@dataclass(frozen=True, slots=True)
class Prepared:
    """How one column is prepared, decided."""

    sort: Sort
    impute: Impute
    scale: Scale = "none"
    encode: Encode = "none"

    @property
    def is_as_it_is(self) -> bool:
        """Whether nothing is done to the column."""
        return self.impute == self.scale == self.encode == "none"


def decide(frame: pd.DataFrame, preprocess: Preprocess, estimator: Any) -> dict[str, Prepared]:
    """Return how each column of `frame` (the features, as read) is prepared.

    Raises:
        ModelError: an exception names a column that is none, or asks what its sort of column cannot have.
    """
    for name in preprocess.columns:
        if name not in frame.columns:
            message = f"preprocess.columns names '{name}', which is no feature"
            raise ModelError(message, did_you_mean(name, map(str, frame.columns), "the features"))
    sorts = {name: _sort(frame[name]) for name in frame.columns}
    defaults = _Defaults(estimator, takes_categories=_takes_categories(estimator, frame, sorts, preprocess))
    prepared = {name: _decide(name, sort, preprocess, defaults) for name, sort in sorts.items()}
    for name, each in prepared.items():
        is_asked = _merged(preprocess.columns.get(name), preprocess.categorical)["encode"] == "onehot"
        count = int(frame[name].nunique()) if each.encode == "onehot" and not is_asked else 0
        if count > _MOST_COLUMNS:
            message = f"the feature '{name}' has {count} different values, and each would become a column"
            hint = f"leave it out, or say `preprocess: {{columns: {{{name}: {{encode: ordinal}}}}}}` (or onehot, if it is meant)"
            raise ModelError(message, hint)
    return prepared


@dataclass(frozen=True, slots=True)
class _Defaults:
    estimator: Any
    takes_categories: bool

    @property
    def impute(self) -> Impute:
        return "none" if takes_missing(self.estimator) else "median"

    @property
    def scale(self) -> Scale:
        package, module, *_ = f"{type(self.estimator).__module__}..".split(".")
        return "standard" if package == "sklearn" and module in _SCALED else "none"


def takes_missing(estimator: Any) -> bool:
    """Tell whether the estimator says that it takes NaN."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    return bool(tags is not None and tags().input_tags.allow_nan)


def _takes_categories(estimator: Any, frame: pd.DataFrame, sorts: Mapping[str, Sort], preprocess: Preprocess) -> bool:
    """Tell whether the estimator is handed the table as it is: it takes categories, and nothing says otherwise."""
    if getattr(estimator, "categorical_features", None) != "from_dtype" or preprocess != Preprocess():
        return False
    dtypes = [frame[name].dtype for name, sort in sorts.items() if sort == "categorical"]
    return all(isinstance(dtype, pd.CategoricalDtype) and len(dtype.categories) <= _MOST_CATEGORIES for dtype in dtypes)


def _sort(series: pd.Series[Any]) -> Sort:
    known = frames.datatype(series.dtype)
    if isinstance(series.dtype, pd.CategoricalDtype) or known == "BYTES":
        return "categorical"
    return "bool" if known == "BOOL" else "numeric"


def _decide(name: str, sort: Sort, preprocess: Preprocess, defaults: _Defaults) -> Prepared:
    own = preprocess.columns.get(name)
    if sort == "categorical":
        asked = _merged(own, preprocess.categorical)
        _refuse(name, sort, scale=asked["scale"], impute=asked["impute"] if asked["impute"] in ("mean", "median") else None)
        if defaults.takes_categories:
            return Prepared(sort, "none")
        return Prepared(sort, asked["impute"] or "most_frequent", encode=asked["encode"] or "onehot")
    asked = _merged(own, preprocess.numeric)
    _refuse(name, sort, encode=asked["encode"])
    if sort == "numeric":
        return Prepared(sort, asked["impute"] or defaults.impute, asked["scale"] or defaults.scale)
    fill: Impute = "none" if defaults.impute == "none" else "most_frequent"
    return Prepared(sort, (own and own.impute) or fill, (own and own.scale) or "none")


def _merged(own: Treatment | None, common: Treatment) -> dict[str, Any]:
    return {field: getattr(own, field, None) or getattr(common, field) for field in ("impute", "scale", "encode")}


def _refuse(name: str, sort: Sort, **asked: str | None) -> None:
    for field, value in asked.items():
        if value not in (None, "none"):
            message = f"the {sort} feature '{name}' cannot have preprocess {field}: {value}"
            hint = "numeric columns take impute and scale, categorical ones impute (most_frequent) and encode"
            raise ModelError(message, hint)


def pipeline(prepared: Mapping[str, Prepared], estimator: Any, *, by_position: bool) -> Any:
    """Return the estimator behind its preparation: itself where there is none.

    `by_position` says that rows come as a matrix in the order of `prepared`, not as a table with names.
    """
    from sklearn.pipeline import Pipeline

    groups: dict[Prepared, list[Any]] = {}
    for position, (name, each) in enumerate(prepared.items()):
        groups.setdefault(each, []).append(position if by_position else name)
    if all(each.is_as_it_is for each in groups):
        return estimator
    if len(groups) == 1:
        return Pipeline([*_steps(next(iter(groups))), ("model", estimator)])
    return Pipeline([("columns", _by_column(groups)), ("model", estimator)])


def _by_column(groups: Mapping[Prepared, Sequence[Any]]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    counts: dict[str, int] = {}
    transformers = []
    for each, columns in groups.items():
        counts[each.sort] = counts.get(each.sort, 0) + 1
        name = each.sort if counts[each.sort] == 1 else f"{each.sort}-{counts[each.sort]}"
        transformers.append((name, "passthrough" if each.is_as_it_is else Pipeline(_steps(each)), list(columns)))
    return ColumnTransformer(transformers, sparse_threshold=0)


def _steps(prepared: Prepared) -> list[tuple[str, Any]]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    encoders = {
        "onehot": lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        "ordinal": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    }
    steps: list[tuple[str, Any]] = []
    if prepared.impute != "none":
        steps.append(("impute", SimpleImputer(strategy=prepared.impute)))
    if prepared.scale != "none":
        steps.append(("scale", StandardScaler()))
    if prepared.encode != "none":
        steps.append(("encode", encoders[prepared.encode]()))
    return steps
