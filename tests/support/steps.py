"""What worker processes run in the tests of executors: importable by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from mlops.core.executions import Failure, Outcome, Status


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
    elif step.verb == "look":
        facts = {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": sorted(os.sched_getaffinity(0)), "pid": os.getpid()}
        time.sleep(step.op.get("seconds", 0))
        return Outcome(step.id, Status.DONE, facts={**facts, "from": started, "to": time.monotonic()}, seconds=1.0)
    elif step.verb == "fill":
        try:
            kept = bytearray(step.op["bytes"])
        except MemoryError:
            return Outcome(step.id, Status.FAILED, failure=Failure("memory", "needed more memory than it could have"))
        return Outcome(step.id, Status.DONE, facts={"bytes": len(kept), "pid": os.getpid()})
    elif step.verb == "start":
        child = subprocess.Popen(["sleep", "60"])
        report.progress(str(child.pid))
        time.sleep(60)
    elif step.verb == "checkpoint":
        report.checkpoint({"at": 1})
        return Outcome(step.id, Status.DONE, facts={"last": report.last})
    return Outcome(step.id, Status.DONE, facts={"pid": os.getpid()}, seconds=time.monotonic() - started)
