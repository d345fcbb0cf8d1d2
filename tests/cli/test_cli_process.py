"""The command line as a process: what it loads, closed pipes, signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "pydantic",
    "rich",
    "structlog",
    "sqlite3",
    "sqlalchemy",
    "hydra",
    "omegaconf",
    "yaml",
    "pandas",
    "sklearn",
    "numpy",
    "json",
)


def mlops(*arguments, folder, **options):
    command = [sys.executable, "-m", "mlops", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("project: credit\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    code = f"import sys; from mlops import cli; cli.run({arguments!r}); print(*sys.modules, sep='\\n', file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in found.stderr.splitlines()}
    assert not loaded & set(HEAVY[: -1 if "--version" in arguments else None])
    assert "mlops" in found.stdout


def test_a_project_without_resources_has_nothing_to_do(project):
    found = mlops("plan", "--check", folder=project)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("nothing to do")


def test_an_empty_plan_as_json_is_one_object(project):
    found = mlops("plan", "--json", folder=project)
    assert json.loads(found.stdout)["changes"] == []


def test_wrong_yaml_is_told_with_its_place_and_no_traceback(project):
    (project / "conf" / "config.yaml").write_text("project: [\n")
    found = mlops("plan", folder=project)
    assert found.returncode == 1
    assert "conf/config.yaml:" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_reader_that_went_away_is_no_error(project):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found = subprocess.run(
            [sys.executable, "-m", "mlops", "plan"], cwd=project, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_terminal_without_arrows_gets_question_marks_and_no_traceback(project):
    found = mlops("graph", folder=project, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert found.returncode == 0


def test_a_version_is_printed(project):
    assert mlops("--version", folder=project).stdout.startswith("mlops ")
