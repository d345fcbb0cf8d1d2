"""JSON Schemas (2020-12) of what a model takes and gives, from its signature: `describing` makes the OpenAPI document of them."""

from typing import Any

import numpy as np

from mlops.serving.folders import Manifest
from mlops.serving.signatures import DTYPES, FLOATS, INTEGERS, Column, Output

Schema = dict[str, Any]
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 1}}
_TYPES = {"BOOL": "boolean", "BYTES": "string", **dict.fromkeys(FLOATS, "number"), **dict.fromkeys(INTEGERS, "integer")}


def value(column: Column) -> Schema:
    """Return the schema of one value of a column: its type, its bounds or allowed values, and null where one may be missing."""
    kind = _TYPES[column.datatype]
    schema: Schema = {"type": [kind, "null"] if column.nullable else kind}
    if column.values is not None:
        schema["enum"] = [*column.values, *([None] if column.nullable else [])]
    low, high = _bounds(column)
    return schema | {word: bound for word, bound in (("minimum", low), ("maximum", high)) if bound is not None}


def row(columns: tuple[Column, ...]) -> Schema:
    """Return the schema of one row as an object; a name that it lacks is a missing value."""
    needed = [column.name for column in columns if not column.nullable]
    return {"type": "object", "properties": {column.name: value(column) for column in columns}, "required": needed}


def inference_request(manifest: Manifest) -> Schema:
    """Return the schema of a request of the V2 protocol: a tensor for each column, or one for all where the model takes a matrix."""
    columns = manifest.signature.inputs
    tensors = [_tensor(column.name, _accepted(column), value(column), column.name) for column in columns]
    forms: list[Schema] = [_inputs(tensors)]
    if manifest.layout == "array" and len(columns) > 1:
        numbers = {"type": ["number", "boolean", "null"]}
        matrix = _tensor(None, sorted({*FLOATS, *INTEGERS, "BOOL"}), numbers, f"all columns, as [rows, {len(columns)}]")
        matrix["properties"]["shape"] = {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"const": len(columns)}],
            "minItems": 2,
        }
        forms.insert(0, _inputs([matrix]))
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "inputs": {"anyOf": forms} if len(forms) > 1 else forms[0],
            "outputs": {"type": "array", "items": _wanted(manifest.signature.outputs)},
        },
        "required": ["inputs"],
    }


def inference_response(manifest: Manifest) -> Schema:
    """Return the schema of an answer of the V2 protocol."""
    outputs = [_output(each) for each in manifest.signature.outputs]
    return {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": {"oneOf": outputs}},
        },
        "required": ["model_name", "model_version", "outputs"],
    }


def _inputs(tensors: list[Schema]) -> Schema:
    items = tensors[0] if len(tensors) == 1 else {"oneOf": tensors}
    return {"type": "array", "minItems": len(tensors), "maxItems": len(tensors), "items": items}


def _tensor(name: str | None, datatypes: list[str], item: Schema, title: str) -> Schema:
    return {
        "title": title,
        "type": "object",
        "properties": {
            "name": {"type": "string"} if name is None else {"const": name},
            "shape": _SHAPE,
            "datatype": {"enum": datatypes},
            "parameters": {"type": "object"},
            "data": {"type": "array", "minItems": 1, "items": {"anyOf": [item, {"type": "array"}]}},
        },
        "required": ["name", "shape", "datatype", "data"],
    }


def _output(output: Output) -> Schema:
    is_label = output.classes is not None and len(output.shape) == 1
    kind = _TYPES[output.datatype]
    item: Schema = (
        {"type": kind, "enum": list(output.classes or ())} if is_label else {"type": [kind, "null"] if kind == "number" else kind}
    )
    schema = _tensor(output.name, [output.datatype], item, output.name)
    schema["properties"]["data"] = {"type": "array", "items": item}
    if output.classes is not None and not is_label:
        schema["description"] = f"one number for each of {', '.join(map(repr, output.classes))}, in this order"
    return schema


def _wanted(outputs: tuple[Output, ...]) -> Schema:
    names = [output.name for output in outputs]
    return {"type": "object", "properties": {"name": {"enum": names}, "parameters": {"type": "object"}}, "required": ["name"]}


def _accepted(column: Column) -> list[str]:
    """Return the datatypes that a column takes (see `tensors`), its own first."""
    wider = FLOATS | INTEGERS if column.datatype in FLOATS else INTEGERS if column.datatype in INTEGERS else frozenset()
    return [column.datatype, *sorted(wider - {column.datatype})]


def _bounds(column: Column) -> tuple[float | None, float | None]:
    """Return the inclusive bounds, the tighter of the column's own and its datatype's; floats of a datatype have none."""
    low, high = column.min, column.max
    if column.datatype in INTEGERS:
        limits = np.iinfo(DTYPES[column.datatype])
        low = int(limits.min) if low is None else max(low, int(limits.min))
        high = int(limits.max) if high is None else min(high, int(limits.max))
    return low, high
