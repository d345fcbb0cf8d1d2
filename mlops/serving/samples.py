"""A request that was answered, kept for those who look at it off the request path: the payload log and the mirror.

Whatever the dialect in which it came, it is told in one: the Open Inference Protocol V2, one tensor a column, with the columns of the
signature and no others. `observing` takes the samples.
"""

from time import time
from typing import Any, NamedTuple

from mlops.serving.batching import Batch, Outputs
from mlops.serving.models import Served
from mlops.serving.protocols import output_tensors, request_body
from mlops.serving.traces import Call


class Sample(NamedTuple):
    """What was asked and answered; `call` has an id, `at` is in seconds since 1970."""

    served: Served
    call: Call
    batch: Batch
    arrays: Outputs
    at: float

    @property
    def size(self) -> int:
        """How many bytes it holds, about; a string counts as its pointer."""
        batch = self.batch.values() if isinstance(self.batch, dict) else (self.batch,)
        return sum(array.nbytes for array in (*batch, *self.arrays.values()))

    def request(self) -> dict[str, Any]:
        """Return the body of the request."""
        signature = self.served.manifest.signature
        columns = (
            self.batch
            if isinstance(self.batch, dict)
            else {column.name: self.batch[:, place] for place, column in enumerate(signature.inputs)}
        )
        return {"id": self.call.id, **request_body(signature, columns)}

    def response(self) -> dict[str, Any]:
        """Return the body of the answer, with every output of the model."""
        tensors = output_tensors(self.arrays, list(self.served.outputs.values()))
        outputs = [{"name": each.name, "shape": each.shape, "datatype": each.datatype, "data": each.data} for each in tensors]
        return {"id": self.call.id, "model_name": self.served.name, "model_version": self.served.version, "outputs": outputs}


def sample(served: Served, call: Call, batch: Batch, arrays: Outputs) -> Sample:
    """Return the sample of a request that was answered now."""
    return Sample(served, call, batch, arrays, time())
