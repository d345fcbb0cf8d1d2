"""A loaded model as the server holds it: under a name and a version, with everything prepared that no request changes.

`repositories` opens and closes them; `inferring` asks one for each request.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from mlops.serving import folders, predictors
from mlops.serving.batching import Batch, Outputs, Queue
from mlops.serving.counts import Counts
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.limits import Limits
from mlops.serving.predictors import Predictor
from mlops.serving.protocols import (
    InferRequest,
    InferResponse,
    decode_request,
    encode,
    output_tensors,
    wanted_outputs,
)
from mlops.serving.signatures import Array, Output
from mlops.serving.tensors import Reader

_WARM_UPS = 3
# Seconds. A prediction that takes longer goes to the queue, so that health is answered meanwhile; a shorter one would lose by the hop.
_SLOW = 0.002
_MANY_ROWS = 256


class Served:
    """A loaded model under its name and version, with everything about it that does not change from request to request.

    `in_progress` is the number of requests that hold it: while there are any it is not closed. `counts` outlive it.
    """

    def __init__(self, name: str, version: str, predictor: Predictor, counts: Counts, limits: Limits) -> None:
        """Prepare the reader and the way to ask."""
        manifest = predictor.manifest
        self.name = name
        self.version = version
        self.manifest = manifest
        self.counts = counts
        self.in_progress = 0
        self.example = b""
        self.takes_matrix = manifest.layout == "array"
        self.reader = Reader(manifest.signature, takes_matrix=self.takes_matrix)
        self.columns = manifest.signature.inputs
        self.has_old_graph = predictors.has_old_graph(manifest)
        self.ask = predictors.ask_of(predictor)  # the outputs for what the reader read; for the loop or any thread
        self._queue = Queue(self.ask, limits, counts.queue)
        self.outputs = {output.name: output for output in manifest.signature.outputs}
        counts.predictions.expect(manifest.signature.outputs)
        # What the project's own code costs for the next row nobody knows.
        self._is_slow = manifest.flavor == "python"

    def warm_up(self, example: bytes) -> None:
        """Answer the input example a few times, and keep it to be shown; raise `FolderError` if that fails."""
        self.example = example
        try:
            for _ in range(_WARM_UPS):
                request = decode_request(example)
                batch = self.reader.read(request)
                start = perf_counter()
                arrays = self.ask(batch)
                seconds = perf_counter() - start
                encode(self.response(request, arrays, wanted_outputs(request, self.outputs)))
        except (BadRequestError, ModelFailedError) as error:
            msg = f"the model does not answer its own {folders.EXAMPLE}: {error}"
            raise FolderError(msg) from error
        self._is_slow = self._is_slow or seconds > _SLOW

    def response(self, request: InferRequest, arrays: dict[str, Array], wanted: list[Output]) -> InferResponse:
        """Return the body of the answer, with the outputs `wanted`."""
        return InferResponse(self.name, self.version, output_tensors(arrays, wanted), request.id)

    def is_slow(self, rows: int) -> bool:
        """Whether asking for so many rows would hold the event loop up."""
        return self._is_slow or rows > _MANY_ROWS

    def ask_in_turn(
        self, batch: Batch, rows: int, client_gone: Callable[[], Awaitable[None]] | None = None
    ) -> Awaitable[tuple[Outputs, float]]:
        """Return what `ask` returns and the seconds that the model took, asked in a thread together with others; see `Queue.ask`."""
        return self._queue.ask(batch, rows, client_gone)

    def close(self) -> None:
        """Give the queue's thread back; nobody asks any more."""
        self._queue.close()


def open_model(folder: Path, name: str, version: str, counts: Counts, limits: Limits) -> Served:
    """Load, warm up and return the model in `folder`; raise `FolderError` where that fails. Slow: it imports the model's packages."""
    served = Served(name, version, predictors.load_fastest(folder), counts, limits)
    served.warm_up(folders.read_example(folder))
    return served
