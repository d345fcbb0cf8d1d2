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
    found = ACTS[step.verb](step.op, report)
    if isinstance(found, Failure):
        return Outcome(step.id, Status.FAILED, failure=found)
    facts = {"pid": os.getpid(), "from": started, "to": time.monotonic(), **(found or {})}
    return Outcome(step.id, Status.DONE, facts=facts, seconds=time.monotonic() - started)


def say(_op, report):
    report.progress("half", 0.5)


def tell(_op, _report):
    sys.stdout.write("printed by the step\n")
    subprocess.run(["echo", "printed by a child"], check=True)


def die(op, _report):
    if "saying" in op:
        subprocess.run(["echo", op["saying"]], check=True)
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(op, _report):
    time.sleep(op["seconds"])


def look(op, _report):
    """Tell what the step was given."""
    time.sleep(op.get("seconds", 0))
    return {"gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": sorted(os.sched_getaffinity(0))}


def fill(op, _report):
    """Take memory, as `project.run_step` would."""
    try:
        return {"bytes": len(bytearray(op["bytes"]))}
    except MemoryError:
        return Failure("memory", "needed more memory than it could have")


def start(_op, report):
    """Leave a child behind that outlives the step if nobody ends it."""
    child = subprocess.Popen(["sleep", "60"])
    report.progress(str(child.pid))
    child.wait()


def checkpoint(_op, report):
    report.checkpoint({"at": 1})
    return {"last": report.last}


ACTS = {
    "noop": lambda _op, _report: None,
    "say": say,
    "print": tell,
    "die": die,
    "sleep": sleep,
    "look": look,
    "fill": fill,
    "start": start,
    "checkpoint": checkpoint,
}
