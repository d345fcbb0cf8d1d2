"""Real processes under fire: `kill -9`, Ctrl-C once and twice, SIGTERM; then the same command again converges by itself."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time

import pytest

import shell
from firing import NAMES, SQLITE, Project, fire, wait_for


def result_of(said):
    """Return the line that tells how an apply went: the last but the exit code."""
    return next(line for line in map(json.loads, said.splitlines()) if line["event"] == "result")


def run_seeds(folder, url, seeds):
    """Change everything, kill the apply, apply again; for each seed."""
    fresh = Project(folder / "fresh")
    project = Project(folder / "fired", url)
    for seed in seeds:
        project.fill(seed)
        fire(project, random.Random(seed))  # noqa: S311 - a seeded choice of moments
        project.run("apply", "--yes")
        state, _ = project.read()
        assert all(record.complete for record in state.records.values())
    project.converge()
    fresh.fill(seeds[-1])
    fresh.converge()
    assert (project.outputs(), project.held()) == (fresh.outputs(), fresh.held())


def test_an_apply_that_is_killed_at_any_moment_converges_by_itself(tmp_path):
    run_seeds(tmp_path, SQLITE, range(8))


def test_an_apply_that_is_killed_at_any_moment_converges_by_itself_in_postgresql(tmp_path, postgres_server):
    run_seeds(tmp_path, postgres_server.new(is_local=True), range(100, 104))


@pytest.mark.parametrize("seconds", [0.0, 0.6, 1.5])
def test_the_quickstart_that_is_killed_while_it_trains_converges(tmp_path, seconds):
    """From data to a verdict; `seconds` after the first step began."""
    quickstart = shell.copy_of("quickstart", tmp_path)
    wanted = ["dataset.tumours", "model.tumours", "test.tumours"]
    command = [shell.MLOPS, "-C", quickstart.folder, "apply", "--yes", "--json", *wanted]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(process.stdout, "step-started")
        time.sleep(seconds)
        process.kill()
    quickstart.apply(*wanted)
    assert quickstart.changes(*wanted) == {}
    quickstart.mlops("plan", "--check", *wanted)
    assert quickstart.mlops("show", "test.tumours").out.count("passed")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def count(outcomes, status):
    return sum(outcome["status"] == status for outcome in outcomes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_what_runs_finish_and_saves_it(project, number):
    """It reaches the whole process group, as Ctrl-C on a terminal does."""
    project.fill(1, seconds=0.3)
    process = project.start("apply", "--yes", "--json")
    wait_for(process.stdout, "step-started")
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    result = result_of(said)
    done, dropped = count(result["outcomes"], "done"), count(result["outcomes"], "dropped")
    assert (done, done + dropped) == (2, len(NAMES) + 1)
    state, _ = project.read()
    assert len(state.records) == done
    assert len(project.slept()) == done
    project.converge()
    assert sorted(project.slept()) == [100 + index for index in range(len(NAMES))], "what was done is not done again"


def test_the_second_signal_leaves_what_runs_and_saves_the_rest(project):
    project.nap("quick", value=1, seconds=0.0)
    project.nap("slow", value=2, seconds=60)
    project.nap("later", value=3, after="nap.slow")
    process = project.start("apply", "--yes", "--json")
    wait_for(process.stdout, "step-ended")
    while 2 not in project.slept():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    wait_for(process.stdout, "warning")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 130, said
    assert {one["step"]: one["status"] for one in result_of(said)["outcomes"]} == {
        "nap.quick/sleep": "done",
        "nap.slow/sleep": "failed",
        "nap.later/sleep": "dropped",
    }
    state, _ = project.read()
    assert [str(address) for address in state.records] == ["nap.quick"]
    assert [(entry.event, entry.step) for entry in state.pending] == [("begin", "nap.slow/sleep")]
    project.nap("slow", value=2, seconds=0)
    project.converge()
    assert project.slept().count(1) == 1


def test_a_delivery_that_never_returns_does_not_hold_the_exit_and_its_checkpoint_is_found_again(project):
    project.nap("a", value=1, seconds=0.0)
    project.write("vigil/v", json.dumps({"over": "nap.a", "seconds": 3600}))
    process = project.start("apply", "--yes", "--json")
    wait_for(process.stdout, "step-started", step="vigil.v/hold")
    time.sleep(0.5)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 130, said
    state, _ = project.read()
    assert [entry.event for entry in state.pending if entry.step == "vigil.v/hold"] == ["begin", "checkpoint"]
    project.write("vigil/v", json.dumps({"over": "nap.a"}))
    project.converge()
    _, entries = project.read()
    assert [entry.event for entry in entries if entry.step == "vigil.v/hold"] == ["begin", "checkpoint", "begin", "end"]


def test_an_apply_after_a_failure_continues_where_it_stopped(project):
    project.fill(1)
    project.nap(NAMES[5], value=105, seconds=0.0, fails=3, after=f"nap.{NAMES[4]}")
    said = project.run("apply", "--yes", code=3)
    assert "nap 105 cannot be reached (3 attempts)" in said
    assert project.slept().count(105) == 3
    project.run("apply", "--yes")
    assert {value: project.slept().count(value) for value in set(project.slept())} == {
        **{100 + index: 1 for index in range(len(NAMES))},
        105: 4,
    }


def test_a_failure_that_passes_is_attempted_again_told_and_journaled(project):
    project.nap("a", value=1, fails=2)
    lines = [json.loads(line) for line in project.run("apply", "--yes", "--json").splitlines()]
    retries = [line for line in lines if line["event"] == "step-retry"]
    assert [line["attempt"] for line in retries] == [2, 3]
    assert all(0 <= line["seconds"] <= bound for line, bound in zip(retries, (0.05, 0.1), strict=True))
    assert all("cannot be reached" in line["failure"]["message"] for line in retries)
    _, entries = project.read()
    told = [(entry.event, entry.body.get("attempt"), entry.body.get("status")) for entry in entries if entry.step]
    assert told == [
        ("begin", None, None),
        ("end", None, "failed"),
        ("begin", 2, None),
        ("end", None, "failed"),
        ("begin", 3, None),
        ("end", None, "done"),
    ]


def test_a_step_over_its_memory_fails_alone_and_names_its_limit(tmp_path):
    project = Project(tmp_path, limits={"nap.big": {"memory": "400MiB"}})
    project.nap("big", value=1, bytes=500 << 20)
    project.nap("small", value=2)
    said = project.run("apply", "--yes", code=3)
    assert "its limit is 400 MiB" in said
    assert "Traceback" not in said
    assert "nap.small sleep … done" in said


def test_a_step_that_wants_more_than_there_is_is_refused_before_anything_runs(tmp_path):
    project = Project(tmp_path, limits={"nap.big": {"gpus": 1}})
    project.nap("big", value=1)
    project.nap("small", value=2)
    said = project.run("apply", "--yes", code=1)
    assert "nap.big/sleep wants 1 GPUs, the executor has 0" in said
    assert project.slept() == []


def test_limits_are_no_part_of_any_key(tmp_path):
    project = Project(tmp_path)
    project.nap("a", value=1)
    project.converge()
    limits = {"nap.*": {"memory": "2GiB", "cpus": 1, "timeout": 60}}
    project.write("executor/local", json.dumps({"type": "local", "workers": 1, "limits": limits}))
    project.run("plan", "--check")


def test_a_wrong_limit_is_told_with_its_place(tmp_path):
    project = Project(tmp_path, limits={"nap.*": {"memory": "lots"}})
    said = project.run("plan", code=1)
    assert "conf/executor/local.yaml:1" in said
    assert "a number of bytes, such as 500MB or 2GiB" in said
