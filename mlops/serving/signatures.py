"""What a model takes and gives: named columns with datatypes of the Open Inference Protocol V2, and how absence is spelled.

Read by `tensors` for requests and by `predictors` for whole tables. A missing value is null in JSON; in arrays it is NaN for numbers and
None or NaN among BYTES. Therefore a nullable BOOL or integer column reaches the model as float64, and must have been trained so.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mlops.serving.errors import BadRequestError

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]
Scalar = bool | int | float | str

# The datatypes of the protocol and the arrays that hold them; BYTES are Python strings.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset(name for name in DTYPES if "INT" in name)


def _check_datatype(owner: str, datatype: str) -> None:
    if datatype not in DTYPES:
        msg = f"{owner} has the unknown datatype {datatype!r}; known are {', '.join(DTYPES)}"
        raise ValueError(msg)


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input column; `values` are the allowed ones, `min` and `max` are inclusive bounds in the column's own unit."""

    name: str
    datatype: str
    nullable: bool = False
    values: tuple[Scalar, ...] | None = None
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        """Refuse a datatype that the protocol does not know."""
        _check_datatype(f"input {self.name!r}", self.datatype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of this column's arrays: float64 where numbers or truth values may be missing."""
        plain = DTYPES[self.datatype]
        return np.dtype(np.float64) if self.nullable and plain.kind in "biu" else plain


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One output tensor; `shape` begins with -1, the rows; `classes` are the labels that the last axis or the values stand for."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    classes: tuple[Scalar, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a datatype that the protocol does not know and a shape without rows."""
        _check_datatype(f"output {self.name!r}", self.datatype)
        if not self.shape or self.shape[0] != -1:
            msg = f"output {self.name!r} has the shape {list(self.shape)}; the first dimension is the rows, -1"
            raise ValueError(msg)


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns a model takes, in order, and the tensors it gives."""

    inputs: tuple[Column, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        """Refuse a signature without inputs or outputs and names that are used twice."""
        for side, named in (("input", self.inputs), ("output", self.outputs)):
            names = [each.name for each in named]
            if not names:
                msg = f"a signature needs at least one {side}"
                raise ValueError(msg)
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                msg = f"the {side} names {', '.join(map(repr, twice))} are used twice"
                raise ValueError(msg)

    @property
    def is_numeric(self) -> bool:
        """Whether every column fits one matrix of float64."""
        return all(column.datatype != "BYTES" for column in self.inputs)


def conform(signature: Signature, columns: Columns) -> dict[str, Array]:
    """Return `columns` in the signature's order with the signature's dtypes, each of shape [n]; columns it does not name are left out.

    For whole tables whose values were checked elsewhere: a missing column, unequal lengths and values that do not convert raise
    `BadRequestError`; bounds and allowed values are not looked at. Arrays that conform already are passed on without a copy.
    """
    missing = [column.name for column in signature.inputs if column.name not in columns]
    if missing:
        msg = f"the input {', '.join(map(repr, missing))} is missing"
        raise BadRequestError(msg)
    arrays = {column.name: _cast(column, np.asarray(columns[column.name])) for column in signature.inputs}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        msg = f"the inputs differ in rows: {', '.join(f'{name!r} has {len(array)}' for name, array in arrays.items())}"
        raise BadRequestError(msg)
    return arrays


def _cast(column: Column, array: Array) -> Array:
    if array.ndim != 1:
        msg = f"input {column.name!r} has {array.ndim} dimensions, expected 1"
        raise BadRequestError(msg)
    if array.dtype == column.dtype:
        return array
    try:
        if array.dtype == object and column.dtype.kind == "f":
            array = np.array([np.nan if value is None else value for value in array.tolist()])
        return array.astype(
            column.dtype, casting="unsafe" if array.dtype == object or column.datatype == "BYTES" else "same_kind"
        )
    except (TypeError, ValueError):
        msg = f"input {column.name!r} holds {array.dtype}, expected {column.datatype}"
        raise BadRequestError(msg) from None
