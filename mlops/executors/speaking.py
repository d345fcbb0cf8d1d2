"""Speaking: the other end of an executor that runs steps elsewhere: the hidden command `mlops step`, one step a process."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from mlops.executors import wire
from mlops.executors.reports import StepReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from mlops.core.events import Event
    from mlops.core.executions import Checkpoint, Outcome
    from mlops.core.plans import Step
    from mlops.core.worlds import Place, Report

    RunStep = Callable[[Place, Step, Report], Outcome]

MISUSED = 2  # exit code where the first line is no work


def speak(run_step: RunStep, lines: BinaryIO, out: BinaryIO) -> int:
    """Run the step that the first line asks for, tell by `out` how it goes, and return the exit code.

    Whoever started us is gone when the lines end: then so are we, and with the container all that the step started.
    """
    line = lines.readline()
    try:
        work = wire.to_work(line)
    except (ValueError, KeyError, TypeError):
        sys.stderr.write("mlops step: executors call this; it reads its work, as JSON, from stdin\n")
        return MISUSED
    os.environ.update(work.secrets)
    speaking = threading.Lock()  # a step may report from several threads

    def send(message: Event | Checkpoint | Outcome) -> None:
        with speaking:
            out.write(wire.from_message(message))
            out.flush()

    report = StepReport(work.step.id, send, work.last)
    threading.Thread(target=_listen, args=(lines, report), daemon=True).start()
    outcome = run_step(work.place, work.step, report)
    sys.stdout.flush()
    sys.stderr.flush()
    send(outcome)
    return 0


def _listen(lines: BinaryIO, report: StepReport) -> None:
    for line in lines:
        if line == wire.DURABLE:
            report.acknowledge()
    os._exit(1)
