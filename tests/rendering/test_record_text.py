"""What is recorded, as its reader sees it."""

from __future__ import annotations

from mlops.core.addresses import Address
from mlops.core.diagnostics import Origin
from mlops.core.resources import Resource
from mlops.core.states import Entry, Record, StepRecord
from mlops.rendering import records
from mlops.rendering.looks import Look

MODEL, TEST, OLD = Address("model.credit"), Address("test.credit"), Address("rollout.old")
AT = "2026-11-24T12:53:35.372+00:00"
DIGEST = "sha256:" + "ab" * 32
FIT = StepRecord("k", {}, {"artifact": DIGEST}, {"rows": 4454, "metrics": {"roc_auc": 0.812345}}, 1.25, AT)
CHECK = {
    "check": "roc_auc",
    "severity": "error",
    "expected": "≥ 0.78",
    "got": 0.8123,
    "slice": None,
    "passed": True,
    "note": None,
}
JUDGE = StepRecord("k", {}, {}, {"passed": True, "checks": [CHECK]}, 0.2, AT)
RECORDS = {
    MODEL: Record(MODEL, {"seed": 7}, "d", {"fit": FIT}),
    OLD: Record(OLD, {}, "d", {}, complete=False),
    TEST: Record(TEST, {}, "d", {"judge": JUDGE}, complete=False),
}


class Origins:
    """Says the same place of everything."""

    def of(self, _address, _path=""):
        return Origin("conf/model/credit.yaml", 7, 1)


def test_the_overview_has_a_line_for_everything_desired_or_recorded(golden):
    golden("records-overview.txt", records.overview([MODEL, TEST, Address("dataset.credit")], RECORDS, Look()))


def test_one_resource_shows_its_spec_with_places_and_what_was_made(golden):
    desired = Resource(MODEL, {"seed": 7, "params": {"max_depth": 4}, "checks": [1]}, "d", (), ())
    golden("records-model.txt", records.resource(MODEL, desired, RECORDS[MODEL], Origins(), Look()))


def test_a_resource_that_is_only_recorded_shows_what_is_recorded(golden):
    golden("records-test.txt", records.resource(TEST, None, RECORDS[TEST], Origins(), Look()))


def test_history_has_a_line_for_what_ended_cut_to_the_width():
    entries = [
        Entry("begin", "r1", AT, step="model.credit/fit"),
        Entry(
            "end",
            "r1",
            AT,
            step="model.credit/fit",
            body={"status": "failed", "seconds": 1.2, "failure": {"code": "x", "message": "a\nb"}},
        ),
        Entry("end", "r2", AT, step="model.credit/forget", body={"status": "done", "seconds": 0}, forget=True),
    ]
    assert records.history(entries, Look()).splitlines() == [
        "2026-11-24 12:53:35 UTC  r1  model.credit fit     failed in 1.2 s: a",
        "2026-11-24 12:53:35 UTC  r2  model.credit forget  forgotten",
    ]
    assert records.history(entries, Look(width=40)).splitlines()[0] == "2026-11-24 12:53:35 UTC  r1  model.cred…"


def test_status_is_a_line_for_each_kept_thing():
    found = [
        {"address": "rollout.a", "found": None, "facts": {"url": "http://h:1", "replicas": 2}},
        {"address": "rollout.bc", "found": ["one is dead", "one is old"], "facts": {}},
    ]
    assert records.status(found, (), Look()).splitlines() == [
        "rollout.a   as recorded                url http://h:1, replicas 2",
        "rollout.bc  [one is dead, one is old]",
    ]
    assert records.status([], (), Look()) == "nothing is running"


def test_status_has_a_line_below_for_each_replica():
    replicas = [
        {"pid": 14403, "version": "e291", "state": "ready", "ended": "", "log": "/l/1.log"},
        {"pid": 99, "version": "e291", "state": "dead", "ended": "by signal 9", "log": "/l/2.log"},
    ]
    found = [{"address": "rollout.a", "found": None, "facts": {"url": "http://h:1", "replicas": replicas}}]
    assert records.status(found, (), Look()).splitlines() == [
        "rollout.a  as recorded  url http://h:1",
        "  replica 1  pid 14403  version e291  state ready  log /l/1.log",
        "  replica 2  pid 99     version e291  state dead   ended by signal 9  log /l/2.log",
    ]


def test_differences_are_the_fields_that_differ():
    text = records.differences({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "c": 3}, "e": None}, Look())
    assert text.splitlines() == ["a.c  2 → 3", "d    [1] → unset"]
