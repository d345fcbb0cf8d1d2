"""The structured log: a line for each event, with run, plan, address and step, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from mlops import logs
from mlops.core.errors import StateError
from mlops.core.events import Event

STARTED = Event("run-started", data={"plan": "sha256:1", "environment": "dev", "steps": 1})
FAILED = Event(
    "step-ended",
    "dataset.a",
    "dataset.a/read",
    {"status": "failed", "failure": {"message": "no login as postgresql://me:hunter2@db"}, "at": 1, "tags": ["hunter2"]},
)


def noon() -> datetime:
    return datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_every_line_has_run_plan_address_and_step(tmp_path):
    with logs.Log(tmp_path, "r1", noon) as log:
        log(STARTED)
        log(FAILED)
    first, second = (json.loads(line) for line in logs.read(tmp_path).splitlines())
    assert first == {
        "at": "2026-11-24T12:00:00.000+00:00",
        "event": "run-started",
        "run": "r1",
        "plan": "sha256:1",
        "address": "",
        "step": "",
        "environment": "dev",
        "steps": 1,
    }
    assert (second["run"], second["plan"], second["address"], second["step"]) == ("r1", "sha256:1", "dataset.a", "dataset.a/read")
    assert second["at"] == "2026-11-24T12:00:00.000+00:00"  # data of an event cannot overwrite it


def test_a_secret_is_hidden_wherever_it_stands():
    found = logs.hidden(dict(FAILED.data), ["hunter2", ""])
    assert found["failure"] == {"message": f"no login as postgresql://me:{logs.HIDDEN}@db"}
    assert (found["tags"], found["at"], found["status"]) == ([logs.HIDDEN], 1, "failed")


def test_a_log_that_cannot_be_written_ends_and_says_why(tmp_path):
    (tmp_path / ".mlops").write_text("a file where the folder should be")
    with logs.Log(tmp_path, "r1", noon) as log:
        log(STARTED)
        log(FAILED)
    assert log.failure is not None
    assert "r1.jsonl" in log.failure


def test_the_last_run_is_read_where_none_is_named(tmp_path):
    import os

    for index, run in enumerate(["r1", "r2"]):
        with logs.Log(tmp_path, run, noon) as log:
            log(STARTED)
        os.utime(log.path, (1000 - index, 1000 - index))
    assert json.loads(logs.read(tmp_path))["run"] == "r1"
    assert json.loads(logs.read(tmp_path, "r2"))["run"] == "r2"


def test_a_run_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    with pytest.raises(StateError, match="no log yet"):
        logs.read(tmp_path)
    with logs.Log(tmp_path, "r1", noon) as log:
        log(STARTED)
    with pytest.raises(StateError) as caught:
        logs.read(tmp_path, "../../etc/passwd")
    assert caught.value.hint == "the last runs: r1"


def test_structlog_is_loaded_with_the_first_event_only():
    code = "import sys, mlops.logs; print('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_lines_are_chosen_by_address_step_and_time(tmp_path):
    times = iter(datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (10, 11, 12))
    with logs.Log(tmp_path, "r1", lambda: next(times)) as log:
        log(STARTED)
        log(FAILED)
        log(Event("warning", "model.a", data={"message": "odd"}))

    def names(**wanted):
        return [json.loads(line)["event"] for line in logs.read(tmp_path, None, logs.Lines(**wanted)).splitlines()]

    assert names() == ["run-started", "step-ended", "warning"]
    assert names(address="model.a") == ["warning"]
    assert names(step="read") == names(step="dataset.a/read") == ["step-ended"]
    assert names(step="ead") == []
    assert names(since=datetime(2026, 11, 24, 11, tzinfo=UTC)) == ["step-ended", "warning"]
    assert names(address="dataset.a", since=datetime(2026, 11, 24, 12, tzinfo=UTC)) == []
