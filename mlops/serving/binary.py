"""Tensors as raw bytes behind the JSON of a request or an answer: the binary tensor data extension of the V2 protocol.

Source: Triton's extension_binary_data.md, which KServe speaks as well. The header `inference-header-content-length` tells where the JSON
ends. Numbers are little-endian in row-major order, truth values a byte each, and each string stands behind its length in four bytes.
"""

import struct
from math import prod
from typing import Any

import msgspec
import numpy as np

from mlops.serving.errors import BadRequestError
from mlops.serving.protocols import InferRequest, RequestedOutput, Tensor, decode_as
from mlops.serving.signatures import DTYPES, Array, Output

HEADER = "inference-header-content-length"
_SIZE = "binary_data_size"
_PREFIX = struct.Struct("<I")


class _Head(msgspec.Struct):
    """An input whose data may stand behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Head]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


_decoder = msgspec.json.Decoder(_Request)


def decode_binary(body: bytes, length: str) -> InferRequest:
    """Return the request whose first `length` bytes are JSON; raise `BadRequestError` where the rest is not what the JSON says."""
    if not length.isdecimal() or int(length) > len(body):
        msg = f"the header {HEADER} is {length!r}, expected a number of bytes up to {len(body)}, the length of the body"
        raise BadRequestError(msg)
    head = decode_as(_decoder, body[: int(length)], "the Open Inference Protocol V2")
    rest = memoryview(body)[int(length) :]
    inputs = []
    for each in head.inputs:
        tensor, rest = _tensor(each, rest)
        inputs.append(tensor)
    if rest:
        msg = f"{len(rest)} bytes follow the tensors that the request names"
        raise BadRequestError(msg)
    return InferRequest(inputs, head.id, head.parameters, head.outputs)


def _tensor(head: _Head, rest: memoryview) -> tuple[Tensor, memoryview]:
    """Return the tensor, its data taken from the front of `rest` where it says so, and what is left."""
    size = (head.parameters or {}).get(_SIZE)
    if (size is None) == (head.data is None):
        both = f"neither `data` nor `{_SIZE}`" if size is None else f"both `data` and `{_SIZE}`"
        msg = f"input {head.name!r} has {both}, expected one of them"
        raise BadRequestError(msg)
    if size is None:
        return Tensor(head.name, head.shape, head.datatype, head.data or []), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        msg = f"input {head.name!r} has the {_SIZE} {size!r}, expected a number of bytes up to {len(rest)}, which are left"
        raise BadRequestError(msg)
    return Tensor(head.name, head.shape, head.datatype, from_bytes(head.name, head.datatype, head.shape, rest[:size])), rest[
        size:
    ]


def from_bytes(name: str, datatype: str, shape: list[int], raw: memoryview) -> Any:
    """Return the values: an array of numbers, which the reader takes like a list, or a list of strings."""
    dtype = DTYPES.get(datatype)
    if dtype is None:
        msg = f"input {name!r} has the unknown datatype {datatype!r}"
        raise BadRequestError(msg)
    if dtype.kind == "O":
        return _strings(name, raw)
    if len(raw) != prod(shape) * dtype.itemsize:
        msg = f"input {name!r} has {len(raw)} bytes, expected {prod(shape) * dtype.itemsize} for the shape {shape}"
        raise BadRequestError(msg)
    if dtype.kind == "b":  # any other byte than 0 and 1 would be no truth value
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(
        raw, dtype.newbyteorder("<")
    ).copy()  # the JSON before them may end anywhere: aligned, and open to writing


def _strings(name: str, raw: memoryview) -> list[str]:
    values: list[str] = []
    place = 0
    while place < len(raw):
        end = place + _PREFIX.size
        stop = end + _PREFIX.unpack_from(raw, place)[0] if end <= len(raw) else len(raw) + 1
        if stop > len(raw):
            msg = f"input {name!r}, value {len(values)}: its bytes end early"
            raise BadRequestError(msg)
        values.append(to_text(name, len(values), raw[end:stop]))
        place = stop
    return values


def to_text(name: str, place: int, raw: memoryview | bytes) -> str:
    """Return the string at `place` of an input; raise `BadRequestError` for bytes that are none."""
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        msg = f"input {name!r}, value {place}: not UTF-8: {error.reason}"
        raise BadRequestError(msg) from None


def binary_outputs(request: InferRequest, wanted: list[Output]) -> set[str]:
    """Return the names of the outputs that the caller wants as bytes: each by itself, or all of them."""
    every = bool((request.parameters or {}).get("binary_data_output", False))
    asked = {each.name: bool((each.parameters or {}).get("binary_data", every)) for each in request.outputs or ()}
    return {output.name for output in wanted if asked.get(output.name, every)}


def raw_bytes(array: Array) -> bytes:
    """Return the values of an output as they stand behind the JSON."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(_PREFIX.pack(len(each)) + each for each in encoded)
