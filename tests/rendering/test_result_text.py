"""How an apply went, as its reader sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops.core.addresses import Address
from mlops.core.diagnostics import Origin
from mlops.core.events import Event
from mlops.core.executions import Failure, Outcome, Result, Status
from mlops.core.plans import FORMAT, Action, Change, Do, FieldChange, Plan, Reason, Standing, Step
from mlops.rendering import progress, results
from mlops.rendering.looks import Look

PLAN = Plan(
    FORMAT,
    "sha256:0",
    "credit",
    "dev",
    (Change(Address("model.credit"), Action.UPDATE, seconds=12.0),),
    (Step("model.credit/fit", Address("model.credit"), "fit", Do.RUN, "model.fit"),),
)
CHECKS = [
    {
        "check": "roc_auc",
        "severity": "error",
        "expected": "≥ 0.78",
        "got": 0.71234567,
        "slice": None,
        "passed": False,
        "note": None,
    },
    {
        "check": "recall",
        "severity": "warn",
        "expected": "≥ 0.5",
        "got": 0.41,
        "slice": "housing=rent",
        "passed": False,
        "note": "43 rows",
    },
    {"check": "rows", "severity": "error", "expected": "≥ 100", "got": 1114, "slice": None, "passed": True, "note": None},
]
DONE = Result((Outcome("dataset.credit/read", Status.SKIPPED), Outcome("model.credit/fit", Status.DONE, seconds=13.1)), 13.4)
REFUSED = Result(
    (
        Outcome("test.credit/judge", Status.DONE, facts={"passed": False, "checks": CHECKS}, seconds=0.4),
        Outcome("rollout.credit/deliver", Status.BLOCKED, failure=Failure("blocked", "test.credit did not pass")),
    ),
    0.6,
)
BROKEN = Result(
    (
        Outcome(
            "model.credit/fit",
            Status.FAILED,
            seconds=1.25,
            failure=Failure(
                "refused", "Input X contains NaN.\nLogisticRegression does not accept missing values.", "add: impute: median"
            ),
        ),
        Outcome("model.churn/fit", Status.DONE, seconds=61.0),
        Outcome("test.credit/judge", Status.DROPPED),
        Outcome(
            "model.own/fit",
            Status.FAILED,
            failure=Failure("code", "ZeroDivisionError: division by zero", trace='  File "src/own.py", line 3\n    1 / 0\n'),
        ),
    ),
    62.0,
)
WARNED = Result((Outcome("test.credit/judge", Status.DONE, facts={"passed": True, "checks": CHECKS[1:]}, seconds=0.4),), 0.5)
INTERRUPTED = Result((Outcome("model.credit/fit", Status.DROPPED),), 3.0, interrupted=True)
CASES = {"done": DONE, "refused": REFUSED, "broken": BROKEN, "warned": WARNED, "interrupted": INTERRUPTED}


def where(address: str, _path: str = "") -> Origin | None:
    return Origin(f"conf/{address.replace('.', '/')}.yaml", 1, 1)


@pytest.mark.parametrize("name", CASES)
def test_result_reads_as_its_golden_text(name, golden):
    golden(f"result-{name}.txt", results.text(CASES[name], PLAN, Look(), where))


@pytest.mark.parametrize(
    ("name", "failed"), [("done", False), ("refused", True), ("broken", True), ("warned", False), ("interrupted", False)]
)
def test_an_apply_has_failed_when_a_step_failed_was_blocked_or_a_verdict_was_not_passed(name, failed):
    assert results.has_failed(CASES[name], PLAN) is failed


def test_a_failure_names_the_changed_field_that_its_message_quotes():
    field = FieldChange("label", None, "targt", origin=Origin("conf/model/credit.yaml", 3, 8))
    plan = replace(PLAN, changes=(Change(Address("model.credit"), Action.CREATE, fields=(field,)),))
    failed = Outcome("model.credit/fit", Status.FAILED, failure=Failure("model", "the label 'targt' is no column"))
    text = results.text(Result((failed,), 1.0), plan, Look(), where)
    assert text.startswith("failed[model] model.credit fit  conf/model/credit.yaml:3:8\n")


def test_a_verdict_that_was_known_before_is_shown_where_it_blocks():
    reason = Reason("blocked", {"tests": {"test.credit": CHECKS[:1]}})
    plan = replace(PLAN, changes=(Change(Address("rollout.credit"), Action.UPDATE, (reason,), blocked=("test.credit",)),))
    blocked = Outcome("rollout.credit/deploy", Status.BLOCKED, failure=Failure("blocked", "test.credit did not pass"))
    assert results.text(Result((blocked,), 0.1), plan, Look(), where).splitlines()[:3] == [
        "test.credit did not pass when it was last run",
        "  check    expected  got",
        "  roc_auc  ≥ 0.78    0.7123",
    ]


def test_a_failing_verdict_alone_fails_the_apply():
    assert results.has_failed(Result((Outcome("test.a/judge", Status.DONE, facts={"passed": False, "checks": []}),), 1.0), PLAN)


EVENTS = [
    (Event("run-started", data={"plan": "p", "environment": "dev", "steps": 1}), None),
    (Event("step-started", "model.a", "model.a/fit", {"do": "run", "verb": "model.fit", "seconds": 3.0}), None),
    (Event("step-progress", "model.a", "model.a/fit", {"message": "epoch 3", "done": 0.25}), "model.a fit … epoch 3 (25%)"),
    (Event("step-progress", "model.a", "model.a/fit", {"message": "\x1b[31mred"}), "model.a fit … red"),
    (Event("step-heartbeat", "model.a", "model.a/fit", {"seconds": 30.2}), "model.a fit … 30 s so far"),
    (
        Event("step-heartbeat", "model.a", "model.a/fit", {"seconds": 10.0, "retry_in": 20.0}),
        "model.a fit … attempted again in 20 s",
    ),
    (
        Event(
            "step-ended",
            "model.a",
            "model.a/fit",
            {"status": "done", "seconds": 3.21, "facts": {"rows": 4454, "roc_auc": 0.812345, "names": ["a"]}},
        ),
        "model.a fit … done in 3.2 s (rows 4,454, roc_auc 0.8123)",
    ),
    (Event("step-ended", "model.a", "model.a/fit", {"status": "reused", "seconds": 9.0, "facts": {}}), "model.a fit … reused"),
    (
        Event("step-ended", "test.a", "test.a/judge", {"status": "done", "seconds": 0.1, "facts": {"passed": False}}),
        "test.a judge … done in 0.1 s: not passed",
    ),
    (
        Event("step-ended", "model.a", "model.a/fit", {"status": "failed", "seconds": 75.0, "facts": {}}),
        "model.a fit … failed in 1 min 15 s",
    ),
    (Event("step-ended", "model.a", "model.a/fit", {"status": "dropped", "seconds": 0.0, "facts": {}}), None),
    (
        Event(
            "step-ended",
            "rollout.a",
            "rollout.a/deploy",
            {"status": "done", "seconds": 2, "facts": {"url": "http://h:1", "host": "h"}},
        ),
        "rollout.a deploy … done in 2.0 s (url http://h:1)",
    ),
    (
        Event(
            "step-ended", "model.a", "model.a/evaluate", {"status": "done", "seconds": 2, "facts": {"metrics": {"roc_auc": 0.9}}}
        ),
        "model.a evaluate … done in 2.0 s (roc_auc 0.9)",
    ),
    (Event("warning", "rollout.a", data={"message": "no baseline"}), "warning: rollout.a: no baseline"),
    (Event("run-ended", data={"done": 1}), None),
]


@pytest.mark.parametrize(("event", "line"), EVENTS)
def test_an_event_is_one_plain_line_or_none(event, line):
    assert progress.line(event, Look()) == line


def test_a_verdict_that_stands_fails_the_apply_and_is_shown_once():
    checks = (CHECKS[0],)
    verdict = Standing(Address("test.credit"), "2026-11-24T10:00:00.000+00:00", checks)
    lines = results.text(DONE, replace(PLAN, standing=(verdict,)), Look(), where).splitlines()
    assert lines == [
        "test.credit did not pass (recorded 2026-11-24 10:00:00 UTC)",
        "  check    expected  got",
        "  roc_auc  ≥ 0.78    0.7123",
        "",
        "Failed: 1 step done, 1 unchanged in 13 s (estimated 12 s)",
    ]
    blocking = (
        Change(
            Address("rollout.credit"),
            Action.CREATE,
            (Reason("blocked", {"tests": {"test.credit": checks}}),),
            blocked=("test.credit",),
        ),
    )
    again = results.text(DONE, replace(PLAN, changes=blocking, standing=(verdict,)), Look(), where)
    assert again.count("did not pass") == 1
