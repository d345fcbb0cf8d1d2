"""Lines for a machine beside text for people, and what policies say of a plan, on a project of hand-made data."""

from __future__ import annotations

import json
import os
import socket

import pytest

from mlops.core.errors import StateLocked
from mlops.core.events import Event
from mlops.core.rulings import Effect, Ruling


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def names(lines):
    return [line["event"] for line in lines]


def test_people_and_a_machine_read_the_same_apply_at_once(fake, run, tmp_path):
    alone = run("apply", "-y")
    assert run("apply", "-y", "--json-into", "events.jsonl") == alone
    lines = read(tmp_path / "events.jsonl")
    assert names(lines) == ["version", "plan", "run-started", "step-ended", "result", "exit"]
    assert lines[1]["plan"]["id"] == lines[2]["plan"] == lines[4]["plan"]
    assert lines[-1]["code"] == 0


def test_a_stream_goes_to_standard_output_and_a_file_at_once(fake, run, tmp_path):
    out = run("apply", "-y", "--json", "--json-into", "events.jsonl")[1]
    assert names(map(json.loads, out.splitlines())) == names(read(tmp_path / "events.jsonl"))


@pytest.mark.parametrize("is_socket", [False, True])
def test_a_stream_goes_to_a_descriptor_that_the_caller_opened_a_socket_too(fake, run, is_socket):
    ours, theirs = (end.detach() for end in socket.socketpair()) if is_socket else os.pipe()
    code, _, _ = run("apply", "-y", "--json-into", f"/dev/fd/{theirs}")
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as reader:
        lines = [json.loads(line) for line in reader]
    assert (code, names(lines)[-1]) == (0, "exit")


def test_plan_and_destroy_have_a_stream_too(fake, run, tmp_path):
    assert run("plan", "--check", "--json-into", "p.jsonl")[0] == 2
    lines = read(tmp_path / "p.jsonl")
    assert (names(lines), lines[0]["command"], lines[-1]["code"]) == (["version", "plan", "exit"], "plan", 2)
    run("destroy", "-y", "--json-into", "d.jsonl")
    assert read(tmp_path / "d.jsonl")[0]["command"] == "destroy"


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        (StateLocked("dev is held", "wait"), 1, "state-locked"),
        (RuntimeError("oops"), 70, "bug"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_a_stream_tells_of_the_error_and_ends_with_the_exit_code(fake, run, tmp_path, failure, code, said):
    fake.result = failure
    assert run("apply", "-y", "--json-into", "events.jsonl")[0] == code
    lines = read(tmp_path / "events.jsonl")
    assert [line["code"] for line in lines if line["event"] == "error"] == ([said] if said else [])
    assert (lines[-1]["event"], lines[-1]["code"]) == ("exit", code)


def test_wrong_usage_is_told_in_the_stream(fake, run, tmp_path):
    assert run("apply", "--json-into", "events.jsonl")[0] == 1
    lines = read(tmp_path / "events.jsonl")
    assert (names(lines), lines[2]["code"]) == (["version", "plan", "error", "exit"], "usage")


def test_a_stream_whose_reader_has_gone_ends_and_the_apply_goes_on(fake, run):
    ours, theirs = os.pipe()
    os.close(ours)
    code, out, err = run("apply", "-y", "--json-into", f"/dev/fd/{theirs}")
    os.close(theirs)
    assert code == 0
    assert "Applied: 1 step done" in out
    assert f"warning: /dev/fd/{theirs} is incomplete: Broken pipe" in err


def test_a_disk_that_is_full_ends_the_stream_and_not_the_apply(fake, run):
    code, out, err = run("apply", "-y", "--json-into", "/dev/full")
    assert code == 0
    assert "Applied: 1 step done" in out
    assert "warning: /dev/full is incomplete: No space left on device" in err


def test_no_secret_is_in_a_stream_or_on_the_terminal_or_in_the_log(fake, run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_DB", "hunter2")
    ended = fake.result

    def apply(plan, emit):
        emit(Event("step-progress", "model.credit", "model.credit/fit", {"message": "login me:hunter2"}))
        return ended

    fake.apply = apply
    code, out, err = run("apply", "-y", "--json-into", "events.jsonl")
    assert code == 0
    for text in (out, err, (tmp_path / "events.jsonl").read_text(), run("log")[1]):
        assert "hunter2" not in text
    assert "model.credit fit … login me:[secret]" in out


WARNED = Ruling("checks:odd", Effect.WARN, "one replica is a risk", "rollout.credit")
DENIED = (
    Ruling("checks:no_pickle", Effect.DENY, "no pickle", "model.credit"),
    Ruling("policies/prod.rego", Effect.DENY, "not on Friday"),
)


def test_a_warning_of_a_policy_is_told_and_stops_nothing(fake, run, tmp_path):
    fake.rulings = (WARNED,)
    code, out, err = run("apply", "-y", "--json-into", "events.jsonl")
    assert (code, err) == (0, "warning: checks:odd: rollout.credit: one replica is a risk\n")
    assert "Applied" in out
    (line,) = (line for line in read(tmp_path / "events.jsonl") if line["event"] == "ruling")
    assert (line["policy"], line["effect"], line["address"]) == ("checks:odd", "warn", "rollout.credit")


@pytest.mark.parametrize("command", [["plan"], ["plan", "--out", "p.json"], ["apply", "-y"], ["destroy", "-y"]])
def test_a_plan_that_is_denied_is_shown_with_all_denials_and_not_applied(fake, run, tmp_path, command):
    fake.rulings = (WARNED, *DENIED)
    fake.apply = None
    code, out, err = run(*command)
    assert code == 1
    assert "+ model.credit  new" in out
    assert err.splitlines() == [
        "warning: checks:odd: rollout.credit: one replica is a risk",
        "error[policy-denied] the project's policies deny this plan:",
        "  checks:no_pickle: model.credit: no pickle",
        "  policies/prod.rego: not on Friday",
        "  hint: `policies` in conf/config.yaml lists them",
    ]
    assert not (tmp_path / "p.json").exists()


def test_a_pull_request_is_told_what_policies_say(fake, run):
    fake.rulings = (WARNED, DENIED[0])
    code, out, _ = run("plan", "--markdown")
    assert code == 1
    assert out.endswith(
        "**Policies**\n\n- **warn** `checks:odd` `rollout.credit`: one replica is a risk\n"
        "- **deny** `checks:no_pickle` `model.credit`: no pickle\n"
    )


def test_a_program_that_reads_the_plan_gets_the_denials_too(fake, run):
    fake.rulings = DENIED
    code, out, _ = run("plan", "--json")
    plan, error = (json.loads(line) for line in out.splitlines())
    assert (code, plan["project"], error["event"]) == (1, "credit", "error")
    assert [denial["policy"] for denial in error["denials"]] == ["checks:no_pickle", "policies/prod.rego"]


def test_the_reason_that_is_given_reaches_the_project(fake, run):
    run("apply", "-y", "--reason", "release 12")
    assert fake.reason == "release 12"
