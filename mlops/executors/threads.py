"""Threads: steps that run in the process of apply itself, each in a thread: deliveries, which talk and wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from mlops.executors.reports import StepReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from queue import SimpleQueue

    from mlops.core.events import Event
    from mlops.core.executions import Checkpoint, Outcome
    from mlops.core.plans import Step
    from mlops.core.worlds import Report

    RunStep = Callable[[Step, Report], Outcome]


class Threads:
    """Runs each step at once in a thread of its own."""

    def __init__(self, run_step: RunStep, messages: SimpleQueue[Event | Checkpoint | Outcome]) -> None:
        self._run_step, self._messages = run_step, messages
        self._reports: dict[str, StepReport] = {}

    def submit(self, step: Step, last: Mapping[str, Any] | None) -> None:
        """Begin the step."""
        report = StepReport(step.id, self._messages.put, last)
        self._reports[step.id] = report
        # A daemon: an aborted apply does not wait for a delivery, whose world stays as it is until the next apply.
        threading.Thread(target=self._run, args=(step, report), name=step.id, daemon=True).start()

    def _run(self, step: Step, report: StepReport) -> None:
        self._messages.put(self._run_step(step, report))

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Let the step go on."""
        self._reports[checkpoint.step].acknowledge()
