"""From the tensors of a request to what the model takes, every value checked against the signature.

`Reader.read` is called once for each request, between the JSON and the predictor. The checks that pass are whole-list or whole-array
operations; only once one fails are the rows walked, to name the first that is wrong.
"""

from collections.abc import Callable
from math import prod
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mlops.serving.errors import BadRequestError
from mlops.serving.protocols import InferRequest, Tensor
from mlops.serving.signatures import DTYPES, FLOATS, INTEGERS, Array, Column, Signature

_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(FLOATS, frozenset({float, int})),
    **dict.fromkeys(INTEGERS, frozenset({int})),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}
_WORDS = {
    "BOOL": "true or false",
    "BYTES": "a string",
    **dict.fromkeys(FLOATS, "a number"),
    **dict.fromkeys(INTEGERS, "an integer"),
}
_FLOAT = {float}
_NUMBERS = FLOATS | INTEGERS | {"BOOL"}
_Place = Callable[[int], tuple[Column, int]]  # the column and row of a position in the flat data
_MATRIX_DIMENSIONS = 2
_SHOWN = 60  # characters of a bad value that an answer repeats


class Reader:
    """Reads requests for one signature; `takes_matrix` says that the model wants one float64 matrix [n, k] and no columns."""

    def __init__(self, signature: Signature, *, takes_matrix: bool) -> None:
        """Prepare what does not change from request to request."""
        self._columns = {column.name: column for column in signature.inputs}
        self._takes_matrix = takes_matrix
        self._limits = _MatrixLimits(signature.inputs) if takes_matrix else None

    def read(self, request: InferRequest) -> Array | dict[str, Array]:
        """Return a float64 matrix [n, k], or one array [n] for each column in the signature's order; n ≥ 1.

        Raises `BadRequestError` that names the input, the row (from 0), the value and what was expected.
        """
        tensors = request.inputs
        if self._limits is not None and len(tensors) == 1 and len(tensors[0].shape) == _MATRIX_DIMENSIONS:
            only = tensors[0]
            if only.name not in self._columns or only.shape[1] != 1:
                return self._limits.read(only)
        columns = self._read_columns(tensors)
        return np.column_stack(list(columns.values())).astype(np.float64, copy=False) if self._takes_matrix else columns

    def _read_columns(self, tensors: list[Tensor]) -> dict[str, Array]:
        given = {tensor.name: tensor for tensor in tensors}
        if len(given) != len(tensors):
            names = [tensor.name for tensor in tensors]
            _refuse(f"the input {next(name for name in names if names.count(name) > 1)!r} is given twice")
        if given.keys() != self._columns.keys():
            self._refuse_names(given)
        arrays = {name: _read_column(given[name], column) for name, column in self._columns.items()}
        if len({len(array) for array in arrays.values()}) > 1:
            first, *others = arrays
            other = next(name for name in others if len(arrays[name]) != len(arrays[first]))
            _refuse(
                f"input {first!r} has {len(arrays[first])} rows and input {other!r} has {len(arrays[other])}; expected as many"
            )
        return arrays

    def _refuse_names(self, given: dict[str, Tensor]) -> NoReturn:
        missing = [name for name in self._columns if name not in given]
        unknown = [name for name in given if name not in self._columns]
        parts = [
            f"{words} {', '.join(map(_shown, names))}"
            for words, names in (("missing inputs:", missing), ("unknown inputs:", unknown))
            if names
        ]
        form = f"one tensor a column, or one tensor [n, {len(self._columns)}]" if self._takes_matrix else "one tensor a column"
        _refuse(f"{'; '.join(parts)}; expected {form}: {', '.join(map(repr, self._columns))}")


class _MatrixLimits:
    """What a matrix [n, k] must keep to, as vectors over its k columns."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._nullable = np.array([column.nullable for column in columns])
        self._integral = np.array([column.datatype not in FLOATS for column in columns])
        self._has_integral = bool(self._integral.any())
        bounds = [_bounds(column) for column in columns]
        self._low = np.array([low for low, _ in bounds])
        self._high = np.array([high for _, high in bounds])
        self._has_bounds = bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())
        self._listed = [index for index, column in enumerate(columns) if column.values is not None]

    def read(self, tensor: Tensor) -> Array:
        """Return the matrix of `tensor`, whose shape is [n, k]."""
        rows, width = tensor.shape
        if width != len(self._columns):
            names = ", ".join(repr(column.name) for column in self._columns)
            _refuse(
                f"input {_shown(tensor.name)} has the shape {tensor.shape}, expected [n, {len(self._columns)}], the columns {names}"
            )
        if self._is_plain(tensor):
            matrix = np.array(tensor.data, np.float64).reshape(rows, width)
            self._check(matrix, has_null=False)
            return matrix
        _check_datatype(tensor, _NUMBERS, "a number datatype")
        values = flat_data(tensor)
        has_null = _check_types(values, tensor.datatype, null_allowed=True, place=self._place)
        matrix = (
            _to_array(values, tensor.datatype, self._place, has_null=has_null).reshape(rows, width).astype(np.float64, copy=False)
        )
        self._check(matrix, has_null=has_null)
        return matrix

    def _is_plain(self, tensor: Tensor) -> bool:
        """Whether nothing but the limits is left to be looked at, as in most requests: flat, all floats, as many as the shape says."""
        data, shape = tensor.data, tensor.shape
        return (
            tensor.datatype == "FP64"
            and type(data) is list
            and len(data) == shape[0] * shape[1]
            and shape[0] > 0
            and set(map(type, data)) == _FLOAT
        )

    def _check(self, matrix: Array, *, has_null: bool) -> None:
        if has_null:
            self._refuse_where(np.isnan(matrix) & ~self._nullable, matrix, "a value (the column is not nullable)")
        if self._has_integral:
            whole = np.isnan(matrix) | (matrix == np.floor(matrix))
            self._refuse_where(~whole & self._integral, matrix, "an integer")
        if self._has_bounds:
            self._refuse_where((matrix < self._low) | (matrix > self._high), matrix, None)
        for index in self._listed:
            _check_values(matrix[:, index], self._columns[index])

    def _place(self, position: int) -> tuple[Column, int]:
        row, index = divmod(position, len(self._columns))
        return self._columns[index], row

    def _refuse_where(self, wrong: npt.NDArray[np.bool_], matrix: Array, expected: str | None) -> None:
        if wrong.any():
            position = int(wrong.ravel().argmax())
            column, row = self._place(position)
            value = matrix.ravel()[position].item()
            _refuse_value(column, row, None if np.isnan(value) else value, expected or _bounds_in_words(column))


def _read_column(tensor: Tensor, column: Column) -> Array:
    """Return the array [n] of a tensor of shape [n] or [n, 1]."""
    if not tensor.shape or tensor.shape[1:] not in ([], [1]):
        _refuse(f"input {column.name!r} has the shape {tensor.shape}, expected [n] or [n, 1]")
    _check_datatype(tensor, _accepted(column.datatype), column.datatype)
    values = flat_data(tensor)

    def place(position: int) -> tuple[Column, int]:
        return column, position

    has_null = _check_types(values, tensor.datatype, null_allowed=column.nullable, place=place)
    array = _to_array(values, tensor.datatype, place, has_null=has_null)
    if array.dtype != column.dtype:
        if column.datatype in INTEGERS:
            _check_integers(values, column.datatype, place)
        array = _narrowed(array, column.dtype, values, place)
    if column.datatype != "BYTES":
        _check_bounds(array, column)
    if column.values is not None:
        _check_values(array, column)
    return array


def _accepted(datatype: str) -> frozenset[str]:
    """Return the datatypes that a column takes: its own, and for numbers those that lose nothing or are checked value by value."""
    if datatype in FLOATS:
        return FLOATS | INTEGERS
    return INTEGERS if datatype in INTEGERS else frozenset({datatype})


def _check_datatype(tensor: Tensor, accepted: frozenset[str], expected: str) -> None:
    if tensor.datatype not in accepted:
        known = "" if tensor.datatype in DTYPES else "unknown "
        _refuse(f"input {_shown(tensor.name)} has the {known}datatype {_shown(tensor.datatype)}, expected {expected}")


def flat_data(tensor: Tensor) -> list[Any]:
    """Return the data, a list or an array, flat in row-major order; there is at least one row, and as many values as the shape says."""
    shape, data = tensor.shape, tensor.data
    if min(shape) < 1:
        _refuse(f"input {_shown(tensor.name)} has the shape {shape}, expected at least one row and no negative dimension")
    if isinstance(data, list) and data and type(data[0]) is list:
        data = _unnest(tensor)
    elif len(data) != prod(shape):
        _refuse(f"input {_shown(tensor.name)} has {len(data)} values, expected {prod(shape)} for the shape {shape}")
    return data


def _unnest(tensor: Tensor) -> list[Any]:
    level = tensor.data
    if len(level) != tensor.shape[0]:
        _refuse(f"input {_shown(tensor.name)} has {len(level)} rows, expected {tensor.shape[0]} for the shape {tensor.shape}")
    for width in tensor.shape[1:]:
        for position, item in enumerate(level):
            if type(item) is not list or len(item) != width:
                _refuse(f"input {_shown(tensor.name)}, row {position}: got {_shown(item)}, expected a list of {width}")
        level = [value for item in level for value in item]
    return level


def _check_types(values: list[Any], datatype: str, *, null_allowed: bool, place: _Place) -> bool:
    """Refuse a value that is not of the declared datatype; return whether any is null, which is NaN among numbers that came as bytes."""
    if isinstance(values, np.ndarray):
        return _check_numbers(values, null_allowed=null_allowed, place=place)
    allowed = _TYPES[datatype]
    found = set(map(type, values))
    if found <= allowed:
        return False
    if null_allowed:
        allowed |= {type(None)}
    if not found <= allowed:
        position = next(index for index, value in enumerate(values) if type(value) not in allowed)
        column, row = place(position)
        missing = values[position] is None
        _refuse_value(
            column,
            row,
            values[position],
            "a value (the column is not nullable)" if missing else f"{_WORDS[datatype]} ({datatype})",
        )
    return True


def _check_numbers(array: Array, *, null_allowed: bool, place: _Place) -> bool:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return False
    wrong = np.isinf(array) if null_allowed else ~np.isfinite(array)
    if wrong.any():
        position = int(wrong.argmax())
        column, row = place(position)
        _refuse_value(column, row, array[position].item(), "a finite number")
    return True


def _to_array(values: list[Any], datatype: str, place: _Place, *, has_null: bool) -> Array:
    """Return the values in the declared datatype, or in float64 with NaN where numbers are missing."""
    dtype = DTYPES[datatype]
    if isinstance(values, np.ndarray):
        return values
    if dtype.kind == "O":
        array = np.empty(len(values), dtype)
        array[:] = values
        return array
    if dtype.kind in "iu":
        _check_integers(values, datatype, place)
    if has_null:
        values = [np.nan if value is None else value for value in values]
        dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    try:
        array = np.array(values, np.float64 if dtype.kind == "f" else dtype)
    except OverflowError:  # an integer beyond float64; a float beyond it does not pass the JSON decoder
        position = next(index for index, value in enumerate(values) if not _is_float(value))
        column, row = place(position)
        _refuse_value(column, row, values[position], f"a number within {datatype}")
    return array if array.dtype == dtype else _narrowed(array, dtype, values, place)


def _narrowed(array: Array, dtype: np.dtype[Any], values: list[Any], place: _Place) -> Array:
    """Return the array in `dtype`; refuse a number that becomes infinite by that."""
    with np.errstate(over="ignore"):
        array = array.astype(dtype)
    if dtype.kind == "f" and np.isinf(array).any():
        position = int(np.isinf(array).argmax())
        column, row = place(position)
        _refuse_value(column, row, values[position], f"a number within {dtype}")
    return array


def _is_float(value: float) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _check_integers(values: list[Any], datatype: str, place: _Place) -> None:
    limits = np.iinfo(DTYPES[datatype])
    low, high = int(limits.min), int(limits.max)
    for position, value in enumerate(values):
        if value is not None and not low <= value <= high:
            column, row = place(position)
            _refuse_value(column, row, value, f"an integer from {low} to {high} ({datatype})")


def _bounds(column: Column) -> tuple[float, float]:
    """Return the inclusive bounds of a column, of its datatype and its own, infinite where there is none."""
    low, high = -np.inf, np.inf
    if column.datatype in INTEGERS:
        limits = np.iinfo(DTYPES[column.datatype])
        low, high = float(limits.min), float(limits.max)
    elif column.datatype == "BOOL":
        low, high = 0.0, 1.0
    return max(low, -np.inf if column.min is None else column.min), min(high, np.inf if column.max is None else column.max)


def _bounds_in_words(column: Column) -> str:
    low, high = _bounds(column)
    if np.isfinite(low) and np.isfinite(high):
        return f"from {low:g} to {high:g}"
    return f"at least {low:g}" if np.isfinite(low) else f"at most {high:g}"


def _check_bounds(array: Array, column: Column) -> None:
    low, high = column.min, column.max
    if low is None and high is None:
        return
    wrong = np.zeros(len(array), np.bool_)
    if low is not None:
        wrong |= array < low
    if high is not None:
        wrong |= array > high
    if wrong.any():
        row = int(wrong.argmax())
        _refuse_value(column, row, array[row].item(), _bounds_in_words(column))


def _check_values(array: Array, column: Column) -> None:
    allowed = set(column.values or ())
    for row, value in enumerate(array.tolist()):
        if value not in allowed and value is not None and value == value:  # noqa: PLR0124 - NaN, a missing number, differs from itself
            _refuse_value(column, row, value, f"one of {_shown(list(column.values or ()))}")


def _refuse_value(column: Column, row: int, value: object, expected: str) -> NoReturn:
    _refuse(f"input {column.name!r}, row {row}: got {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    """Return a value as its JSON would look, cut to a length that an answer may repeat."""
    if isinstance(value, np.generic):
        value = value.item()
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4,300 digits
        text = "a very long integer"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _refuse(message: str) -> NoReturn:
    raise BadRequestError(message)
