"""`ModelInfer`: a request of the V2 protocol as a message instead of JSON, read into the same tensors and answered from the same arrays.

Data comes as bytes, one for each input (`raw_input_contents`), or as typed lists (`contents`); the answer comes as the request did.
"""

from typing import Any

import numpy as np

from mlops.serving import content_types
from mlops.serving.answers import Answer, Headers
from mlops.serving.binary import from_bytes, raw_bytes, to_text
from mlops.serving.dialects import Question, question
from mlops.serving.errors import BadRequestError
from mlops.serving.models import Served
from mlops.serving.protocols import InferRequest, RequestedOutput, Tensor, wanted_outputs
from mlops.serving.signatures import DTYPES, Array, Output

# The field of InferTensorContents in which the values of a datatype stand; FP16 has none and comes as bytes only.
_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_WIDEST = {"bool_contents": np.bool_, "int_contents": np.int32, "int64_contents": np.int64, "uint_contents": np.uint32}
_WIDEST |= {"uint64_contents": np.uint64, "fp32_contents": np.float32, "fp64_contents": np.float64}


class Message:
    """One request that came as a ModelInferRequest, and the class of the answer."""

    def __init__(self, message: Any, response: Any) -> None:
        """Keep the message; it was read already, because it names the model."""
        self._message = message
        self._response = response

    def read(self, served: Served, _headers: Headers, _body: bytes) -> Question:
        """Return the question; see `Dialect.read`."""
        message = self._message
        request = InferRequest(_tensors(message), message.id or None, _parameters(message), _requested(message))
        wanted_outputs(request, served.outputs)
        return question(served, request)

    def write(self, served: Served, question: Question, arrays: dict[str, Array]) -> Answer:
        """Return the answer, a serialized ModelInferResponse; see `Dialect.write`."""
        wanted = wanted_outputs(question.request, served.outputs)
        answer = self._response(model_name=served.name, model_version=served.version, id=self._message.id)
        whole, marks = content_types.marks(question.request, wanted)
        if whole:
            answer.parameters[content_types.KEY].string_param = whole
        is_raw = bool(self._message.raw_input_contents) or any(output.datatype not in _FIELDS for output in wanted)
        for output in wanted:
            array = arrays[output.name]
            tensor = answer.outputs.add(name=output.name, datatype=output.datatype, shape=array.shape)
            if output.name in marks:
                tensor.parameters[content_types.KEY].string_param = marks[output.name]
            if is_raw:
                answer.raw_output_contents.append(raw_bytes(array))
            else:
                getattr(tensor.contents, _FIELDS[output.datatype]).extend(_values(output, array))
        return Answer(200, answer.SerializeToString(), "application/grpc")


def _tensors(message: Any) -> list[Tensor]:
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        msg = f"`raw_input_contents` has {len(raw)} items, expected one for each of the {len(message.inputs)} inputs, or none"
        raise BadRequestError(msg)
    tensors = []
    for place, each in enumerate(message.inputs):
        shape = list(each.shape)
        if not raw:
            data = _from_contents(each)
        elif each.HasField("contents"):
            msg = f"input {each.name!r} has both `contents` and `raw_input_contents`, expected one of them"
            raise BadRequestError(msg)
        else:
            data = from_bytes(each.name, each.datatype, shape, memoryview(raw[place]))
        tensors.append(Tensor(each.name, shape, each.datatype, data, _parameters(each)))
    return tensors


def _from_contents(tensor: Any) -> Any:
    """Return the values of a typed list: an array of numbers, which the reader takes like a list, or a list of strings."""
    field = _FIELDS.get(tensor.datatype)
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field is None and tensor.datatype in DTYPES:
        msg = f"input {tensor.name!r} is {tensor.datatype}, which comes in `raw_input_contents` only"
        raise BadRequestError(msg)
    if field is None:
        return []  # of an unknown datatype, which the reader refuses by name
    if any(name != field for name in filled):
        msg = f"input {tensor.name!r} has its values in {', '.join(map(repr, filled))}, expected {field!r} for {tensor.datatype}"
        raise BadRequestError(msg)
    values = getattr(tensor.contents, field)
    if tensor.datatype == "BYTES":
        return [to_text(tensor.name, place, value) for place, value in enumerate(values)]
    array: Array = np.array(list(values), _WIDEST[field])
    narrow = array.astype(DTYPES[tensor.datatype])
    if array.dtype.kind in "iu" and (narrow != array).any():
        place = int((narrow != array).argmax())
        msg = f"input {tensor.name!r}, value {place}: got {array[place]}, which is beyond {tensor.datatype}"
        raise BadRequestError(msg)
    return narrow


def _values(output: Output, array: Array) -> list[Any]:
    values: list[Any] = array.ravel().tolist()
    return [str(value).encode() for value in values] if output.datatype == "BYTES" else values


def _parameters(message: Any) -> dict[str, Any] | None:
    """Return the parameters of a message as JSON would have had them."""
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param") for name, value in message.parameters.items()
    } or None


def _requested(message: Any) -> list[RequestedOutput] | None:
    return [RequestedOutput(each.name, _parameters(each)) for each in message.outputs] or None
