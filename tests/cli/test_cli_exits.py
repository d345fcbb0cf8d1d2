"""What the command line prints and the exit codes it leaves with; a project of hand-made data stands in for a real one."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

import mlops.project
from mlops import cli
from mlops.cli.commands import commands
from mlops.cli.sessions import Session
from mlops.core.addresses import Address
from mlops.core.diagnostics import Diagnostic, Origin
from mlops.core.errors import SpecError, StateLocked
from mlops.core.executions import Failure, Outcome, Result, Status
from mlops.core.plans import Standing


def test_plan_prints_the_plan_and_leaves_with_0(fake, run):
    code, out, err = run("plan")
    assert (code, err) == (0, "")
    assert out.splitlines()[2:] == ["+ model.credit  new", "", "Plan: 1 to create, 2 unchanged"]
    assert fake.closed


def test_plan_check_leaves_with_2_when_something_would_change(fake, run):
    assert run("plan", "--check")[0] == 2


def test_plan_check_leaves_with_0_when_nothing_would_change(fake, run):
    fake.changes = ()
    code, out, _ = run("plan", "--check")
    assert (code, out) == (0, "nothing to do; 2 resources unchanged\n")


def stand(fake):
    checks = ({"check": "roc_auc", "severity": "error", "expected": "≥ 0.78", "got": 0.71, "slice": None, "passed": False},)
    fake.changes, fake.verdicts = (), (Standing(Address("test.credit"), "2026-11-24T10:00:00.000+00:00", checks),)


STANDS = "test.credit did not pass (recorded 2026-11-24 10:00:00 UTC)\n  check    expected  got\n  roc_auc  ≥ 0.78    0.71\n"


@pytest.mark.parametrize(("command", "code"), [(["plan"], 0), (["plan", "--check"], 3), (["apply"], 3), (["apply", "-y"], 3)])
def test_a_test_that_stays_failed_is_told_and_ci_does_not_turn_green_by_running_twice(fake, run, command, code):
    stand(fake)
    assert run(*command) == (code, f"nothing to do; 2 resources unchanged\n{STANDS}", "")


def test_a_test_that_stays_failed_fails_an_apply_that_changes_something_else(fake, run):
    changes = fake.changes
    stand(fake)
    fake.changes = changes
    code, out, _ = run("apply", "-y")
    assert code == 3
    assert out.splitlines()[-1].startswith("Failed: 1 step done")
    assert run("plan", "--check")[0] == 2


def test_status_tells_of_a_test_that_did_not_pass(fake, run):
    stand(fake)
    code, out, _ = run("status")
    assert code == 3
    assert out.endswith(STANDS)


def test_words_are_told_apart_by_their_form(fake, run):
    assert run("plan", "model.credit", "model.credit.seed=8", "+a=1", "~b", "env=prod")[0] == 0
    assert fake.overrides == [["model.credit.seed=8", "+a=1", "~b", "env=prod"]]
    assert fake.asked == [(["model.credit"], [], False)]


def test_an_override_whose_value_ends_in_json_is_no_plan(fake, run):
    assert run("plan", "dataset.credit.path=a.json")[0] == 0
    assert fake.overrides == [["dataset.credit.path=a.json"]]


def test_an_unknown_address_is_an_error_that_says_what_was_meant(fake, run):
    code, out, err = run("plan", "model.credi")
    assert (code, out) == (1, "")
    assert err == (
        "error[plan] model.credi is neither in the configuration nor in the state\n  hint: did you mean 'model.credit'?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan", "Credit"], "'Credit' is no address"),
        (["plan", "plan.json"], "plan.json is a finished plan"),
        (["plan", "--out", "plan.txt"], "ends in .json"),
        (["apply", "a.json", "b.json"], "only one plan"),
        (["apply", "a.json", "model.credit"], "takes no addresses"),
        (["apply", "a.json", "--replace", "model.credit"], "finished plan"),
        (["diff", "a.json", "model.credit"], "two plans or two addresses"),
        (["plan", "--chek"], "--chek"),
        (["plam"], "plam"),
        (["apply"], "--yes"),
        (["apply", "--json"], "--yes"),
        (["apply", "-y", "--json-into", "no/such/folder/e.jsonl"], "No such file or directory"),
        (["apply", "-y", "--json-into", "/dev/fd/900"], "Bad file descriptor"),
        (["completion", "tcsh"], "tcsh"),
    ],
)
def test_wrong_usage_leaves_with_1_and_says_what_to_do(fake, run, arguments, says):
    code, _, err = run(*arguments)
    assert code == 1
    assert says in err
    assert "Traceback" not in err


def test_apply_prints_plan_progress_and_result(fake, run):
    code, out, err = run("apply", "--yes")
    assert (code, err) == (0, "")
    assert out.splitlines()[-4:] == ["", "model.credit fit … done in 3.2 s", "", "Applied: 1 step done in 3.3 s"]


def test_apply_of_nothing_says_so_and_asks_nobody(fake, run):
    fake.changes = ()
    assert run("apply") == (0, "nothing to do; 2 resources unchanged\n", "")


def test_apply_json_prints_one_stream_and_nothing_else(fake, run):
    code, out, _ = run("apply", "-y", "--json")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["version", "plan", "run-started", "step-ended", "result", "exit"]
    assert (lines[0]["format"], lines[0]["command"], lines[-1]["code"]) == ("1.0", "apply", 0)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Result((Outcome("model.credit/fit", Status.FAILED, failure=Failure("refused", "no")),), 1.0), 3),
        (Result((Outcome("model.credit/fit", Status.BLOCKED),), 1.0), 3),
        (Result((Outcome("model.credit/fit", Status.DROPPED),), 1.0, interrupted=True), 130),
        (KeyboardInterrupt(), 130),
        (StateLocked("dev is locked", "wait"), 1),
        (RuntimeError("oops"), 70),
    ],
)
def test_apply_leaves_with_the_code_of_how_it_went(fake, run, result, code):
    fake.result = result
    assert run("apply", "-y")[0] == code


def test_a_bug_shows_the_traceback_and_where_to_report(fake, run):
    fake.result = RuntimeError("oops")
    _, _, err = run("apply", "-y")
    assert "Traceback" in err
    assert "RuntimeError: oops" in err
    assert "please report it" in err


def test_mlops_trace_raises_the_error_itself(fake, run, monkeypatch):
    fake.result = StateLocked("dev is locked")
    monkeypatch.setenv("MLOPS_TRACE", "1")
    with pytest.raises(StateLocked):
        run("apply", "-y")


def test_every_problem_is_shown_with_its_line(fake, run, monkeypatch):
    (fake.root / "conf" / "model").mkdir()
    (fake.root / "conf" / "model" / "credit.yaml").write_text("max_dept: 6\n")
    origin = Origin("conf/model/credit.yaml", 1, 1)
    problem = Diagnostic("unknown-field", "no field 'max_dept'", "model.credit", "max_dept", origin, "did you mean 'max_depth'?")

    def refuse(root, overrides=()):
        raise SpecError([problem, problem])

    monkeypatch.setattr(mlops.project, "open", refuse)
    code, out, err = run("validate")
    assert (code, out) == (1, "")
    assert err.splitlines()[:4] == [
        "error[unknown-field] conf/model/credit.yaml:1:1: model.credit: no field 'max_dept'",
        "  1 │ max_dept: 6",
        "    │ ^",
        "  hint: did you mean 'max_depth'?",
    ]
    assert err.splitlines()[-1] == "2 problems in the configuration"


def test_a_folder_without_a_project_says_how_to_begin_one(tmp_path, run):
    code, _, err = run("-C", str(tmp_path), "plan")
    assert code == 1
    assert "conf/config.yaml is missing" in err
    assert "mlops init" in err


def test_a_command_finds_the_project_from_a_folder_inside_it(fake, run):
    assert run("-C", "conf", "plan")[0] == 0


def test_a_written_plan_is_read_back_and_applied(fake, run):
    code, out, err = run("plan", "--out", "plan.json", "--json")
    assert code == 0
    assert json.loads(out) == json.loads((fake.root / "plan.json").read_text())
    assert "mlops apply plan.json" in err
    assert run("apply", "plan.json", "-y")[0] == 0


@pytest.mark.parametrize(("text", "says"), [("{", "no JSON"), ("[]", "no plan"), ('{"format": "9.0"}', "format 9.0")])
def test_a_file_that_is_no_plan_is_an_error(fake, run, text, says):
    (fake.root / "plan.json").write_text(text)
    code, _, err = run("apply", "plan.json", "-y")
    assert code == 1
    assert says in err


def test_a_plan_that_was_edited_is_refused(fake, run):
    run("plan", "--out", "plan.json")
    path = fake.root / "plan.json"
    path.write_text(path.read_text().replace('"environment":"dev"', '"environment":"prod"'))
    code, _, err = run("apply", "plan.json", "-y")
    assert code == 1
    assert "edited" in err


def test_a_missing_plan_is_an_error(fake, run):
    code, _, err = run("apply", "gone.json", "-y")
    assert code == 1
    assert "gone.json cannot be read" in err


@pytest.mark.parametrize(
    ("answer", "code", "last"),
    [("y\n", 0, "Applied: 1 step done in 3.3 s"), ("n\n", 1, "nothing was changed"), ("", 130, "interrupted")],
)
def test_apply_asks_on_a_terminal(fake, capsys, monkeypatch, answer, code, last):
    with _terminal(monkeypatch, answer):
        assert cli.run(["apply"]) == code
    captured = capsys.readouterr()
    assert last in captured.out + captured.err
    assert "Apply this? [y/N]" in captured.out


@contextmanager
def _terminal(monkeypatch, answer):
    """Pretend that someone sits there and types `answer`."""
    import io
    import sys

    stdin = io.StringIO(answer)
    stdin.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    yield


def test_graph_shows_what_needs_what(fake, run):
    assert run("graph")[1] == "model.credit\n└─ dataset.credit\n"
    assert '"dataset.credit" -> "model.credit";' in run("graph", "--dot")[1]
    assert "n0 --> n1" in run("graph", "--mermaid")[1]


def test_show_lists_all_or_one(fake, run):
    assert run("show")[1] == "dataset.credit  not made yet\nmodel.credit    not made yet\n"
    assert run("show", "model.credit")[1].splitlines() == [
        "model.credit",
        "  dataset  dataset.credit  conf/model/credit.yaml:1:1",
        "  seed     7               conf/model/credit.yaml:1:1",
        "",
        "not made yet",
    ]


def test_status_tells_what_is_not_as_recorded(fake, run):
    assert run("status")[1] == "rollout.credit  replica 2 of 3 does not answer  replicas 2\n"


def test_what_is_recorded_and_runs_is_told_of_any_environment(fake, run):
    assert [run(*words)[0] for words in (["show", "env=prod"], ["history", "env=prod"], ["status", "env=prod"])] == [0, 0, 0]
    assert fake.overrides == [["env=prod"]] * 3


@pytest.mark.parametrize("words", [["show", "a.b", "c.d"], ["history", "a.b", "c.d"], ["status", "a.b"], ["show", "plan.json"]])
def test_a_word_too_many_is_a_usage_error(fake, run, words):
    assert run(*words)[0] == 1


def test_history_and_log_say_when_there_is_nothing(fake, run):
    assert run("history")[1] == "nothing has happened yet\n"
    code, _, err = run("log")
    assert code == 1
    assert "no log yet" in err


def test_apply_writes_a_log_that_log_prints(fake, run):
    run("apply", "-y")
    lines = [json.loads(line) for line in run("log")[1].splitlines()]
    assert [line["event"] for line in lines] == ["run-started", "step-ended"]
    assert all(line["run"] == "abc" and line["plan"].startswith("sha256:") and "at" in line for line in lines)
    assert (lines[1]["address"], lines[1]["step"]) == ("model.credit", "model.credit/fit")


def test_diff_compares_two_addresses_and_two_plans(fake, run):
    assert run("diff", "model.credit", "dataset.credit")[1] == "dataset  dataset.credit → unset\nseed     7 → unset\n"
    run("plan", "--out", "a.json")
    assert run("diff", "a.json", "a.json")[1] == "no differences\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_reads(run, shell):
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_MLOPS_COMPLETE" in out


def test_words_complete_to_addresses_keys_and_options(fake):
    model = fake.root / "conf" / "model"
    model.mkdir()
    (model / "credit.yaml").write_text("params: {max_depth: 6}\nseed: 7\n")
    (fake.root / "conf" / "env").mkdir()
    (fake.root / "conf" / "env" / "prod.yaml").write_text("")

    def complete(text):
        variables = {"_MLOPS_COMPLETE": "bash_complete", "COMP_WORDS": f"mlops plan {text}", "COMP_CWORD": "2"}
        found = CliRunner().invoke(commands, prog_name="mlops", env=variables, obj=Session())
        return [line.partition(",")[2] for line in found.output.splitlines()]

    assert complete("mod") == ["model.credit"]
    assert complete("model.credit.") == ["model.credit.params.max_depth=", "model.credit.seed="]
    assert complete("env") == ["env=prod"]


def test_graph_marks_what_would_change(fake, run):
    assert run("graph", "--plan")[1] == "+ model.credit\n└─ dataset.credit\n"
    assert '"model.credit" [label="+ model.credit"];' in run("graph", "--plan", "--dot")[1]
    assert '["+ model.credit"]' in run("graph", "--plan", "--mermaid")[1]


def test_log_prints_the_lines_that_are_asked_for(fake, run):
    run("apply", "-y")
    assert [json.loads(line)["event"] for line in run("log", "--address", "model.credit")[1].splitlines()] == ["step-ended"]
    assert run("log", "--step", "nothing") == (0, "", "")
    assert run("log", "--since", "yesterday")[0] == 1
