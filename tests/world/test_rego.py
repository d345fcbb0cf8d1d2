"""The door to Rego, with a real `opa`."""

from __future__ import annotations

import json

import pytest

from mlops.core.errors import Refused, Unavailable
from mlops.world import rego

import opa

PLAN = json.dumps({"changes": [{"address": "model.é", "body": {"pickle": True}}]})
POLICY = """package mlops

deny contains msg if {
    some change in input.changes
    change.body.pickle
    msg := sprintf("%s: no pickle", [change.address])
}

warn[msg] if {
    count(input.changes) > 0
    msg := "something changes"
}
"""


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    monkeypatch.setenv(rego.PROGRAM, opa.program())

    def call(text):
        (tmp_path / "policies").mkdir(exist_ok=True)
        (tmp_path / "policies" / "p.rego").write_text(text)
        return rego.evaluate(tmp_path, "policies/p.rego", PLAN)

    return call


def test_the_document_of_package_mlops_comes_back(evaluate):
    assert evaluate(POLICY) == {"deny": ["model.é: no pickle"], "warn": {"something changes": True}}


def test_another_package_gives_nothing(evaluate):
    assert evaluate("package other\n") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("package mlops\n\ndeny[msg] { msg := 1 }\n", "line 3: `if` keyword is required"),  # Rego before 1.0
        ('package mlops\n\ndeny contains msg if { msg := to_number("x") }\n', "line 3: to_number"),
        ("package mlops\n\ndeny contains msg if { msg := nothing }\n", "line 3: var nothing is unsafe"),
        ("", "empty module"),
    ],
)  # fmt: skip
def test_what_opa_does_not_take_is_told_with_its_line(evaluate, text, says):
    with pytest.raises(Refused, match="(?s)" + says):
        evaluate(text)


def test_a_file_that_is_not_there_is_refused(evaluate, tmp_path):
    with pytest.raises(Refused, match="there is no file policies/q.rego"):
        rego.evaluate(tmp_path, "policies/q.rego", PLAN)


def test_without_a_program_it_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "p.rego").write_text(POLICY)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(rego.PROGRAM, raising=False)
    with pytest.raises(Unavailable, match="need the program 'opa'") as caught:
        rego.evaluate(tmp_path, "p.rego", PLAN)
    assert caught.value.hint == "install Open Policy Agent 1.0 or newer, on PATH or where MLOPS_OPA says"
    monkeypatch.setenv(rego.PROGRAM, "/nowhere/opa")
    with pytest.raises(Unavailable, match="there is no program '/nowhere/opa', which MLOPS_OPA names"):
        rego.evaluate(tmp_path, "p.rego", PLAN)


def test_a_policy_does_not_see_secrets(evaluate, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_DB", "hunter2")
    found = evaluate(
        'package mlops\n\nwarn contains msg if { msg := object.get(opa.runtime().env, "MLOPS_SECRET_DB", "none") }\n'
    )
    assert found["warn"] == ["none"]
