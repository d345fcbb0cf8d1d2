"""Local: a pool of worker processes on this machine, kept warm, that survives the death of a worker.

A worker runs one step at a time and dies with the process of apply: its end of the pipe closes. Workers come from a
fork server, so that a process with threads is never forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.executors.reports import StepReport
from mlops.executors.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from mlops.core.events import Event
    from mlops.core.plans import Step
    from mlops.core.worlds import Report

    RunStep = Callable[[Step, Report], Outcome]
    Message = Event | Checkpoint | Outcome

QUICK = 0.05  # seconds: shorter steps are handed out several at a time, and begun in one transaction
AHEAD = 16  # steps a worker, then


@dataclass(slots=True)
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    step: Step | None = None
    timer: threading.Timer | None = None
    is_late: bool = False
    is_gone: bool = False

    def rest(self) -> None:
        """Have nothing to do."""
        self.step = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class Limits:
    """What a step may take."""

    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    seconds: float | None = None


class Local:
    """Runs steps in worker processes, and those marked `here` in threads of this process."""

    def __init__(self, run_step: RunStep, limits: Limits, outputs: Path) -> None:
        """Hand in what runs a step (importable by name), and the folder that takes what steps print."""
        self._run_step, self._limits, self._outputs = run_step, limits, outputs
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._threads = Threads(run_step, self._messages)
        self._context = multiprocessing.get_context("forkserver")
        self._lock = threading.Lock()  # over all that follows: listeners hand on steps, too
        self._workers: list[_Worker] = []
        self._waiting: deque[tuple[Step, Mapping[str, Any] | None]] = deque()
        self._open: set[str] = set()  # submitted to workers, and not taken out as an outcome
        self._here: set[str] = set()
        self._pace: float | None = None  # seconds a step takes of late
        self._is_closed = False

    # -- core.executions.Executor --------------------------------------------------------------------------------------

    def submit(self, step: Step, last: Mapping[str, Any] | None = None) -> None:
        """Begin the step in a worker, as soon as one is idle, or in a thread."""
        if step.here:
            self._here.add(step.id)
            self._threads.submit(step, last)
            return
        self._open.add(step.id)
        with self._lock:
            self._waiting.append((step, last))
            self._assign()

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what happened since, at least one message unless `timeout` seconds pass."""
        found: deque[Message] = deque()
        try:
            found.append(self._messages.get(timeout=timeout))
            while not self._messages.empty():
                found.append(self._messages.get())
        except Empty:
            return ()
        for message in found:
            if isinstance(message, Outcome):
                self._here.discard(message.step)
                if message.step in self._open:
                    self._open.discard(message.step)
                    self._pace = message.seconds if self._pace is None else 0.9 * self._pace + 0.1 * message.seconds
        return tuple(found)

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Let the step go on."""
        if checkpoint.step in self._here:
            self._threads.acknowledge(checkpoint)
            return
        with self._lock:
            for worker in self._workers:
                if worker.step is not None and worker.step.id == checkpoint.step:
                    worker.pipe.send("durable")

    def free(self) -> int:
        """Return how many more steps are wanted: one a worker; several where steps are short, so that they are begun together."""
        is_quick = self._pace is not None and self._pace < QUICK
        return self._limits.workers * (AHEAD if is_quick else 1) - len(self._open)

    def close(self) -> None:
        """Stop all workers, at once."""
        self._is_closed = True
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()

    # -- workers -----------------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        """Give waiting steps to idle workers; hire where there are too few. The lock is held."""
        while self._waiting and not self._is_closed:
            worker = next((worker for worker in self._workers if worker.step is None and not worker.is_gone), None)
            if worker is None:
                if len(self._workers) >= self._limits.workers:
                    return
                worker = self._hire()
            worker.step, last = self._waiting.popleft()
            if self._limits.seconds is not None:
                worker.timer = threading.Timer(self._limits.seconds, self._time_out, [worker])
                worker.timer.daemon = True
                worker.timer.start()
            with suppress(OSError):  # it died just now: its listener tells
                worker.pipe.send((worker.step, last))

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._run_step, self._outputs), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        """Pass on what the worker says, until it is gone; then say how its step ended."""
        while True:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                break
            if isinstance(message, Outcome):
                with self._lock:
                    worker.rest()
                    self._assign()
            self._messages.put(message)
        worker.process.join()
        with self._lock:
            worker.is_gone = True
            step = worker.step
            worker.rest()
            if not self._is_closed:
                self._workers.remove(worker)
                worker.pipe.close()
                self._assign()
        if step is not None and not self._is_closed:
            self._messages.put(Outcome(step.id, Status.FAILED, failure=_death(worker, self._limits)))

    def _time_out(self, worker: _Worker) -> None:
        worker.is_late = True
        worker.process.kill()


def _death(worker: _Worker, limits: Limits) -> Failure:
    if worker.is_late:
        return Failure(
            "timeout", f"took more than {limits.seconds:g} s and was stopped", "raise executor.timeout", may_retry=False
        )
    code = worker.process.exitcode or 0
    if code == -signal.SIGKILL:
        hint = "most often the machine ran out of memory: give it more, or run fewer steps at once (executor.workers=1)"
        return Failure("killed", "the worker was killed (SIGKILL)", hint, may_retry=True)
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Failure("died", f"the worker died ({what})", "a library that the step uses crashed; see mlops log", may_retry=False)


def _work(pipe: Connection, run_step: RunStep, outputs: Path) -> None:
    """Run steps until the pipe closes; that is the main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first Ctrl-C lets running steps finish
    steps: SimpleQueue[tuple[Step, Mapping[str, Any] | None]] = SimpleQueue()
    reports: list[StepReport] = []

    def listen() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                os._exit(1)  # apply is gone: nobody would take the outcome
            if message == "durable":
                reports[-1].acknowledge()
            else:
                steps.put(message)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        step, last = steps.get()
        reports[:] = [StepReport(step.id, pipe.send, last)]
        with _printing_to(outputs / f"{step.id.replace('/', '.')}.out"):
            outcome = run_step(step, reports[-1])
        pipe.send(outcome)


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Let everything that is printed inside, by C libraries and child processes too, go to a file; none where nothing is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        os.close(kept[0])
        os.close(kept[1])
        if not path.stat().st_size:
            path.unlink()
