"""The events of an apply: by schemas/events.json to the letter, and never silent while a step runs."""

from __future__ import annotations

import json
from collections import deque
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from mlops.core.events import Event
from mlops.rendering import machine
from mlops.stores.sql import SqlStore

import toys

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "events.json").read_text())


def closed(schema):
    """Return the schema, refusing keys that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    return found | {"additionalProperties": False} if isinstance(found.get("properties"), dict) else found


VALIDATOR = jsonschema.Draft202012Validator(closed(SCHEMA))


class Slow(toys.ToyExecutor):
    """Lets every step take 34 seconds of the toy clock, and talk once."""

    def __init__(self, world, clock):
        super().__init__(world)
        self.clock, self.waiting = clock, deque()

    def submit(self, step, last=None):
        super().submit(step, last)
        self.waiting.append((self.clock.monotonic() + 34.0, self.messages.pop()))
        self.messages.append(Event("step-progress", step=step.id, data={"message": "begun"}))

    def wait(self, timeout):
        if self.messages:
            return (self.messages.popleft(),)
        self.clock.sleep(0.2)
        if self.waiting and self.waiting[0][0] <= self.clock.monotonic():
            return (self.waiting.popleft()[1],)
        return ()

    def choose(self, ready):
        return list(ready)[: self.workers - len(self.waiting)]


@pytest.mark.parametrize("failing", [set(), {"thing.b/work"}])
def test_every_event_is_by_the_schema_and_a_step_is_heard_of_every_ten_seconds(tmp_path, monkeypatch, failing):
    clock = toys.ToyClock()
    monkeypatch.setattr(toys, "ToyClock", lambda: clock)
    world = toys.ToyWorld(failing=failing)
    store = SqlStore("sqlite:///s.db", tmp_path, clock)
    program = {
        "thing.a": {"value": 1},
        "thing.b": {"value": 2},
        "thing.c": {"reads": ["thing.a"]},
        "guard.c": {"thing": "thing.c"},
        "keep.b": {"shows": "thing.b"},
    }
    heard = []
    made = toys.plan(program, store, world)
    toys.apply(made, store, world, executor=Slow(world, clock), emit=lambda event: heard.append((clock.monotonic(), event)))
    store.close()
    for _, event in heard:
        VALIDATOR.validate(json.loads(machine.line(event, "2026-01-01T00:00:00+00:00")))
    assert [heard[0][1].name, heard[-1][1].name] == ["run-started", "run-ended"]
    steps = {event.step for _, event in heard if event.name == "step-started"}
    assert steps >= {"thing.a/work", "thing.b/work", "thing.c/work", "guard.c/judge"}
    for step in steps:
        names = [event.name for _, event in heard if event.step == step]
        assert (names[0], names[-1]) == ("step-started", "step-ended")
        assert names.count("step-heartbeat") >= 3
        moments = [at for at, event in heard if event.step == step]
        assert max(later - sooner for sooner, later in pairwise(moments)) <= 10.5
