"""The practical ceiling of a Python model server: granian (RSGI), msgspec and ONNX Runtime, with nothing around them.

`python benchmarks/serving_ceiling.py MODEL.onnx PORT` answers one tensor [n, k] of the Open Inference Protocol V2, and checks nothing.
"""

import os
import sys

import msgspec
import numpy as np
import onnxruntime
from granian import Granian
from granian.constants import Interfaces, Loops


class Tensor(msgspec.Struct):
    """A tensor on the wire."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(msgspec.Struct):
    """What is asked."""

    inputs: list[Tensor]


class Response(msgspec.Struct):
    """What is answered."""

    model_name: str
    outputs: list[Tensor]


decode, encode = msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ.setdefault("CEILING_MODEL", sys.argv[1]), options)
DTYPE = np.float64 if session.get_inputs()[0].type == "tensor(double)" else np.float32


async def application(_scope, protocol):
    """Answer whatever comes."""
    tensor = decode(await protocol()).inputs[0]
    labels, probabilities = session.run(None, {"input": np.array(tensor.data, DTYPE).reshape(tensor.shape)})
    outputs = [
        Tensor("predict", list(labels.shape), "INT64", labels.tolist()),
        Tensor("predict_proba", list(probabilities.shape), "FP64", probabilities.ravel().tolist()),
    ]
    body = encode(Response("credit", outputs))
    protocol.response_bytes(200, [("content-type", "application/json")], body)


if __name__ == "__main__":
    Granian("serving_ceiling:application", port=int(sys.argv[2]), interface=Interfaces.RSGI, loop=Loops.uvloop).serve()
