"""A rollout for real: the kind's own op, real doors, real replicas of `mlops.serving` on loopback."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec
import pytest

from mlops.core.addresses import Address
from mlops.core.errors import Refused
from mlops.core.ops import bind
from mlops.core.settings import Allow
from mlops.core.states import Record, StepRecord
from mlops.core.worlds import Place
from mlops.kinds.rollout import Rollout, RolloutSpec
from mlops.kinds.rollout.process import Deploy
from mlops.serving import folders
from mlops.serving.signatures import Column, Output, Signature
from mlops.world import hosts
from mlops.world.doors import Doors

ADDRESS = Address("rollout.sum")
KIND = Rollout()
EXAMPLE = {
    "inputs": [
        {"name": "a", "datatype": "FP64", "shape": [1], "data": [1.0]},
        {"name": "b", "datatype": "FP64", "shape": [1], "data": [2.0]},
    ]
}


class _Project:
    """A project with one rollout, as the engine would handle it: deploy, record, observe, undo."""

    def __init__(self, root):
        self.root = root
        self.world = Doors(Place(str(root), "test", "dev", Allow()))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.record = None

    def artifact(self, factor):
        """Keep a model that multiplies its sum; return the digest."""
        folder = self.root / f"model-{factor}"
        (folder / "code").mkdir(parents=True)
        source = (
            "class Model:\n"
            "    def predict(self, columns):\n"
            f"        return {{'sum': (columns['a'] + columns['b']) * {factor}}}\n"
            "def load(folder):\n"
            "    return Model()\n"
        )
        (folder / "code" / "adding.py").write_text(source)
        signature = Signature(inputs=(Column("a", "FP64"), Column("b", "FP64")), outputs=(Output("sum", "FP64", (-1,)),))
        folders.write(
            folder, folders.Manifest(signature=signature, flavor="python", layout="columns", entry="adding:load"), EXAMPLE
        )
        return self.world.artifacts.put_folder(folder)

    def apply(self, artifact, **changes):
        target = {"type": "process", "port": self.port}
        spec = RolloutSpec.model_validate({"serves": "model.sum", "target": target, "drain": 5, **changes})
        (step,) = KIND.steps(spec, ADDRESS)
        values = {"input:machine": hosts.machine(), "output:model.sum/artifact": artifact}
        made = Deploy.model_validate(bind(step.op, values)).run(self.world)
        self.record = Record(ADDRESS, {}, "", {"deploy": StepRecord("key", values, made.outputs, made.facts, 1.0, "")})

    def observed(self):
        return KIND.observe(self.record, self.world)

    def destroy(self):
        KIND.undo(self.record).run(self.world)


@pytest.fixture
def project(tmp_path):
    project = _Project(tmp_path)
    yield project
    handle = project.world.processes.handle(ADDRESS)
    project.world.processes.stop(handle, 0.0)


def ask(connection):
    """Return the version that answered and the answer."""
    connection.request("POST", "/v2/models/sum/infer", msgspec.json.encode(EXAMPLE), {"content-type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return answer.headers["x-mlops-version"], msgspec.json.decode(body)["outputs"][0]["data"][0]


def version(artifact):
    return artifact.removeprefix("sha256:")[:12]


def test_a_rollout_is_deployed_seen_restored_and_undone(project):
    artifact = project.artifact(10)
    project.apply(artifact, replicas=2)
    assert project.observed().value is None
    with closing(HTTPConnection("127.0.0.1", project.port, timeout=5)) as connection:
        assert ask(connection) == (version(artifact), 30.0)
    os.kill(project.observed().facts["replicas"][1]["pid"], signal.SIGKILL)
    until = time.monotonic() + 5
    while project.observed().facts["replicas"][1]["state"] != "dead" and time.monotonic() < until:
        time.sleep(0.01)
    assert project.observed().value.startswith("replica 2 of 2 died (signal 9 at ")
    facts = project.record.facts
    project.apply(artifact, replicas=2)
    assert project.observed().value is None
    assert project.record.facts == facts
    project.destroy()
    assert project.observed().value == f"no supervisor runs: nobody answers on 127.0.0.1:{project.port}"
    project.destroy()


def test_a_new_version_replaces_the_old_under_load_and_no_request_fails(project):
    old, new = project.artifact(10), project.artifact(100)
    project.apply(old, replicas=2)
    answers, failures, is_over = [], [], threading.Event()

    def load():
        with closing(HTTPConnection("127.0.0.1", project.port, timeout=20)) as connection:
            while not is_over.is_set():
                try:
                    answers.append(ask(connection))
                except (OSError, HTTPException, AssertionError) as error:
                    failures.append(repr(error))
                    connection.close()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        project.apply(new, replicas=2)
        count = len(answers)
        time.sleep(0.3)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(answers) == {(version(old), 30.0), (version(new), 300.0)}
    assert set(answers[count + 4 :]) == {(version(new), 300.0)}


def test_a_model_that_fails_is_refused_with_its_own_words_and_the_old_one_goes_on(project):
    old = project.artifact(10)
    project.apply(old)
    with pytest.raises(Refused, match=r"died \(exit code 1 at .*\): the model does not answer .* name 'oops' is not defined"):
        project.apply(project.artifact("oops"))
    assert project.observed().value is None
    with closing(HTTPConnection("127.0.0.1", project.port, timeout=5)) as connection:
        assert ask(connection) == (version(old), 30.0)


def test_the_supervisor_needs_nothing_but_the_standard_library():
    code = "import sys, mlops.world.supervisor; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert set(loaded.stdout.split()) - set(sys.stdlib_module_names) - {"__main__"} == {"mlops"}
