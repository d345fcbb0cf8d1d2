"""What worker processes run in the tests of executors: importable by name."""

from __future__ import annotations

import os
import signal
import time

from mlops.core.executions import Outcome, Status


def run(step, report):
    """Do what the step's verb says."""
    if step.verb == "say":
        report.progress("half", 0.5)
    elif step.verb == "print":
        print("printed by the step")
        os.system("echo printed by a child")
    elif step.verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif step.verb == "sleep":
        time.sleep(step.op["seconds"])
    elif step.verb == "checkpoint":
        report.checkpoint({"at": 1})
        return Outcome(step.id, Status.DONE, facts={"last": report.last})
    return Outcome(step.id, Status.DONE, facts={"pid": os.getpid()})
