"""MLServer's content types: what a request says its tensors are, beside their datatypes, and what its answer says in return.

Source: MLServer, docs/user-guide/content-type.md and mlserver/codecs. Of a request: `pd`, each input is a column; `np` and `str`, there is
one input, whatever its name. Of an input or an output: `np`, an array; `str`, strings, which are BYTES. An answer to a request that names
one is marked so that MLServer's codecs read it.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from mlops.serving.errors import BadRequestError
from mlops.serving.protocols import InferRequest, InferResponse, Tensor
from mlops.serving.signatures import Column, Output
from mlops.serving.tensors import flat_data

KEY = "content_type"
_OF_REQUESTS = ("np", "pd", "str")
_OF_TENSORS = ("np", "str")
_MATRIX_DIMENSIONS = 2
_PARAMETERS = attrgetter("parameters")


def is_marked(request: InferRequest) -> bool:
    """Tell whether a request has parameters at all, of itself or of its tensors; most have none."""
    if request.parameters or request.outputs:
        return True
    return any(map(_PARAMETERS, request.inputs))


def apply(
    request: InferRequest, columns: tuple[Column, ...], outputs: Mapping[str, Output], *, takes_matrix: bool
) -> InferRequest:
    """Return the request with its inputs named as the model names them; raise `BadRequestError` where a content type says otherwise."""
    whole = _named(request.parameters, _OF_REQUESTS, "the request")
    of_inputs = [_named(tensor.parameters, _OF_TENSORS, f"input {tensor.name!r}") for tensor in request.inputs]
    for asked in request.outputs or ():
        if _named(asked.parameters, _OF_TENSORS, f"output {asked.name!r}") == "str":
            _check_strings(f"output {asked.name!r}", outputs[asked.name].datatype)
    if whole in _OF_TENSORS and len(request.inputs) != 1:
        msg = f"the content type {whole!r} of a request is for one input; this one has {len(request.inputs)}"
        raise BadRequestError(msg)
    for tensor, own in zip(request.inputs, of_inputs, strict=True):
        if (own or whole) == "str":
            _check_strings(f"input {tensor.name!r}", tensor.datatype)
        if whole == "pd" and tensor.shape[1:] not in ([], [1]):
            msg = f"input {tensor.name!r} has the shape {tensor.shape}; by the content type 'pd' it is a column, [n] or [n, 1]"
            raise BadRequestError(msg)
    if len(request.inputs) == 1 and whole != "pd" and (whole or of_inputs[0]):
        return _by_place(request, columns, takes_matrix=takes_matrix)
    return request


def marks(request: InferRequest, outputs: list[Output]) -> tuple[str | None, dict[str, str]]:
    """Return the content types of an answer and, by their names, of its outputs; None and none where the request named none."""
    whole = (request.parameters or {}).get(KEY)
    asked = {each.name for each in request.outputs or () if each.parameters and KEY in each.parameters}
    named = {each.name: "str" if each.datatype == "BYTES" else "np" for each in outputs if whole or each.name in asked}
    # MLServer reads a whole answer as one array or one list of strings only if it has one output.
    if whole != "pd":
        whole = next(iter(named.values())) if whole and len(named) == 1 else None
    return whole, named


def mark(response: InferResponse, request: InferRequest, outputs: list[Output]) -> None:
    """Say in an answer what it and its outputs are, where its request named a content type."""
    whole, named = marks(request, outputs)
    for tensor in response.outputs:
        if tensor.name in named:
            tensor.parameters = {**(tensor.parameters or {}), KEY: named[tensor.name]}
    if whole:
        response.parameters = {KEY: whole}


def _named(parameters: Mapping[str, Any] | None, known: tuple[str, ...], where: str) -> str | None:
    found = (parameters or {}).get(KEY)
    if found is not None and found not in known:
        msg = f"{where} has the content type {found!r}; known here are {', '.join(map(repr, known))}"
        raise BadRequestError(msg)
    return found


def _check_strings(where: str, datatype: str) -> None:
    if datatype != "BYTES":
        msg = f"{where} has the content type 'str' and the datatype {datatype!r}; strings are BYTES"
        raise BadRequestError(msg)


def _by_place(request: InferRequest, columns: tuple[Column, ...], *, takes_matrix: bool) -> InferRequest:
    """Return the request with its only input taken for the columns in their order, unless it is named like one of them."""
    (tensor,) = request.inputs
    if tensor.name in {column.name for column in columns} or (takes_matrix and len(columns) > 1):
        return request
    width = 1 if len(tensor.shape) == 1 else tensor.shape[-1]
    if len(tensor.shape) > _MATRIX_DIMENSIONS or not tensor.shape or width != len(columns):
        names = ", ".join(repr(column.name) for column in columns)
        msg = f"input {tensor.name!r} has the shape {tensor.shape}, expected [n, {len(columns)}], the columns {names}"
        raise BadRequestError(msg)
    data = flat_data(tensor)
    rows = len(data) // width
    inputs = [Tensor(column.name, [rows], tensor.datatype, data[place::width]) for place, column in enumerate(columns)]
    return InferRequest(inputs, request.id, request.parameters, request.outputs)
