"""Workers: what runs inside a worker process of the local executor: one step at a time, within its allotment.

A worker has a session of its own, so that Ctrl-C on the terminal is for apply alone, and dies with apply: its pipe closes.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from mlops.executors.reports import StepReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from mlops.core.executions import Outcome
    from mlops.core.plans import Step
    from mlops.core.worlds import Report

    RunStep = Callable[[Step, Report], Outcome]

DURABLE = "durable"  # what apply says to a step whose checkpoint is in the journal


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a worker gets for one step; None: as it is."""

    memory: int | None = None  # bytes
    cores: tuple[int, ...] | None = None
    gpus: str | None = None  # for CUDA_VISIBLE_DEVICES


@dataclass(frozen=True, slots=True)
class Work:
    """One step for a worker."""

    step: Step
    last: Mapping[str, Any] | None
    allotment: Allotment


def work(pipe: Connection, run_step: RunStep, outputs: Path) -> None:
    """Run steps until the pipe closes; that is the main function of a worker process."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # blocked since its birth, see `local`
    works: SimpleQueue[Work] = SimpleQueue()
    reports: list[StepReport] = []

    def listen() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                os.killpg(0, signal.SIGKILL)  # apply is gone: nobody would take the outcome, of what the step started neither
            if message == DURABLE:
                reports[-1].acknowledge()
            else:
                works.put(message)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        one = works.get()
        reports[:] = [StepReport(one.step.id, pipe.send, one.last)]
        with _printing_to(outputs / f"{one.step.id.replace('/', '.')}.out"), _within(one.allotment):
            outcome = run_step(one.step, reports[-1])
        pipe.send(outcome)


@contextmanager
def _within(allotment: Allotment) -> Iterator[None]:
    """Hold the process, and those that it starts, to the allotment.

    Memory is what the kernel counts as data: private memory that may be written to, also before it is touched. A library that
    asks for more is told that there is none (MemoryError), so nothing is killed and the worker stays.
    """
    if allotment.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = allotment.gpus
    if allotment.memory is None and allotment.cores is None:
        yield
        return
    cores, (soft, hard) = os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_DATA)
    if allotment.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (_lower(allotment.memory, hard), hard))
    if allotment.cores is not None:
        _bind(allotment.cores)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        _bind(cores)


def _lower(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _bind(cores: tuple[int, ...] | set[int]) -> None:
    """Let all threads of this process run on these processors: pools that earlier steps left, too."""
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208 - names, no paths
        try:
            os.sched_setaffinity(int(thread), cores)
        except ProcessLookupError:
            continue  # it has ended


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
