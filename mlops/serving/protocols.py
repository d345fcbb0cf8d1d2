"""The bodies of the Open Inference Protocol V2 over REST, as they stand on the wire.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md. `tensors` reads the inputs, `applications` answers.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from mlops.serving.errors import BadRequestError
from mlops.serving.folders import Manifest
from mlops.serving.signatures import Array, Columns, Output, Signature

T = TypeVar("T")
MATRIX = "input"  # the name under which the metadata advertises the one tensor [n, k] of an array model


class Tensor(msgspec.Struct, omit_defaults=True):
    """A tensor; `data` is flat in row-major order or nested as `shape` says."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class RawTensor(msgspec.Struct):
    """An output whose data stands as bytes behind the answer."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None


class RequestedOutput(msgspec.Struct):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, omit_defaults=True):
    """The body of a request to infer; unknown fields are ignored, as the protocol asks."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The body of an answer; `id` is the request's."""

    model_name: str
    model_version: str
    outputs: Sequence[Tensor | RawTensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None


class TensorMetadata(msgspec.Struct):
    """Name, datatype and shape of a tensor; -1 is the rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct):
    """What a model takes and gives; `properties` are strings by the protocol, so what has structure is JSON inside them."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    properties: dict[str, str]


_decoder = msgspec.json.Decoder(InferRequest)
encode = msgspec.json.Encoder().encode


def decode_request(body: bytes) -> InferRequest:
    """Return the request in `body`; raise `BadRequestError` with the path of what is wrong in it."""
    return decode_as(_decoder, body, "the Open Inference Protocol V2")


def decode_as(decoder: msgspec.json.Decoder[T], body: bytes, protocol: str) -> T:
    """Return what `decoder` of `protocol` reads in `body`; raise `BadRequestError` with the path of what is wrong in it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        msg = f"the request does not follow {protocol}: {error}"
    except msgspec.DecodeError as error:
        msg = f"the body is not JSON: {error}"
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8: {error.reason} at byte {error.start}"
    except RecursionError:
        msg = "the body is nested too deeply"
    raise BadRequestError(msg)


def wanted_outputs(request: InferRequest, outputs: Mapping[str, Output]) -> list[Output]:
    """Return the outputs that the request names, in its order, or all of them; raise `BadRequestError` for a name not in `outputs`."""
    if not request.outputs:
        return list(outputs.values())
    for asked in request.outputs:
        if asked.name not in outputs:
            msg = f"there is no output {asked.name!r}; this model gives {', '.join(map(repr, outputs))}"
            raise BadRequestError(msg)
    return [outputs[asked.name] for asked in request.outputs]


def output_tensors(arrays: Columns, outputs: list[Output]) -> list[Tensor]:
    """Return the tensors of an answer, data flat in row-major order."""
    tensors = []
    for output in outputs:
        array = arrays[output.name]
        tensors.append(Tensor(output.name, list(array.shape), output.datatype, array.ravel().tolist()))
    return tensors


def request_body(signature: Signature, columns: Columns) -> dict[str, Any]:
    """Return the request body for conforming `columns` of shape [n], one tensor a column: an input example, or a client's request."""
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [len(columns[column.name])],
                "datatype": column.datatype,
                "data": _json_values(column.datatype, columns[column.name]),
            }
            for column in signature.inputs
        ]
    }


def _json_values(datatype: str, array: Array) -> list[Any]:
    values = [None if value is None or value != value else value for value in array.tolist()]  # noqa: PLR0124 - only NaN differs from itself
    if array.dtype.kind != "f" or datatype.startswith("FP"):
        return values
    cast = bool if datatype == "BOOL" else int
    return [None if value is None else cast(value) for value in values]


def matrix_body(matrix: Array) -> dict[str, Any]:
    """Return the request body for the rows of a float64 `matrix` [n, k] in the order of the signature; NaN is null."""
    flat = [None if np.isnan(value) else value for value in matrix.ravel().tolist()]
    return {"inputs": [{"name": MATRIX, "shape": list(matrix.shape), "datatype": "FP64", "data": flat}]}


def model_metadata(name: str, versions: list[str], manifest: Manifest) -> ModelMetadata:
    """Return the metadata of one of the loaded `versions`, with the inputs in the form that is fastest to read."""
    signature = manifest.signature
    inputs = [TensorMetadata(column.name, column.datatype, [-1]) for column in signature.inputs]
    if manifest.layout == "array" and len(signature.inputs) > 1:
        inputs = [TensorMetadata(MATRIX, "FP64", [-1, len(signature.inputs)])]
    return ModelMetadata(
        name=name,
        versions=versions,
        platform="python_columns" if manifest.flavor == "python" else "onnx_onnxv1" if manifest.onnx else "sklearn_skops",
        inputs=inputs,
        outputs=[TensorMetadata(output.name, output.datatype, list(output.shape)) for output in signature.outputs],
        properties={
            "columns": msgspec.json.encode(signature.inputs).decode(),
            "classes": json.dumps({output.name: output.classes for output in signature.outputs if output.classes}),
        },
    )
