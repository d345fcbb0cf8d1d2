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
    _leave_terminal()
    works: SimpleQueue[Work] = SimpleQueue()
    reports: list[StepReport] = []
    output = _Output(outputs)

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
        with _within(one.allotment):
            outcome = run_step(one.step, reports[-1])
        output.keep(one.step.id)
        pipe.send(outcome)


def _leave_terminal() -> None:
    """Take a session of our own; what the terminal sent until now, while signals were held (see `local`), was for apply."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # drops what is held
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        signal.signal(number, signal.SIG_DFL)


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


class _Output:
    """Takes everything that the process prints, C libraries and children too: one file a step, and none where nothing is.

    The file has a name of the worker's while the step runs, so that a short and silent step makes none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open()

    def keep(self, step: str) -> None:
        """Give what was printed since to the step."""
        sys.stdout.flush()
        sys.stderr.flush()
        if os.fstat(1).st_size:
            keep_output(self._folder, os.getpid(), step)
            self._open()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with _printed(self._folder, os.getpid()).open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)


def keep_output(folder: Path, pid: int, step: str | None) -> None:
    """Give what the worker printed to the step that it ran, after what an earlier attempt printed; drop nothing at all."""
    printed = _printed(folder, pid)
    try:
        if not printed.stat().st_size:
            printed.unlink()
            return
    except FileNotFoundError:
        return  # it died before it printed anything
    if step is None:
        return
    target = output(folder, step)
    if not target.exists():
        printed.rename(target)
        return
    with target.open("ab") as file:
        file.write(printed.read_bytes())
    printed.unlink()


def output(folder: Path, step: str) -> Path:
    """Return the file that has what the step printed."""
    return folder / f"{step.replace('/', '.')}.out"


def _printed(folder: Path, pid: int) -> Path:
    return folder / f"worker-{pid}.out"
