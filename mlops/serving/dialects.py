"""The languages in which a model is asked: each turns a body into what the reader checked, and the outputs into an answer.

`applications` routes a path to a dialect and asks the model in between; the wire forms themselves stand in `protocols`.
"""

from typing import Any, Protocol

import msgspec

from mlops.serving import content_types
from mlops.serving.answers import Answer, Headers, Refusal
from mlops.serving.binary import HEADER, binary_outputs, decode_binary, raw_bytes
from mlops.serving.models import Served
from mlops.serving.protocols import (
    InferRequest,
    InferResponse,
    RawTensor,
    Tensor,
    decode_request,
    encode,
    output_tensors,
    wanted_outputs,
)
from mlops.serving.signatures import Array, Output

_JSON = "application/json"


class Question(msgspec.Struct, frozen=True):
    """What is asked: the batch as the predictor takes it, how many rows it has, and what the answer needs to know of the request."""

    batch: Array | dict[str, Array]
    rows: int
    request: Any


class Dialect(Protocol):
    """One way to ask and to be answered."""

    def read(self, served: Served, headers: Headers, body: bytes) -> Question:
        """Return what `body` asks; raise `BadRequestError` or `Refusal` for what it should not say."""

    def write(self, served: Served, question: Question, arrays: dict[str, Array]) -> Answer:
        """Return the answer that holds the model's outputs."""


class Inference:
    """The Open Inference Protocol V2."""

    def read(self, served: Served, headers: Headers, body: bytes) -> Question:
        """Return the question; see `Dialect.read`."""
        length = headers.get(HEADER)
        if length is None:
            check_json(headers)
            request = decode_request(body)
        else:
            check_encoding(headers)
            request = decode_binary(body, length)
        if request.outputs:
            wanted_outputs(request, served.outputs)
        return question(served, request)

    def write(self, served: Served, question: Question, arrays: dict[str, Array]) -> Answer:
        """Return the answer; see `Dialect.write`."""
        request: InferRequest = question.request
        wanted = wanted_outputs(request, served.outputs)
        if not (request.parameters or request.outputs):  # then nobody asks for another form
            return Answer(200, encode(served.response(request, arrays, wanted)))
        binary = binary_outputs(request, wanted)
        if binary:
            return _with_bytes(served, request, arrays, wanted, binary)
        response = served.response(request, arrays, wanted)
        content_types.mark(response, request, wanted)
        return Answer(200, encode(response))


def _with_bytes(
    served: Served, request: InferRequest, arrays: dict[str, Array], wanted: list[Output], binary: set[str]
) -> Answer:
    """Return the answer with the outputs `wanted`, those named in `binary` behind its JSON."""
    outputs: list[Tensor | RawTensor] = []
    pieces = []
    for output in wanted:
        if output.name in binary:
            array = arrays[output.name]
            pieces.append(raw_bytes(array))
            outputs.append(RawTensor(output.name, list(array.shape), output.datatype, {"binary_data_size": len(pieces[-1])}))
        else:
            outputs.extend(output_tensors(arrays, [output]))
    response = InferResponse(served.name, served.version, outputs, request.id)
    content_types.mark(response, request, wanted)
    head = encode(response)
    return Answer(200, b"".join([head, *pieces]), "application/octet-stream", ((HEADER, str(len(head))),))


def question(served: Served, request: InferRequest) -> Question:
    """Return the question that a request of the V2 protocol asks."""
    if content_types.is_marked(request):
        request = content_types.apply(request, served.columns, served.outputs, takes_matrix=served.takes_matrix)
    batch = served.reader.read(request)
    return Question(batch, len(next(iter(batch.values())) if isinstance(batch, dict) else batch), request)


def check_json(headers: Headers) -> None:
    """Raise a 415 unless the body is said to be JSON in UTF-8 as it is; no content type at all is taken for that."""
    content_type = headers.get("content-type", _JSON)
    if content_type != _JSON and media_type(content_type) not in ((_JSON, "utf-8"), (_JSON, "utf8")):
        raise Refusal(
            415,
            f"the content type is {content_type[:60]!r}, expected application/json in UTF-8 (curl: -H 'Content-Type: application/json')",
        )
    check_encoding(headers)


def media_type(content_type: str) -> tuple[str, str]:
    """Return the media type and the charset that a header names, UTF-8 where it names none."""
    media, _, parameters = content_type.lower().partition(";")
    named = dict(part.strip().partition("=")[::2] for part in parameters.split(";") if part.strip())
    return media.strip(), named.get("charset", "utf-8").strip('"')


def check_encoding(headers: Headers) -> None:
    """Raise a 415 for a compressed body."""
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise Refusal(415, f"the content encoding is {encoding!r}, expected none")
