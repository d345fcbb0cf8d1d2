"""A project of hand-made data, and the command line run in this process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import mlops.project
from mlops import cli
from mlops.core import plans, settings
from mlops.core.addresses import Address, Ref
from mlops.core.diagnostics import Origin
from mlops.core.events import Event
from mlops.core.executions import Outcome, Result, Status
from mlops.core.plans import FORMAT, Action, Change, Do, Plan, Reason, Step
from mlops.core.resources import Resource
from mlops.core.states import State
from mlops.world.clock import SystemClock

MODEL = Address("model.credit")
ENDED = Event("step-ended", MODEL, "model.credit/fit", {"status": "done", "seconds": 3.2, "facts": {}})


class Origins:
    """Says the same place of everything."""

    def of(self, _address, _path=""):
        return Origin("conf/model/credit.yaml", 1, 1)


class Fake:
    """Answers as `mlops.project.Project` does."""

    run = "abc"

    def __init__(self, root):
        body = {"dataset": "dataset.credit", "seed": 7}
        resource = Resource(MODEL, body, "sha256:1", ("artifact",), (), gates=(Ref("dataset.credit"),))
        data = Resource(Address("dataset.credit"), {}, "sha256:2", ("table",), ())
        self.root = root
        self.composition = settings.Composition(settings.Settings(), {MODEL: resource, data.address: data}, Origins())
        self.world = SimpleNamespace(clock=SystemClock())
        self.changes = (Change(MODEL, Action.CREATE, (Reason("new"),)),)
        self.result = Result((Outcome("model.credit/fit", Status.DONE, seconds=3.2),), 3.3)
        self.asked = []
        self.closed = False
        self.verdicts = ()
        self.rulings = ()
        self.reason = ""

    def plan(self, options):
        self.asked.append((list(options.targets), list(options.replace), options.destroy))
        steps = tuple(Step(f"{each.address}/fit", each.address, "fit", Do.RUN, "model.fit") for each in self.changes)
        stay = {"unchanged": 2, "standing": self.verdicts, "settings": {"overrides": []}}
        return plans.identify(Plan(FORMAT, "", "credit", "dev", self.changes, steps, **stay))

    def judge(self, plan):
        return self.rulings

    def standing(self):
        return self.verdicts

    def apply(self, plan, emit, **how):
        if isinstance(self.result, BaseException):
            raise self.result
        emit(Event("run-started", data={"run": "abc", "plan": plan.id, "environment": "dev", "steps": 1}))
        emit(ENDED)
        return self.result

    def state(self):
        return State("dev")

    def history(self, _address=None, environment=None):
        return ()

    def recall(self, _address, _environment=None):
        return []

    def status(self):
        return [{"address": "rollout.credit", "found": "replica 2 of 3 does not answer", "facts": {"replicas": 2}}]

    def close(self):
        self.closed = True


@pytest.fixture
def fake(tmp_path, monkeypatch):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("project: credit\n")
    monkeypatch.chdir(tmp_path)
    made = Fake(tmp_path)
    made.overrides = []

    def open_project(root, overrides=()):
        made.overrides.append(list(overrides))
        return made

    monkeypatch.setattr(mlops.project, "open", open_project)
    monkeypatch.setattr(mlops.project, "resume", lambda _root, _plan: made)
    return made


@pytest.fixture
def run(capsys):
    """Run the command line; return (exit code, standard output, standard error)."""

    def call(*arguments):
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
