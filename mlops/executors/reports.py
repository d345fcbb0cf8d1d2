"""Reports: what a running step tells its executor; implements `core.worlds.Report` over any way to send a message."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mlops.core.events import Event
from mlops.core.executions import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class StepReport:
    """Sends the step's progress and checkpoints; a checkpoint returns once it is durable."""

    def __init__(self, step: str, send: Callable[[Event | Checkpoint], None], last: Mapping[str, Any] | None = None) -> None:
        self._step, self._send, self._last = step, send, last
        self._durable = threading.Event()

    def progress(self, message: str, done: float | None = None) -> None:
        """Say what goes on; `done` from 0 to 1 where it is known."""
        data: dict[str, Any] = {"message": message} if done is None else {"message": message, "done": done}
        self._send(Event("step-progress", step=self._step, data=data))

    def checkpoint(self, data: Mapping[str, Any]) -> None:
        """Send `data` to the journal and wait until it is there."""
        self._durable.clear()
        self._send(Checkpoint(self._step, data))
        self._durable.wait()

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The checkpoint that an interrupted try of this step left, or None."""
        return self._last

    def acknowledge(self) -> None:
        """Let the step go on: its checkpoint is durable."""
        self._durable.set()
