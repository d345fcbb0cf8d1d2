"""Fleets of real processes on loopback, under a real supervisor; the replica is replica_program.py."""

import json
import os
import socket
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from mlops.core.settings import Allow
from mlops.core.worlds import Fleet, Place
from mlops.world import hosts, processes
from mlops.world.processes import Supervisors

HERE = Path(__file__).parent
PROGRAM = (sys.executable, "-P", str(HERE / "replica_program.py"))
INTERRUPTED = (sys.executable, str(HERE / "interrupted_deploy.py"))
SUPERVISOR = b"mlops.world.supervisor"
NAME = "rollout.credit"
OLD, NEW = "a" * 12, "b" * 12


class Fleets:
    """One fleet of a project in a temporary folder, and what a test does to it."""

    def __init__(self, root):
        self.root = root
        self.port = free_port()
        self.door = Supervisors(Place(str(root), "test", "dev", Allow()), PROGRAM)
        self.handle = self.door.handle(NAME)
        self.said = []

    def wanted(self, version, replicas=1, **changes):
        fleet = {"machine": hosts.machine(), "host": "127.0.0.1", "port": self.port, "model": "credit", "ready_timeout": 20.0}
        return Fleet(**{**fleet, "name": NAME, "version": version, "replicas": replicas, "drain": 2.0, **changes})

    def model(self, fault=""):
        folder = self.root / f"model-{fault}"
        folder.mkdir(exist_ok=True)
        (folder / "fault").write_text(fault)
        return folder

    def deploy(self, version, replicas=1, fault="", **changes):
        self.door.deploy(
            self.wanted(version, replicas, **changes), self.model(fault), lambda message, _: self.said.append(message)
        )

    def replicas(self):
        return self.door.look(self.handle).replicas

    def pids(self):
        return [replica.pid for replica in self.replicas()]

    def supervisor(self):
        return ours_with(self.root, SUPERVISOR)[0]

    def is_serving(self, version, count):
        """Tell whether there are exactly so many processes, ready, of this version, and they answer."""
        found = [(replica.version, replica.state) for replica in self.replicas()]
        return found == [(version, "ready")] * count and len(ours(self.root)) == count + 1 and ask(self.port) == (200, version)


def runtime(fleets):
    return Path(processes._RUNTIME, f"mlops-{os.getuid()}", fleets.handle["supervisor"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def ours(root):
    """Return the processes that name the temporary folder; a zombie names nothing."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and str(root).encode() in arguments(pid)]


def ours_with(root, word):
    return [pid for pid in ours(root) if word in arguments(pid)]


def given(fleets, version, count):
    """Return the fleet as interrupted_deploy.py takes it; its replicas start slowly, so that there is time to die."""
    fleet = asdict(fleets.wanted(version, count))
    return json.dumps({"root": str(fleets.root), "program": PROGRAM, "fleet": fleet, "folder": str(fleets.model("slow"))})


def eventually(is_true, seconds=5.0):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.01)


def ask(port):
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        return ask_on(connection)


def ask_on(connection):
    connection.request("GET", "/v2/models/credit")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["x-mlops-version"]


class Load:
    """Four clients that keep their connections and ask as fast as they are answered; a lost answer is a failure."""

    def __init__(self, port):
        self._port = port
        self._is_over = threading.Event()
        self.versions = []
        self.failures = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self):
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._is_over.is_set():
            try:
                status, version = ask_on(connection)
                self.versions.append(version)
                if status != 200:
                    self.failures.append(status)
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.001)
        connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()
