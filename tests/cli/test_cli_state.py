"""`mlops state …` and `mlops lock …` as a user types them: exit codes, questions, and what stands in the journal."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from mlops import project as hall

import shell


@pytest.fixture
def credit(tmp_path):
    """Give a project with one dataset, applied."""
    made = shell.Shell(tmp_path)
    made.write("conf/config.yaml", "defaults: [env: dev, _self_]\nproject: credit\n")
    made.write("conf/env/dev.yaml", "# @package _global_\n")
    made.write("conf/env/prod.yaml", "# @package _global_\n")
    made.write("conf/dataset/ages.yaml", "source: {path: ages.csv}\n")
    made.write("ages.csv", "age\n1\n2\n3\n")
    made.apply()
    return made


def change(credit, statement, *parameters):
    """Change the state by another hand."""
    connection = sqlite3.connect(credit.folder / ".mlops" / "state.db")
    with connection:
        connection.execute(statement, parameters)
    connection.close()


HELD = ("prod", "ben@elsewhere (process 1, started 2)", 4, "2026-01-01T00:00:00+00:00", "2990-01-01T00:00:00+00:00")


def test_what_is_recorded_is_listed_and_shown(credit):
    assert "dataset.ages  version" in credit.mlops("state", "list").out
    assert "rows 3" in credit.mlops("state", "list").out
    shown = credit.mlops("state", "show", "dataset.ages").out
    assert "source.path  ages.csv" in shown
    assert "sha256:" in shown
    assert credit.mlops("state", "list", "env=prod").out == "nothing is recorded in prod\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("state", "show", "dataset.agse"), "dataset.ages"),
        (("state", "list", "dataset.ages"), "leave out dataset.ages"),
        (("state", "import", "nowhere.json"), "nowhere.json cannot be read"),
        (("state", "import", "ages.csv"), "no JSON"),
        (("state", "import", "a.json", "b.json"), "one file"),
        (("state", "export", "no/where.json"), "cannot be written"),
        (("lock", "break", "prod"), "nobody holds environment 'prod'"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_leaves_with_1(credit, words, said, monkeypatch):
    monkeypatch.chdir(credit.folder)
    assert said in credit.mlops(*words, code=1).err


def test_an_exported_environment_is_imported_into_a_new_state(credit, monkeypatch):
    monkeypatch.chdir(credit.folder)
    credit.mlops("state", "export", "s.json", "--journal")
    assert "not empty" in credit.mlops("state", "import", "s.json", code=1).err
    assert "environment 'dev', not 'prod'" in credit.mlops("state", "import", "s.json", "env=prod", code=1).err
    (credit.folder / ".mlops" / "state.db").rename("old.db")
    credit.mlops("state", "import", "s.json")
    assert credit.changes() == {}
    assert "sound: 1 recorded" in credit.mlops("state", "verify").out
    exported = json.loads(credit.mlops("state", "export").out)
    assert exported["records"] == json.loads(Path("s.json").read_text())["records"]


def test_verify_leaves_with_1_and_repair_asks_before_it_rebuilds(credit):
    change(credit, "DELETE FROM records")
    found = credit.mlops("state", "verify", code=1)
    assert "dataset.ages: the record is missing" in found.err
    assert "--yes" in credit.mlops("state", "repair", code=1).err
    assert "dataset.ages  the record is missing" in credit.mlops("state", "repair", "--yes").out
    assert "sound" in credit.mlops("state", "verify").out
    assert "nothing to repair" in credit.mlops("state", "repair", "--yes").out


def test_a_held_environment_is_listed_and_taken_away_only_when_that_is_meant(credit):
    change(credit, "INSERT INTO leases VALUES (?, ?, ?, ?, ?)", *HELD)
    assert "held by ben@elsewhere" in credit.mlops("apply", "--yes", "env=prod", code=1).err
    assert "prod  ben@elsewhere (process 1, started 2)  since" in credit.mlops("lock", "list").out
    refused = credit.mlops("lock", "break", "prod", code=1)
    assert "--yes" in refused.err
    assert "ben@elsewhere" in refused.out
    assert "held by ben@elsewhere" in credit.mlops("lock", "break", "prod", "--yes").out
    assert credit.mlops("lock", "list").out == "nobody holds an environment\n"
    credit.mlops("apply", "--yes", "env=prod")
    opened = hall.open(credit.folder, ["env=prod"])
    bodies = [dict(entry.body) for entry in opened.history() if not entry.plan]
    opened.close()
    assert [(body["state"], body["held"]) for body in bodies] == [("break", HELD[1])]


def test_another_projects_state_is_refused(credit):
    credit.edit("conf/config.yaml", "project: credit", "project: churn")
    assert "belongs to project 'credit', not to 'churn'" in credit.mlops("plan", code=1).err


def test_the_state_may_be_in_postgresql_and_its_password_is_never_printed(credit, postgres_server, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_STATE", "hunter2")
    url = postgres_server.new().replace(":hunter2@", "@")
    credit.write("conf/store/shared.yaml", f"url: {url}\nsecret: state\n")
    credit.edit("conf/config.yaml", "[env: dev, _self_]", "[store: shared, env: dev, _self_]")
    said = [
        credit.mlops(*command.split()) for command in ("apply --yes", "plan --json", "state list", "state export", "show", "log")
    ]
    assert credit.changes() == {}
    assert "hunter2" not in "".join(ended.out + ended.err for ended in said)
    monkeypatch.setenv("MLOPS_SECRET_STATE", "swordfish")
    wrong = credit.mlops("plan", code=1)
    assert "password authentication failed" in wrong.err
    assert "swordfish" not in wrong.out + wrong.err
    assert not [path for path in (credit.folder / ".mlops").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
