"""From a table to what a model takes: which columns, their signature, and rows in exactly the form in which a server hands them over.

A model is fitted on what `Shape.rows` returns, so that it never sees in production what it has not seen in training: missing
numbers as NaN in float64, categories over the signature's `values`. Imported inside steps only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

from mlops.core.diagnostics import did_you_mean
from mlops.kinds.model.errors import ModelError
from mlops.serving.signatures import Column, Output, Signature, conform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt


def features_of(frame: pd.DataFrame, label: str, names: Sequence[str] | None) -> list[str]:
    """Return the feature columns: the given ones, else all but the label and the key.

    Raises:
        ModelError: the label, or a feature, is not among the columns; there is no feature.
    """
    columns = [str(column) for column in frame.columns]
    absent = [name for name in (label, *(names or ())) if name not in columns]
    if absent:
        message = "; ".join(f"the {'label' if name == label else 'feature'} '{name}' is no column of the data" for name in absent)
        raise ModelError(message, " ".join(did_you_mean(name, columns, "its columns") for name in absent))
    found = list(names) if names is not None else [name for name in columns if name not in (label, frame.attrs.get("key"))]
    if not found:
        message = f"the data has no column besides the label '{label}'"
        raise ModelError(message, "give the dataset the columns that the model is to learn from")
    return found


def datatype(dtype: Any) -> str | None:
    """Return the protocol's datatype for a pandas dtype, or None where it has none (dates, for instance)."""
    if isinstance(dtype, pd.CategoricalDtype):
        return datatype(dtype.categories.dtype)
    if types.is_bool_dtype(dtype):
        return "BOOL"
    if types.is_integer_dtype(dtype):
        return "UINT64" if str(dtype).lower() == "uint64" else "INT64"
    if types.is_float_dtype(dtype):
        return "FP64"
    return "BYTES" if types.is_string_dtype(dtype) or types.is_object_dtype(dtype) else None


def _problem(series: pd.Series[Any]) -> str | None:
    """Return why no model can take the column, or None."""
    if datatype(series.dtype) is None:
        return f"the feature '{series.name}' is {series.dtype}, which no model takes"
    if series.isna().all():
        return f"the feature '{series.name}' has no value in any of the {len(series)} rows"
    return None


def _column(series: pd.Series[Any], *, nullable: bool) -> Column:
    """Return the signature of one column that has no problem."""
    values = tuple(series.cat.categories.tolist()) if isinstance(series.dtype, pd.CategoricalDtype) else None
    return Column(str(series.name), datatype(series.dtype) or "", nullable=nullable, values=values)


def arrays(frame: pd.DataFrame, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Return columns as arrays [n] for `signatures.conform`: missing numbers NaN, missing strings None."""
    return {name: _array(frame[name]) for name in names}


def _array(series: pd.Series[Any]) -> npt.NDArray[Any]:
    if isinstance(series.dtype, pd.CategoricalDtype) or datatype(series.dtype) == "BYTES":
        plain = series.astype(object)
        return plain.where(plain.notna(), None).to_numpy()
    if series.isna().any():
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy()


def columns_for(signature: Signature, frame: pd.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return what a predictor takes, from a table that the model was not trained on.

    Raises:
        ModelError: a column is missing from the table.
    """
    names = [each.name for each in signature.inputs]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        message = f"the data lacks {', '.join(missing)}, which the model takes"
        raise ModelError(message, did_you_mean(missing[0], map(str, frame.columns), "its columns"))
    return arrays(frame, names)


def allowed(column: Column) -> tuple[Any, ...]:
    """Return the values that a category may have; none for other columns."""
    return column.values or ()  # noqa: PD011 - a field of the signature, no pandas


@dataclass(frozen=True, slots=True)
class Shape:
    """The form in which rows reach a model; see `serving.folders.Manifest`."""

    inputs: tuple[Column, ...]
    categories: tuple[str, ...]
    layout: Literal["array", "frame"]

    @property
    def is_numeric(self) -> bool:
        """Whether a matrix of float64 holds every column."""
        return not self.categories and all(each.datatype != "BYTES" for each in self.inputs)

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame | npt.NDArray[np.float64]:
        """Return the rows of a table as the predictor of this layout hands them over: a float64 matrix [n, k], or a table."""
        columns = conform(self.signature(()), arrays(frame, [each.name for each in self.inputs]))
        if self.layout == "array":
            return np.column_stack(list(columns.values())).astype(np.float64, copy=False)
        return pd.DataFrame({each.name: self._series(each, columns[each.name]) for each in self.inputs})

    def _series(self, column: Column, array: npt.NDArray[Any]) -> Any:
        if column.name in self.categories:
            return pd.Categorical(array, categories=list(allowed(column)))
        return np.where(pd.isna(array), np.nan, array) if array.dtype == object else array

    def signature(self, outputs: tuple[Output, ...]) -> Signature:
        """Return the signature with these outputs; without any it serves `conform`, which looks at the inputs only."""
        return Signature(self.inputs, outputs or (Output("predict", "FP64", (-1,)),))


def shape_of(frame: pd.DataFrame, nullable: Mapping[str, bool]) -> Shape:
    """Return the shape of the features in `frame`: a matrix where all are numbers, else a table.

    Raises:
        ModelError: columns are of a type that models do not take, or have no value at all.
    """
    problems = [problem for name in frame.columns if (problem := _problem(frame[name]))]
    if problems:
        hint = "leave them out (`features:` lists the others), or make numbers of them in a `python:` function"
        raise ModelError("; ".join(problems), hint)
    inputs = tuple(_column(frame[name], nullable=nullable[str(name)]) for name in frame.columns)
    categories = tuple(str(name) for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype))
    shape = Shape(inputs, categories, "frame")
    return replace(shape, layout="array") if shape.is_numeric else shape


def typical(frame: pd.DataFrame, inputs: Iterable[Column]) -> dict[str, npt.NDArray[Any]]:
    """Return one row for the input example: each column's middle or most frequent value, so that no person's row leaves the data."""
    return {each.name: _typical(each, frame[each.name].dropna()) for each in inputs}


def _typical(column: Column, present: pd.Series[Any]) -> npt.NDArray[Any]:
    if column.datatype == "FP64" and not allowed(column):
        return np.array([float(np.median(present.to_numpy(dtype=np.float64)))])
    if column.datatype in ("BOOL", "BYTES") or allowed(column):
        value = present.astype(object).mode().iloc[0]
        return np.array([value], dtype=object if column.datatype == "BYTES" else None)
    return np.array([sorted(present.to_numpy().tolist())[len(present) // 2]], dtype=column.dtype)


def truth(frame: pd.DataFrame, label: str) -> pd.Series[Any]:
    """Return the label's column, complete.

    Raises:
        ModelError: it is not there, or has gaps.
    """
    if label not in frame.columns:
        message = f"the label '{label}' is no column of the data"
        raise ModelError(message, did_you_mean(label, map(str, frame.columns), "its columns"))
    gaps = int(frame[label].isna().sum())
    if gaps:
        message = f"the label '{label}' is missing in {gaps} of {len(frame)} rows"
        raise ModelError(message, "leave such rows out of the data; a model is neither trained nor judged on them")
    return frame[label]


def plain_values(series: pd.Series[Any]) -> list[Any]:
    """Return the label's values as Python's own bool, int, float or str."""
    return list(series.astype(object).map(lambda value: value.item() if isinstance(value, np.generic) else value))
