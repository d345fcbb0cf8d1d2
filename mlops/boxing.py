"""Boxing: how the steps of a project come into containers; a corner of the hall, where executor, door and settings meet."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.boxes import Box
from mlops.core.errors import PlanError
from mlops.core.settings import Mount
from mlops.executors import wire
from mlops.executors.docker import Boxing
from mlops.world import engines
from mlops.world.boxes import DockerBoxes
from mlops.world.doors import STATE
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops.core.plans import Step
    from mlops.core.settings import ExecutorSettings
    from mlops.core.worlds import Place

    SecretsOf = Callable[[Step], Mapping[str, str]]

PROJECT = "dev.mlops.project"
ENVIRONMENT = "dev.mlops.environment"
FOLDER = "dev.mlops.folder"
ROLE = "dev.mlops.role"


def boxing(place: Place, settings: ExecutorSettings, secrets_of: SecretsOf) -> tuple[Boxing, int]:
    """Return how steps come into containers, and the number of processors there; remove what a killed apply has left.

    A container sees the project as it is here, read-only, and of `.mlops` the artifacts and the scratch folders alone. The
    caller holds the environment: all containers of it are leftovers.

    Raises:
        PlanError: the engine is on another machine, and cannot reach the artifacts.
        Unavailable: the engine does not answer.
        Refused: the engine may not be used, or does not have the image.
    """
    image = settings.image or ""  # ExecutorSettings has seen to it
    if not engines.is_here(settings.engine):
        host, _ = engines.where(settings.engine)
        message = f"the executor's engine, {host}, cannot reach the artifacts in {place.root}/{STATE}: it mounts folders of its own machine"
        raise PlanError(message, "use an engine of this machine (unix:///SOCKET), or run mlops on that one")
    boxes = DockerBoxes(settings.engine)
    cores = boxes.cores(image)
    place = replace(place, root=str(Path(place.root).resolve()))
    labels = {PROJECT: place.project, ENVIRONMENT: place.environment, FOLDER: place.root, ROLE: "step"}
    boxes.sweep(labels)
    box = Box(
        image,
        (settings.python, "-m", "mlops", "step"),
        user=f"{os.getuid()}:{os.getgid()}",  # what it writes is the caller's
        mounts=(*_mounts(Path(place.root)), *settings.mounts),
        tmpfs=("/tmp", f"{place.root}/{STATE}"),  # noqa: S108 - in the container
        labels=labels,
    )

    def ask(step: Step, last: Mapping[str, Any] | None) -> bytes:
        return wire.from_work(wire.Work(place, step, last, secrets_of(step)))

    return Boxing(boxes, box, ask), cores


def _mounts(root: Path) -> list[Mount]:
    """Return what every step sees; the folders that it writes to must be there before they are mounted."""
    writable = [root / STATE / name for name in ("artifacts", "scratch")]
    for folder in writable:
        with explaining(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return [Mount(source=str(root)), *(Mount(source=str(folder), readonly=False) for folder in writable)]
