"""A loaded model as the server holds it: under a name and a version, with everything prepared that no request changes.

`replicas` opens one while it starts; `applications` asks it for each request.
"""

from pathlib import Path
from time import perf_counter

from mlops.serving import folders, predictors
from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
from mlops.serving.predictors import Predictor
from mlops.serving.protocols import (
    InferRequest,
    InferResponse,
    decode_request,
    encode,
    model_metadata,
    output_tensors,
    wanted_outputs,
)
from mlops.serving.signatures import Array
from mlops.serving.tensors import Reader

_WARM_UPS = 3
# Seconds. A prediction that takes longer goes to a thread, so that health is answered meanwhile; a shorter one would lose by the hop.
_SLOW = 0.002
_MANY_ROWS = 256


class Served:
    """A loaded model under its name and version, with everything about it that does not change from request to request."""

    def __init__(self, name: str, version: str, predictor: Predictor) -> None:
        """Prepare the metadata, the reader and the way to ask."""
        manifest = predictor.manifest
        self.name = name
        self.version = version
        self.metadata = encode(model_metadata(name, version, manifest))
        self.reader = Reader(manifest.signature, takes_matrix=manifest.layout == "array")
        self.columns = manifest.signature.inputs
        self._ask = predictors.ask_of(predictor)
        self.outputs = {output.name: output for output in manifest.signature.outputs}
        # What the project's own code costs for the next row nobody knows.
        self._is_slow = manifest.flavor == "python"

    def warm_up(self, example: bytes) -> None:
        """Answer the input example a few times; raise `FolderError` if that fails."""
        try:
            for _ in range(_WARM_UPS):
                request = decode_request(example)
                batch = self.reader.read(request)
                arrays, seconds = self.ask(batch)
                encode(self.response(request, arrays))
        except (BadRequestError, ModelFailedError) as error:
            msg = f"the model does not answer its own {folders.EXAMPLE}: {error}"
            raise FolderError(msg) from error
        self._is_slow = self._is_slow or seconds > _SLOW

    def response(self, request: InferRequest, arrays: dict[str, Array]) -> InferResponse:
        """Return the body of the answer, with the outputs that were asked for."""
        wanted = wanted_outputs(request, self.outputs)
        return InferResponse(self.name, self.version, output_tensors(arrays, wanted), request.id)

    def ask(self, batch: Array | dict[str, Array]) -> tuple[dict[str, Array], float]:
        """Return the outputs for what the reader read, and the seconds that the model took; for the loop or any thread."""
        start = perf_counter()
        arrays = self._ask(batch)
        return arrays, perf_counter() - start

    def is_slow(self, rows: int) -> bool:
        """Whether predicting so many rows would hold the event loop up."""
        return self._is_slow or rows > _MANY_ROWS


def open_model(folder: Path, name: str, version: str) -> Served:
    """Load, warm up and return the model in `folder`; raise `FolderError` where that fails. Slow: it imports the model's packages."""
    served = Served(name, version, predictors.load_fastest(folder))
    served.warm_up(folders.read_example(folder))
    return served
