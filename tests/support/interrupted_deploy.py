"""Deploys a fleet and is killed (signal 9) at a named point: `interrupted_deploy.py POINT JSON`."""

import json
import os
import signal
import sys
from pathlib import Path

from mlops.core.settings import Allow
from mlops.core.worlds import Fleet, Place
from mlops.world import controls, deploying
from mlops.world.processes import Supervisors

point, given = sys.argv[1], json.loads(sys.argv[2])


def die(*_):
    """As if somebody pulled the plug."""
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function):
    """Return `function` with death after it."""
    return lambda *args, **kwargs: die(function(*args, **kwargs))


def say(message, _):
    """Die where the deploy says that it is there."""
    if point in message:
        die()


if point == "supervisor":
    deploying.launch = then_die(deploying.launch)
if point == "start":
    controls.Control.start = then_die(controls.Control.start)
if point == "stop":
    controls.Control.rows, rows = lambda self: die() if stopping else rows(self), controls.Control.rows
    stopping = []
    stop = controls.Control.stop
    controls.Control.stop = lambda *args: stopping.append(1) or stop(*args)
place = Place(given["root"], "test", "dev", Allow())
Supervisors(place, given["program"]).deploy(Fleet(**given["fleet"]), Path(given["folder"]), say)
