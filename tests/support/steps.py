"""What worker processes run in the tests of executors: importable by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from mlops.core.executions import Outcome, Status


def run(step, report):
    """Do what the step's verb says."""
    started = time.monotonic()
    if step.verb == "say":
        report.progress("half", 0.5)
    elif step.verb == "print":
        sys.stdout.write("printed by the step\n")
        subprocess.run(["echo", "printed by a child"], check=True)
    elif step.verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif step.verb == "sleep":
        time.sleep(step.op["seconds"])
    elif step.verb == "checkpoint":
        report.checkpoint({"at": 1})
        return Outcome(step.id, Status.DONE, facts={"last": report.last})
    return Outcome(step.id, Status.DONE, facts={"pid": os.getpid()}, seconds=time.monotonic() - started)
