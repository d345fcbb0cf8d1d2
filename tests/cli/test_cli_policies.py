"""Policies, explanations and histories of a real project, as a user has them: a small CSV file, a dataset, a model and a test."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import opa
from shell import Shell

POLICIES = '''"""What this project demands of a plan."""

from checks.words import WHY


def few_trees(plan):
    for change in plan["changes"]:
        if change["body"].get("params", {}).get("max_depth", 0) > 3:
            yield {"effect": "deny", "address": change["address"], "message": WHY}


def broken(plan):
    return plan["no such key"]
'''
REGO = """package mlops

deny contains msg if {
    some change in input.changes
    change.action == "-"
    msg := {"message": "nothing is deleted here", "address": change.address}
}

warn contains "a model changes" if {
    some change in input.changes
    startswith(change.address, "model.")
}
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_OPA", opa.program())
    shell = Shell(tmp_path)
    rows = "\n".join(f"{index},{index % 2}" for index in range(40))
    shell.write("data/rows.csv", f"x,y\n{rows}\n")
    shell.write("src/checks/__init__.py", "")
    shell.write("src/checks/words.py", "WHY = 'deep trees do not go to production'\n")
    shell.write("src/checks/policies.py", POLICIES)
    shell.write("policies/prod.rego", REGO)
    shell.write("conf/config.yaml", "project: small\npolicies: [checks.policies:few_trees, policies/prod.rego]\n")
    shell.write(
        "conf/dataset/rows.yaml",
        "source: {path: data/rows.csv}\ncolumns: {x: {type: int}, y: {type: bool}}\nsplit: {test: 0.25, seed: 1}\n",
    )
    shell.write(
        "conf/model/tree.yaml",
        "dataset: dataset.rows\nlabel: y\nestimator: sklearn.tree.DecisionTreeClassifier\nparams: {max_depth: 2}\nseed: 1\n",
    )
    shell.write("conf/test/tree.yaml", "model: model.tree\nchecks:\n- {metric: roc_auc, min: 0.999}\n")
    return shell


def test_a_project_from_its_first_denial_to_its_history(shell):
    """One walk: denied, warned, applied, red when it is run twice, explained, and asked a day later."""
    denied = shell.mlops("apply", "-y", "model.tree.params.max_depth=9", code=1)
    assert "+ model.tree    new" in denied.out
    assert "checks.policies:few_trees: model.tree: deep trees do not go to production" in denied.err
    assert "warning: policies/prod.rego: a model changes" in denied.err

    applied = shell.mlops("apply", "-y", "--reason", "first try", "--json-into", str(shell.folder / "events.jsonl"), code=3)
    assert "warning: policies/prod.rego: a model changes" in applied.err
    lines = [json.loads(line) for line in (shell.folder / "events.jsonl").read_text().splitlines()]
    assert (lines[0]["event"], lines[-1]) == ("version", lines[-1] | {"event": "exit", "code": 3})
    assert [line["effect"] for line in lines if line["event"] == "ruling"] == ["warn"]

    again = shell.mlops("apply", "-y", code=3)
    assert again.out.startswith("nothing to do; 3 resources unchanged\ntest.tree did not pass (recorded ")
    assert shell.mlops("plan", "--check", code=3).out == again.out
    assert "test.tree did not pass" in shell.mlops("status", code=3).out

    explained = shell.mlops("explain", "model.tree", "model.tree.seed=2").out
    assert "seed  1 → 2  command line: model.tree.seed=2" in explained
    assert "read by  test.tree" in explained

    today = datetime.now(UTC).date().isoformat()
    told = shell.mlops("history", "model.tree", "--on", today).out
    assert "  for    first try\n" in told
    assert "  why    new\n" in told
    assert "from dataset.rows  train " in told
    assert "source: data/rows.csv " in told
    assert "(rows 40" in told
    assert shell.mlops("history", "model.tree", "--on", "2020-01-01").out == "nothing of it was there on 2020-01-01\n"
    assert shell.mlops("history", "model.tree", "--env", "prod").out == "nothing has happened yet\n"

    refused = shell.mlops("destroy", "-y", code=1).err
    assert "policies/prod.rego: dataset.rows: nothing is deleted here" in refused
    assert refused.count("nothing is deleted here") == 3


def test_a_saved_plan_is_judged_again_when_it_is_applied(shell):
    shell.mlops("plan", "--out", str(shell.folder / "plan.json"))
    shell.edit("src/checks/policies.py", "> 3", "> 1")
    assert "deep trees" in shell.mlops("apply", "-y", str(shell.folder / "plan.json"), code=1).err


def test_a_policy_that_does_not_work_denies(shell):
    shell.edit("conf/config.yaml", "few_trees", "broken")
    err = shell.mlops("plan", code=1).err
    assert "checks.policies:broken: this policy does not work: KeyError: 'no such key' (policies.py:13)" in err
    shell.edit("conf/config.yaml", "broken", "brokn")
    assert "src/checks/policies.py has no function 'brokn'; did you mean 'broken'?" in shell.mlops("plan", code=1).err
    shell.edit("conf/config.yaml", "prod.rego", "prd.rego")
    assert "policies/prd.rego: this policy does not work: there is no file policies/prd.rego" in shell.mlops("plan", code=1).err


def test_without_opa_the_plan_is_shown_and_what_to_install(shell, monkeypatch):
    monkeypatch.setenv("MLOPS_OPA", "/nowhere/opa")
    ended = shell.mlops("plan", code=1)
    assert "+ model.tree    new" in ended.out
    assert "error[plan] there is no program '/nowhere/opa', which MLOPS_OPA names" in ended.err


def test_no_override_sets_policies(shell):
    assert "`policies` can be set only by conf/config.yaml itself" in shell.mlops("plan", "policies=[]", code=1).err
