"""Dialects that send rows of a table: KServe's V1 protocol and MLflow's scoring server. The rows become tensors, read as any other.

Sources: KServe's V1 protocol; mlflow/pyfunc/scoring_server. Both are answered `{"predictions": […]}` with the output `predict`.
"""

import csv
import io
import math
from typing import Any

import msgspec

from mlops.serving.answers import Answer, Headers, Refusal
from mlops.serving.dialects import Question, check_encoding, check_json, media_type, question
from mlops.serving.errors import BadRequestError
from mlops.serving.models import Served
from mlops.serving.protocols import InferRequest, Tensor, decode_as, encode
from mlops.serving.signatures import FLOATS, Array, Column

_decoder = msgspec.json.Decoder(dict[str, Any])
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


class Instances:
    """KServe's V1 protocol: `{"instances": [row, …]}`, each row a list in the order of the columns or an object by their names."""

    def read(self, served: Served, headers: Headers, body: bytes) -> Question:
        """Return the question; see `Dialect.read`."""
        check_json(headers)
        content = decode_as(_decoder, body, "KServe's V1 protocol")
        if "instances" not in content:
            msg = "the request has no `instances`, a list of rows"
            raise BadRequestError(msg)
        return question(served, InferRequest(_from_rows(served, "instances", content["instances"])))

    def write(self, _served: Served, _question: Question, arrays: dict[str, Array]) -> Answer:
        """Return the answer; see `Dialect.write`."""
        return _predictions(arrays)


class Invocations:
    """MLflow's `/invocations`: JSON of one of four forms, or CSV with a header. Columns that the model does not take are left out."""

    def read(self, served: Served, headers: Headers, body: bytes) -> Question:
        """Return the question; see `Dialect.read`."""
        media, charset = media_type(headers.get("content-type", "application/json"))
        if media != "text/csv":
            check_json(headers)
            tensors = _from_form(served, decode_as(_decoder, body, "MLflow's scoring protocol"))
        elif charset not in ("utf-8", "utf8"):
            raise Refusal(415, f"the charset is {charset!r}, expected UTF-8")
        else:
            check_encoding(headers)
            tensors = _from_csv(served, body)
        known = {column.name for column in served.columns}
        return question(served, InferRequest([tensor for tensor in tensors if tensor.name in known]))

    def write(self, _served: Served, _question: Question, arrays: dict[str, Array]) -> Answer:
        """Return the answer; see `Dialect.write`."""
        return _predictions(arrays)


def _predictions(arrays: dict[str, Array]) -> Answer:
    """Return the output `predict`; of a model that has none, the only output, or all of them by name."""
    only = arrays.get("predict", next(iter(arrays.values())) if len(arrays) == 1 else None)
    values = only.tolist() if only is not None else {name: array.tolist() for name, array in arrays.items()}
    return Answer(200, encode({"predictions": values}))


def _from_form(served: Served, content: dict[str, Any]) -> list[Tensor]:
    """Return the tensors of MLflow's JSON."""
    given = [form for form in _FORMS if form in content]
    if len(given) != 1:
        msg = f"the request has {' and '.join(given) or 'none'} of {', '.join(_FORMS)}; expected exactly one"
        raise BadRequestError(msg)
    if content.get("params"):
        msg = "this model takes no `params`"
        raise BadRequestError(msg)
    (form,) = given
    rows = content[form]
    if form == "dataframe_split":
        return _from_split(served, rows)
    if form == "inputs" and isinstance(rows, dict):
        return _from_columns(served, rows)
    return _from_rows(served, form, rows)


def _from_split(served: Served, split: Any) -> list[Tensor]:
    if not isinstance(split, dict) or not isinstance(split.get("data"), list):
        msg = "`dataframe_split` is an object with `columns` and `data`, a list of rows"
        raise BadRequestError(msg)
    names = split.get("columns", [column.name for column in served.columns])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = "`dataframe_split.columns` is a list of names"
        raise BadRequestError(msg)
    return _tensors(served, names, _checked(split["data"], "dataframe_split.data", len(names)))


def _from_columns(served: Served, columns: dict[str, Any]) -> list[Tensor]:
    for name, values in columns.items():
        if not isinstance(values, list):
            msg = f"`inputs` has no list under {name!r}"
            raise BadRequestError(msg)
    datatypes = {column.name: column.datatype for column in served.columns}
    return [Tensor(name, [len(values)], datatypes.get(name, "BYTES"), values) for name, values in columns.items()]


def _from_rows(served: Served, form: str, rows: Any) -> list[Tensor]:
    """Return the tensors of rows that are objects or lists; a name that an object lacks is a missing value."""
    if not isinstance(rows, list) or not rows:
        msg = f"`{form}` is no list of rows"
        raise BadRequestError(msg)
    if isinstance(rows[0], dict):
        for place, row in enumerate(rows):
            if not isinstance(row, dict):
                msg = f"`{form}`, row {place}: expected an object, as row 0 is"
                raise BadRequestError(msg)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _tensors(served, names, [[row.get(name) for name in names] for row in rows])
    names = [column.name for column in served.columns]
    return _tensors(served, names, _checked(rows, form, len(names)))


def _checked(rows: list[Any], form: str, width: int) -> list[list[Any]]:
    for place, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            msg = f"`{form}`, row {place}: expected a list of {width} values, one a column"
            raise BadRequestError(msg)
    return rows


def _tensors(served: Served, names: list[str], rows: list[list[Any]]) -> list[Tensor]:
    datatypes = {column.name: column.datatype for column in served.columns}
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return [
        Tensor(name, [len(rows)], datatypes.get(name, "BYTES"), list(values)) for name, values in zip(names, columns, strict=True)
    ]


def _from_csv(served: Served, body: bytes) -> list[Tensor]:
    """Return the tensors of a table with a header; an empty cell is a missing value."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        msg = f"the body is no CSV with a header in UTF-8: {error}"
        raise BadRequestError(msg) from error
    if not lines:
        msg = "the body is no CSV with a header: it is empty"
        raise BadRequestError(msg)
    names, *rows = lines
    rows = _checked([row for row in rows if row], "csv", len(names))
    tensors = _tensors(served, names, rows)
    columns = {column.name: column for column in served.columns}
    for tensor in tensors:
        if tensor.name in columns:
            tensor.data = [_cell(columns[tensor.name], row, text) for row, text in enumerate(tensor.data)]
    return tensors


def _cell(column: Column, row: int, text: str) -> Any:
    """Return the value of a cell, as JSON would have given it."""
    if text == "":
        return None
    if column.datatype == "BYTES":
        return text
    try:
        if column.datatype == "BOOL":
            return _TRUTH[text.lower()]
        number = float(text) if column.datatype in FLOATS else int(text)
    except (KeyError, ValueError):
        number = math.nan
    if not math.isfinite(number):  # JSON has no word for these either
        msg = f"input {column.name!r}, row {row}: got {text[:60]!r}, expected a value of {column.datatype}"
        raise BadRequestError(msg)
    return number
