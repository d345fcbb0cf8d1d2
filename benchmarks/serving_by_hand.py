"""What a careful engineer writes in an afternoon: FastAPI, pydantic and scikit-learn. `python benchmarks/serving_by_hand.py MODEL_DIR PORT`.

It answers one tensor [n, k] of the Open Inference Protocol V2 in a thread of the pool, as FastAPI does for plain functions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from mlops.serving import predictors


class Tensor(BaseModel):
    """A tensor on the wire."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(BaseModel):
    """What is asked."""

    inputs: list[Tensor]


application = FastAPI()
model = predictors.load(Path(sys.argv[1]))._estimator  # noqa: SLF001 - the bare estimator is what is compared


@application.post("/v2/models/credit/infer")
def infer(request: Request) -> dict[str, object]:
    """Answer whatever comes."""
    tensor = request.inputs[0]
    probabilities = model.predict_proba(np.array(tensor.data).reshape(tensor.shape))
    labels = model.classes_[probabilities.argmax(axis=1)]
    outputs = [
        {"name": "predict", "shape": list(labels.shape), "datatype": "INT64", "data": labels.tolist()},
        {
            "name": "predict_proba",
            "shape": list(probabilities.shape),
            "datatype": "FP64",
            "data": probabilities.ravel().tolist(),
        },
    ]
    return {"model_name": "credit", "outputs": outputs}


if __name__ == "__main__":
    uvicorn.run(application, port=int(sys.argv[2]), log_level="error")
