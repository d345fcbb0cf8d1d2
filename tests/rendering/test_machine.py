"""The lines that machines read: each by schemas/events.json, and nothing in them that the schema does not name."""

from __future__ import annotations

import json

import jsonschema
import pytest

from mlops import schemas
from mlops.core import plans, streams
from mlops.core.addresses import Address
from mlops.core.diagnostics import Diagnostic, Origin
from mlops.core.errors import PolicyDenied, SpecError, StateLocked
from mlops.core.events import Event
from mlops.core.executions import Failure, Outcome, Result, Status
from mlops.core.plans import FORMAT, Action, Change, Plan, Reason, Standing
from mlops.core.rulings import Effect, Ruling
from mlops.rendering import machine

MODEL = Address("model.credit")
PLAN = plans.identify(
    Plan(FORMAT, "", "credit", "dev", (Change(MODEL, Action.CREATE, (Reason("new"),)),), (), standing=(Standing(MODEL, "2026"),))
)
FAILED = Failure("refused", "no", "ask", None)
ENDED = {"status": "failed", "seconds": 1.0, "facts": {}, "outputs": {}}
EVENTS = [
    machine.opening("apply"),
    machine.planned(PLAN),
    machine.ruling(Ruling("a:b", Effect.WARN, "odd", "model.credit")),
    Event("run-started", data={"run": "r", "plan": PLAN.id, "environment": "dev", "steps": 1}),
    Event("step-started", MODEL, "model.credit/fit", {"do": "run", "verb": "model.fit", "seconds": None}),
    Event("step-progress", MODEL, "model.credit/fit", {"message": "half", "done": 0.5}),
    Event("step-progress", MODEL, "model.credit/fit", {"message": "half"}),
    Event("step-heartbeat", MODEL, "model.credit/fit", {"seconds": 10.0}),
    Event("step-retry", MODEL, "model.credit/fit", {"attempt": 2, "seconds": 1.0, "failure": {"code": "x", "message": "y"}}),
    Event("step-ended", MODEL, "model.credit/fit", {**ENDED, "failure": {"code": "x", "message": "y"}}),
    Event("run-ended", data={"seconds": 1.0, **{status.value: 0 for status in Status}}),
    Event("warning", data={"message": "odd"}),
    machine.result(Result((Outcome("model.credit/fit", Status.FAILED, failure=FAILED),), 1.0), PLAN),
    machine.error(SpecError([Diagnostic("unknown-field", "no", "model.credit", "x", Origin("conf/a.yaml", 1, 2))])),
    machine.error(PolicyDenied([Ruling("a:b", Effect.DENY, "no")])),
    machine.error(StateLocked("held", "wait")),
    machine.failure("usage", "no such option"),
    machine.closing(3),
]


def closed(schema):
    """Return the schema, refusing keys that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    return found | {"additionalProperties": False} if isinstance(found.get("properties"), dict) else found


SCHEMA = schemas.of_events()
VALIDATOR = jsonschema.Draft202012Validator(closed(SCHEMA))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_line_is_as_the_schema_says(event):
    text = machine.line(event, "2026-11-24T10:00:00.000+00:00")
    assert "\n" not in text
    VALIDATOR.validate(json.loads(text))


def test_every_line_that_the_schema_knows_is_shown_here():
    assert {event.name for event in EVENTS} == set(streams.LINES)


@pytest.mark.parametrize(
    "line",
    [
        {"event": "exit", "at": "2026"},
        {"event": "exit", "code": 0},
        {"event": "exit", "at": "2026", "code": 4},
        {"event": "exit", "at": "2026", "code": 0, "coed": 1},
        {"event": "guess", "at": "2026"},
        {"at": "2026"},
        {"event": "step-ended", "at": "2026", **ENDED, "status": "odd"},
    ],
)
def test_what_is_no_line_is_refused(line):
    assert not VALIDATOR.is_valid(line)


def test_a_reader_of_this_format_accepts_what_a_newer_minor_one_adds():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid({"event": "exit", "at": "2026", "code": 0, "new": 1})


def test_a_line_says_what_it_is_about_and_when():
    event = Event("step-heartbeat", MODEL, "model.credit/fit", {"seconds": 10.0})
    assert json.loads(machine.line(event, "2026")) == {
        "event": "step-heartbeat",
        "at": "2026",
        "address": "model.credit",
        "step": "model.credit/fit",
        "seconds": 10.0,
    }
