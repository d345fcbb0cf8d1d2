"""Commands: a program of any framework makes the model, in a scratch folder, told what it needs by environment variables.

    MLOPS_TRAIN     the training rows, a Parquet file           MLOPS_LABEL    the label's column
    MLOPS_HOLDOUT   the held-out rows, where it measures        MLOPS_PARAMS   `params`, a JSON file
    MLOPS_OUTPUT    the folder to leave the outputs in          MLOPS_SEED     the seed
    MLOPS_THREADS   how many threads to use; common libraries are told by their own variables

It starts in a folder that holds the spec's `files`, at the paths they have in the project.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from mlops.core.digests import canonical
from mlops.core.errors import StalePlan
from mlops.core.ops import Made
from mlops.core.worlds import Request
from mlops.kinds.model import lessons
from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.recipes import ByCommand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops.core.worlds import World
    from mlops.kinds.model.fitting import Fit

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")


def make(op: Fit, world: World) -> Made:
    """Run the command; keep what it declares.

    Raises:
        WorldError: the command is not allowed, not there, or fails.
        ModelError: an output is missing, or is not what it must be.
    """
    recipe = cast(ByCommand, op.recipe)
    start = world.clock.monotonic()
    folder, output = world.scratch(), world.scratch()
    _lay_out(recipe, folder, world)
    world.code.command(recipe.command, folder, _environment(op, recipe, output, world))
    facts: dict[str, Any] = {"fit_seconds": round(world.clock.monotonic() - start, 3)}
    outputs = {}
    if recipe.outputs.metrics is not None:
        facts["metrics"] = _metrics(output, recipe.outputs.metrics)
        outputs["metrics"] = world.artifacts.put_bytes(canonical(facts["metrics"]) + b"\n")
    if recipe.holdout is not None:
        outputs["holdout"] = recipe.holdout
    artifact = _artifact(output, recipe, op)
    return Made({"artifact": world.artifacts.put_folder(artifact), **outputs}, facts)


def _lay_out(recipe: ByCommand, folder: Path, world: World) -> None:
    """Put the declared files into the folder, if they still are what the plan saw: outputs are kept under the plan's key."""
    requests = [Request("file", {"path": path, "format": "bytes"}) for path in recipe.files]
    for (path, planned), answer in zip(recipe.files.items(), world.observe(requests), strict=True):
        if isinstance(answer, Exception):
            raise answer
        if answer.value != planned:
            message = f"{path} changed after the plan was made"
            raise StalePlan(message, "plan again")
    world.code.lay_out(list(recipe.files), folder)


def _environment(op: Fit, recipe: ByCommand, output: Path, world: World) -> dict[str, str]:
    params = world.scratch() / "params.json"
    params.write_bytes(canonical(recipe.params))
    found = {
        "MLOPS_TRAIN": str(world.artifacts.file(op.train)),
        "MLOPS_LABEL": op.label,
        "MLOPS_OUTPUT": str(output),
        "MLOPS_PARAMS": str(params),
        "MLOPS_SEED": str(op.seed),
        "MLOPS_THREADS": str(op.threads),
        **dict.fromkeys(_THREADS, str(op.threads)),
    }
    return found if recipe.holdout is None else found | {"MLOPS_HOLDOUT": str(world.artifacts.file(recipe.holdout))}


def _metrics(output: Path, name: str) -> Mapping[str, float | None]:
    try:
        found = json.loads((output / name).read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        message = f"the command left no {name} in $MLOPS_OUTPUT, which `outputs.metrics` names"
        raise ModelError(message, "write a JSON object of numbers there") from None
    except ValueError as error:
        message = f"{name}, which the command left, is no JSON: {error}"
        raise ModelError(message, "write a JSON object of numbers") from error
    if not isinstance(found, dict) or not all(value is None or isinstance(value, int | float) for value in found.values()):
        message = f"{name}, which the command left, is no JSON object of numbers"
        raise ModelError(message, 'write for example {"roc_auc": 0.81}')
    return found


def _artifact(output: Path, recipe: ByCommand, op: Fit) -> Path:
    """Return the folder that is kept; one that will be asked here is a model folder, and loads."""
    from mlops.serving import predictors
    from mlops.serving.errors import FolderError

    folder = output / recipe.outputs.artifact
    if not folder.is_dir() or not any(folder.iterdir()):
        message = f"the command left no folder {recipe.outputs.artifact} in $MLOPS_OUTPUT, which `outputs.artifact` names"
        raise ModelError(message, "write the model there")
    if recipe.outputs.metrics is not None and not (folder / "model.json").exists():
        return folder
    try:
        predictors.load(folder)
    except FolderError as error:
        message = f"the command left a folder that is no model folder: {error}"
        hint = (
            "write it with mlops.serving.folders.write; a command that measures itself (`outputs.metrics`) may leave any folder"
        )
        raise ModelError(message, hint) from error
    lessons.write(folder, lessons.Lesson(label=op.label, positive=op.positive))
    return folder
