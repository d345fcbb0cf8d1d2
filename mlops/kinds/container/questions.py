"""Golden questions: request bodies, and what the model folder itself answers to them here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.kinds.container.errors import ContainerError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from mlops.serving.models import Served

TOLERANCE = 1e-9  # of a number that no graph gave, relative to its size or to 1


@dataclass(frozen=True, slots=True)
class Question:
    """A request to infer, and the flat values of each output that must come back."""

    name: str  # for messages
    rows: int
    body: bytes
    answers: dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Questions:
    """All that an image is asked; numbers in answers may differ by `tolerance` (0: not at all)."""

    asked: tuple[Question, ...]
    tolerance: float

    @property
    def rows(self) -> int:
        """How many rows are asked about."""
        return sum(each.rows for each in self.asked)


def questions(folder: Path, rows: pd.DataFrame | None) -> Questions:
    """Ask the model folder about its input example, and about `rows` of its held-out table.

    Raises:
        ContainerError: it cannot be loaded here, or does not answer.
    """
    from mlops.kinds.model import frames
    from mlops.serving import folders, predictors
    from mlops.serving.counts import Counts
    from mlops.serving.errors import BadRequestError, FolderError, ModelFailedError
    from mlops.serving.limits import Limits
    from mlops.serving.models import Served
    from mlops.serving.protocols import encode, request_body

    try:
        predictor = predictors.load_fastest(folder)
        served = Served("model", "1", predictor, Counts(), Limits())
        asked = [("the input example", folders.read_example(folder))]
        if rows is not None and len(rows):
            columns = frames.columns_for(predictor.signature, rows)
            asked.append(("the held-out rows", encode(request_body(predictor.signature, columns))))
        found = tuple(_asked(served, *each) for each in asked)
    except (FolderError, BadRequestError, ModelFailedError) as error:
        message = f"the model itself does not answer here: {error}"
        raise ContainerError(message) from error
    is_exact = isinstance(predictor, predictors.OnnxPredictor)
    return Questions(found, 0.0 if is_exact else TOLERANCE)


def _asked(served: Served, name: str, body: bytes) -> Question:
    """Answer the body by the code that serves it, and note the values as JSON has them."""
    from mlops.serving.protocols import decode_request, encode, wanted_outputs

    request = decode_request(body)
    arrays = served.ask(served.reader.read(request))
    outputs = json.loads(encode(served.response(request, arrays, wanted_outputs(request, served.outputs))))["outputs"]
    return Question(name, len(next(iter(arrays.values()))), body, {each["name"]: each["data"] for each in outputs})
