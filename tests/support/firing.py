"""A project of naps in real processes, and `kill -9` at random moments of its applies."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from mlops.core.states import fold
from mlops.stores.sql import SqlStore
from mlops.world.clock import SystemClock

NAPS = Path(__file__).with_name("naps")
SQLITE = "sqlite:///.mlops/state.db"
CHAIN, NAMES = 4, [f"n{index}" for index in range(11)]


class Project:
    """Eleven naps in chains of four, and a vigil over the last one."""

    def __init__(self, folder, url=SQLITE, workers=2, **executor):
        self.folder, self.url = folder, url
        (folder / "conf" / "executor").mkdir(parents=True)
        self.write("config", f"defaults: [executor: local, _self_]\nproject: naps\nstore: {{url: '{url}'}}\n")
        self.write("executor/local", json.dumps({"type": "local", "workers": workers, "retry_delay": 0.05, **executor}))
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(NAPS), os.environ.get("PYTHONPATH", "")])}

    def write(self, name, text):
        path = self.folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def nap(self, name, **body):
        self.write(f"nap/{name}", json.dumps(body))

    def fill(self, salt, seconds=0.02):
        for index, name in enumerate(NAMES):
            after = {"after": f"nap.{NAMES[index - 1]}"} if index % CHAIN else {}
            self.nap(name, value=salt * 100 + index, seconds=seconds, **after)
        self.write("vigil/v", json.dumps({"over": f"nap.{NAMES[-1]}"}))

    def start(self, *words):
        """Begin a command in a process group of its own, as a shell does."""
        command = [sys.executable, "-m", "mlops", *words]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words, code=0):
        with self.start(*words) as process:
            said, _ = process.communicate(timeout=60)
        assert process.returncode == code, said
        return said

    def held(self):
        """Return what each vigil holds, by its name."""
        return {path.name: path.read_text() for path in sorted(self.folder.glob("held/*"))}

    def slept(self):
        """Return the value of each nap that was begun, in their order."""
        path = self.folder / "slept"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def read(self):
        """Check that the records are the fold of the journal; return the state and the journal."""
        store = SqlStore(self.url, self.folder, SystemClock())
        state, entries = store.read("dev"), list(store.history("dev"))
        store.close()
        assert fold(entries) == dict(state.records)
        return state, entries

    def outputs(self):
        state, _ = self.read()
        return {address: {name: step.outputs for name, step in record.steps.items()} for address, record in state.records.items()}

    def converge(self):
        """Apply, and have nothing left to do."""
        self.run("apply", "--yes")
        self.run("plan", "--check")
        state, _ = self.read()
        assert all(record.complete for record in state.records.values())
        assert not state.pending


def wait_for(stream, *names, step=None):
    """Read events until one has one of the names; return it."""
    for line in stream:
        event = json.loads(line)
        if event["event"] in names and step in (None, event.get("step")):
            return event
    raise AssertionError(names)


def fire(project, chance):
    """Kill an apply at a random moment: anywhere in its life, or soon after its first step began."""
    process = project.start("apply", "--yes", "--json")
    if chance.random() < 0.3:
        time.sleep(chance.uniform(0.0, 1.0))
    else:
        with contextlib.suppress(AssertionError):
            wait_for(process.stdout, "step-started")
        time.sleep(chance.uniform(0.0, 0.25))
    process.kill()
    process.communicate()
