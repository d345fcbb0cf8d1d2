"""Docker: each step in a container of its own, which is removed after it; those marked `here` in threads of this process.

A container dies with the process of apply, because its input ends; what is left of it then is removed by the next apply.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Unavailable, WorldError
from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.executors import wire
from mlops.executors.deaths import explain, out_of_memory, over
from mlops.executors.needs import Counts, choose, total
from mlops.executors.threads import Threads
from mlops.executors.workers import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from mlops.core.boxes import Box, Boxes, Ending, OpenBox
    from mlops.core.events import Event
    from mlops.core.plans import Step
    from mlops.executors.needs import Needs, Share
    from mlops.executors.threads import RunStep

    Message = Event | Checkpoint | Outcome

STEP = "dev.mlops.step"  # the label with the step's id
_PRINTED = 2000  # bytes of what a container printed last, in which its last words are
_SIGNALLED = 128  # what Docker adds to the number of the signal that ended a container


@dataclass(frozen=True, slots=True)
class Boxing:
    """How steps come into containers: who opens them, what is the same for all, and the line that asks for a step's work."""

    boxes: Boxes
    box: Box
    ask: Callable[[Step, Mapping[str, Any] | None], bytes]


@dataclass(slots=True)
class _Running:
    """One step, what it has of the machine, and its container once that runs."""

    step: Step
    share: Share
    box: OpenBox | None = None
    is_late: bool = False
    is_ended: bool = False  # by us: there is nothing to explain


class Docker:
    """Runs steps in containers, each listened to by a thread."""

    def __init__(self, boxing: Boxing, run_step: RunStep, needs: Needs, outputs: Path) -> None:
        """Hand in how steps come into containers, what runs those marked `here`, and the folder that takes what steps print."""
        self._boxing, self._needs, self._outputs = boxing, needs, outputs
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._threads = Threads(run_step, self._messages)
        self._counts = Counts.of(needs, range(needs.cores))
        self._running: dict[str, _Running] = {}
        self._here: set[str] = set()
        self._listeners: set[threading.Thread] = set()
        self._is_closed = False

    # -- core.executions.Executor --------------------------------------------------------------------------------------

    def choose(self, ready: Iterable[Step]) -> Sequence[Step]:
        """Return those that may begin: one a worker, as far as what they need is free."""
        running = tuple(self._running.values())
        left = total((one.share.need for one in running), (self._needs.cpus, self._needs.gpus))
        return choose(ready, left, self._needs.workers - len(running), self._needs.of)

    def submit(self, step: Step, last: Mapping[str, Any] | None = None) -> None:
        """Begin the step in a container, or in a thread."""
        if step.here:
            self._here.add(step.id)
            self._threads.submit(step, last)
            return
        running = self._running[step.id] = _Running(step, self._counts.take(self._needs.of(step)))
        listener = threading.Thread(target=self._run, args=(running, last), name=step.id, daemon=True)
        self._listeners.add(listener)
        listener.start()

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what happened since, at least one message unless `timeout` seconds pass."""
        found: list[Message] = []
        with suppress(Empty):
            found.append(self._messages.get(timeout=timeout))
            while True:
                found.append(self._messages.get_nowait())
        for message in found:
            if isinstance(message, Outcome):
                self._here.discard(message.step)
                running = self._running.pop(message.step, None)
                if running is not None:
                    self._counts.give(running.share)
        return tuple(found)

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Let the step go on."""
        if checkpoint.step in self._here:
            self._threads.acknowledge(checkpoint)
            return
        running = self._running.get(checkpoint.step)
        if running is not None and running.box is not None:
            running.box.send(wire.DURABLE)

    def close(self) -> None:
        """End all containers, and wait until they are removed."""
        self._is_closed = True
        for running in tuple(self._running.values()):
            running.is_ended = True
            if running.box is not None:
                running.box.kill()
        for listener in tuple(self._listeners):
            listener.join()

    # -- one step ------------------------------------------------------------------------------------------------------

    def _run(self, running: _Running, last: Mapping[str, Any] | None) -> None:
        """Run the step in a container and pass on what it says; its last word, or why it had none, is the outcome."""
        step = running.step
        try:
            with self._boxing.boxes.open(self._box(running)) as box:
                running.box = box
                outcome = self._hear(running, box, last)
        except WorldError as error:
            failure = Failure(error.code, error.message, error.hint, may_retry=isinstance(error, Unavailable))
            outcome = Outcome(step.id, Status.FAILED, failure=failure)
        self._listeners.discard(threading.current_thread())
        self._messages.put(outcome)

    def _hear(self, running: _Running, box: OpenBox, last: Mapping[str, Any] | None) -> Outcome:
        timer = threading.Timer(running.share.need.seconds or threading.TIMEOUT_MAX, self._time_out, [running])
        timer.daemon = True
        timer.start()
        try:
            if self._is_closed:
                box.kill()
            box.send(self._boxing.ask(running.step, last))
            outcome, printed = None, b""
            for is_message, data in box.lines():
                if not is_message:
                    printed = (printed + data)[-_PRINTED:]
                    self._keep(running.step, data)
                elif isinstance(message := wire.to_message(data), Outcome):
                    outcome = out_of_memory(message, running.share.need)
                else:
                    self._messages.put(message)
            if outcome is None:
                failure = self._death(running, box.ending(), printed)
                return Outcome(running.step.id, Status.FAILED, failure=failure)
            return outcome
        finally:
            timer.cancel()

    def _box(self, running: _Running) -> Box:
        need, share, box = running.share.need, running.share, self._boxing.box
        labels = {**box.labels, STEP: running.step.id}
        return replace(box, labels=labels, network=need.network, memory=need.memory, cpuset=share.cores, gpus=share.gpus)

    def _keep(self, step: Step, data: bytes) -> None:
        """Give what the step printed to its file, after what an earlier attempt printed."""
        self._outputs.mkdir(parents=True, exist_ok=True)
        with output(self._outputs, step.id).open("ab") as file:
            file.write(data)

    def _time_out(self, running: _Running) -> None:
        running.is_late = True
        if running.box is not None:
            running.box.kill()

    def _death(self, running: _Running, ending: Ending, printed: bytes) -> Failure:
        need = running.share.need
        if ending.code < _SIGNALLED and not running.is_late:
            said = printed.decode(errors="replace").strip().rpartition("\n")[2]
            hint = "is mlops in the image, and does executor.python name the interpreter that has it? See mlops log"
            return Failure("died", f"the container ended with exit code {ending.code}: {said}", hint)
        if ending.was_short and need.memory is not None and not running.is_late:
            return over(need)
        return explain(_SIGNALLED - ending.code, need, 0, is_late=running.is_late, was_short=ending.was_short)
