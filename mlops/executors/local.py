"""Local: a pool of worker processes on this machine, kept warm, that survives the death of a worker.

A worker runs one step at a time and dies with the process of apply: its end of the pipe closes. Workers come from a
fork server, so that a process with threads is never forked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.executors import memory
from mlops.executors.deaths import explain, out_of_memory
from mlops.executors.needs import Counts, choose, total
from mlops.executors.threads import Threads
from mlops.executors.workers import DURABLE, Allotment, Work, keep_output, work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from mlops.core.events import Event
    from mlops.core.plans import Step
    from mlops.executors.needs import Need, Needs, Share
    from mlops.executors.workers import RunStep

    Message = Event | Checkpoint | Outcome

QUICK = 0.05  # seconds: shorter steps are handed out several at a time, and begun in one transaction
AHEAD = 32  # steps a worker, then
LINGER = 0.02  # seconds that messages are gathered, at most, while the workers have steps before them
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True, slots=True)
class _Submitted:
    step: Step
    last: Mapping[str, Any] | None
    need: Need


@dataclass(slots=True)
class Worker:
    """One process, and what it has of the machine while it runs a step."""

    process: ForkServerProcess
    pipe: Connection
    step: Step | None = None
    share: Share | None = None
    timer: threading.Timer | None = None
    ahead: _Submitted | None = None  # lies in its pipe, so that it need not wait between two short steps
    peak: int = 0  # the most memory that it was seen to hold, in bytes
    is_used: bool = False
    is_late: bool = False
    is_gone: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid or 0

    @property
    def need(self) -> Need | None:
        """What its step needs."""
        return self.share.need if self.share is not None else None

    @property
    def gpus(self) -> tuple[int, ...]:
        """Those that its step alone has."""
        return self.share.gpus if self.share is not None else ()

    @property
    def takes_ahead(self) -> bool:
        """Tell whether one more step may lie in its pipe."""
        return self.ahead is None and self.need is not None and self.need.is_free and not self.is_gone

    def suits(self, need: Need) -> bool:
        """Tell whether it may run a step so: what earlier steps left in its memory or on a GPU may be in the way."""
        if not self.is_used:
            return True
        return not need.gpus and (need.memory is None or memory.data(self.pid) <= need.memory // 2)

    def end(self) -> None:
        """Kill it, and what its step started."""
        self.is_gone = True
        with suppress(ProcessLookupError):  # it is just being born, or gone
            os.killpg(self.pid, signal.SIGKILL)
        self.process.kill()


class Local:
    """Runs steps in worker processes, and those marked `here` in threads of this process."""

    def __init__(self, run_step: RunStep, needs: Needs, outputs: Path) -> None:
        """Hand in what runs a step (importable by name), what steps need, and the folder that takes what they print."""
        self._run_step, self._needs, self._outputs = run_step, needs, outputs
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._threads = Threads(run_step, self._messages)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([getattr(run_step, "func", run_step).__module__])  # imported once for all
        self._lock = threading.Lock()  # over all that follows: listeners hand on steps, too
        self._workers: list[Worker] = []
        self._waiting: deque[_Submitted] = deque()
        self._open: dict[str, Need] = {}  # submitted to workers, and not taken out as an outcome
        self._counts = Counts.of(needs, os.sched_getaffinity(0))
        self._here: set[str] = set()
        self._pace: float | None = None  # seconds a step takes of late
        self._kills = memory.kills()
        self._is_closed = False

    # -- core.executions.Executor --------------------------------------------------------------------------------------

    def choose(self, ready: Iterable[Step]) -> Sequence[Step]:
        """Return those that may begin: one a worker, as far as what they need is free; several where steps are short."""
        is_quick = self._is_quick()
        count = self._needs.workers * (AHEAD if is_quick else 1) - len(self._open)
        left = total(self._open.values(), (self._needs.cpus, self._needs.gpus))
        if is_quick and all(need.is_plain for need in self._open.values()):
            left.cpus = max(left.cpus, count)
        return choose(ready, left, count, self._needs.of)

    def submit(self, step: Step, last: Mapping[str, Any] | None = None) -> None:
        """Begin the step in a worker, as soon as one is idle, or in a thread."""
        if step.here:
            self._here.add(step.id)
            self._threads.submit(step, last)
            return
        need = self._open[step.id] = self._needs.of(step)
        with self._lock:
            self._waiting.append(_Submitted(step, last, need))
            self._assign()

    def wait(self, timeout: float | None) -> Sequence[Message]:
        """Return what happened since, at least one message unless `timeout` seconds pass."""
        found = self._gather(timeout)
        if not found:
            self._look()
        for message in found:
            if isinstance(message, Outcome):
                self._here.discard(message.step)
                if self._open.pop(message.step, None) is not None:
                    self._pace = message.seconds if self._pace is None else 0.9 * self._pace + 0.1 * message.seconds
        return tuple(found)

    def _gather(self, timeout: float | None) -> list[Message]:
        """Wait for a message, and for more of them while the workers have enough to do: they are written down together."""
        found: list[Message] = []
        until = time.monotonic() + LINGER
        with suppress(Empty):
            found.append(self._messages.get(timeout=timeout))
            while len(self._waiting) > self._needs.workers:
                found.append(self._messages.get(timeout=max(0.0, until - time.monotonic())))
            while True:
                found.append(self._messages.get_nowait())
        return found

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Let the step go on."""
        if checkpoint.step in self._here:
            self._threads.acknowledge(checkpoint)
            return
        with self._lock:
            for worker in self._workers:
                if worker.step is not None and worker.step.id == checkpoint.step:
                    worker.pipe.send(DURABLE)

    def close(self) -> None:
        """Stop all workers, at once."""
        self._is_closed = True
        for worker in self._workers:
            worker.end()
            worker.process.join()
            worker.pipe.close()
            keep_output(self._outputs, worker.pid, worker.step.id if worker.step is not None else None)

    # -- workers -----------------------------------------------------------------------------------------------------

    def _assign(self) -> None:
        """Give waiting steps, in their order, to idle workers; hire where there are too few. The lock is held."""
        while self._waiting and not self._is_closed:
            need = self._waiting[0].need
            worker = self._idle(need) if self._counts.left.fits(need) else None
            if worker is None:
                break
            one = self._waiting.popleft()
            self._begin(worker, one)
            self._send(worker, one)
        for worker in self._workers if self._is_quick() else ():
            if worker.takes_ahead and self._waiting and self._waiting[0].need.is_free:
                worker.ahead = self._waiting.popleft()
                self._send(worker, worker.ahead)

    def _begin(self, worker: Worker, one: _Submitted) -> None:
        """Note what the worker does now."""
        worker.share = self._counts.take(one.need)
        worker.step, worker.is_used = one.step, True
        if one.need.seconds is not None:
            worker.timer = threading.Timer(one.need.seconds, self._time_out, [worker])
            worker.timer.daemon = True
            worker.timer.start()

    def _send(self, worker: Worker, one: _Submitted) -> None:
        with suppress(OSError):  # it died just now: its listener tells
            worker.pipe.send(Work(one.step, one.last, self._allotment(worker, one.need)))

    def _is_quick(self) -> bool:
        return self._pace is not None and self._pace < QUICK

    def _idle(self, need: Need) -> Worker | None:
        """Return a worker for a step with this need, or None until one is there."""
        idle = [worker for worker in self._workers if worker.step is None and not worker.is_gone]
        found = next((worker for worker in idle if worker.suits(need)), None)
        if found is None and len(self._workers) < self._needs.workers:
            return self._hire()
        if found is None and idle:
            idle[0].end()  # its listener sees it, and assigns again
        return found

    def _allotment(self, worker: Worker, need: Need) -> Allotment:
        """Return what the worker is told; a GPU of ours is one of those that this process may see itself."""
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        names = [visible[gpu] if gpu < len(visible) else str(gpu) for gpu in worker.gpus]
        cores = worker.share.cores if worker.share is not None else ()
        return Allotment(need.memory, cores or None, ",".join(names) if self._needs.gpus else None)

    def _hire(self) -> Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, self._run_step, self._outputs), daemon=True)
        with _undisturbed():
            process.start()
        theirs.close()
        worker = Worker(process, ours)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: Worker) -> None:
        """Pass on what the worker says, until it is gone; then say how its step ended."""
        while True:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                break
            if isinstance(message, Outcome):
                message = out_of_memory(message, worker.need)
                with self._lock:
                    if worker.gpus:
                        worker.end()  # what it holds on the GPU goes with it
                    self._rest(worker)
                    if worker.ahead is not None:
                        self._begin(worker, worker.ahead)
                        worker.ahead = None
                    self._assign()
            self._messages.put(message)
        worker.end()  # and what its step had started
        worker.process.join()
        with self._lock:
            step, need = worker.step, worker.need
            self._rest(worker)
            if worker.ahead is not None:  # it was not begun: a worker does what it gets in order, and says so
                self._waiting.appendleft(worker.ahead)
            if not self._is_closed:
                self._workers.remove(worker)
                worker.pipe.close()
                keep_output(self._outputs, worker.pid, step.id if step is not None else None)
                self._assign()
        if step is not None and need is not None and not self._is_closed:
            self._messages.put(Outcome(step.id, Status.FAILED, failure=self._death(worker, need)))

    def _rest(self, worker: Worker) -> None:
        """Have nothing to do. The lock is held."""
        worker.step = None
        if worker.share is not None:
            self._counts.give(worker.share)
            worker.share = None
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None

    # -- what may go wrong -------------------------------------------------------------------------------------------

    def _time_out(self, worker: Worker) -> None:
        worker.is_late = True
        worker.end()

    def _look(self) -> None:
        """See how much memory the workers hold, while nothing else happens."""
        for worker in tuple(self._workers):
            if worker.step is not None:
                worker.peak = max(worker.peak, memory.resident(worker.pid))

    def _death(self, worker: Worker, need: Need) -> Failure:
        before, self._kills = self._kills, memory.kills()
        return explain(worker.process.exitcode or 0, need, worker.peak, is_late=worker.is_late, was_short=self._kills > before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C from processes that are just being born: the fork server, which this starts, and all its children.

    A signal that comes meanwhile is held, and none is lost. The resource tracker comes first: it would lift the block.
    """
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        forkserver.ensure_running()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
