"""What worker processes run in the tests of executors: importable by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def spill(op, _report):
    """Fill a file in memory, which no process's own limit counts."""
    with open("/tmp/spilled", "wb") as file:  # noqa: PTH123, S108 - a container's own
        file.writelines(bytes(1 << 20) for _ in range(op["bytes"] >> 20))


def confess(op, _report):
    """Tell who runs the step, what it may do, and whom it reaches."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    refusals = {}
    for path in op["paths"]:
        try:
            Path(path, "written").write_text("by a step")
        except OSError as error:
            refusals[path] = error.strerror
    return {
        "user": f"{os.getuid()}:{os.getgid()}",
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "no_new_privileges": status["NoNewPrivs"],
        "interfaces": sorted(os.listdir("/sys/class/net")),  # noqa: PTH208 - names, no paths
        "refusals": refusals,
    }


def whisper(_op, report):
    """Read a secret, and wait until somebody has looked whether it shows."""
    report.checkpoint({})
    return {"length": len(os.environ["MLOPS_SECRET_DATABASE"])}


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
    "spill": spill,
    "confess": confess,
    "whisper": whisper,
    "checkpoint": checkpoint,
}
