"""A saved plan in the hands of another machine: no YAML, the same state and artifacts."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def mlops(tmp_path):
    """Run the real program in a folder; return (exit code, standard output, standard error)."""

    def call(*arguments, folder=tmp_path):
        command = [sys.executable, "-m", "mlops", *arguments]
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        return found.returncode, found.stdout, found.stderr

    assert call("init", ".")[0] == 0
    return call


def test_a_saved_plan_is_applied_without_yaml_and_again_does_nothing(mlops, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    assert mlops("plan", "dataset.cancer", "--out", "plan.json")[0] == 0
    elsewhere.mkdir()
    shutil.copy(tmp_path / "plan.json", elsewhere)
    shutil.rmtree(tmp_path / "conf")
    code, out, err = mlops("apply", "plan.json", "-y", folder=elsewhere)
    assert (code, err) == (0, "")
    assert "Applied: 1 step done" in out
    code, out, _ = mlops("apply", "plan.json", "-y", folder=elsewhere)
    assert code == 0
    assert "Applied: 1 step unchanged" in out


def test_a_saved_plan_is_refused_with_the_file_that_changed_unless_a_reason_is_given(mlops, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "conf" / "dataset" / "rows.yaml").write_text(
        "source: {path: rows.csv}\ncolumns: {a: {type: int}, b: {type: int}}\n"
    )
    assert mlops("plan", "dataset.rows", "--out", "plan.json")[0] == 0
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,5\n")
    code, _, err = mlops("apply", "plan.json", "-y")
    assert code == 1
    assert "dataset.rows source: rows.csv is another file now" in err
    assert mlops("apply", "plan.json", "-y", "--force")[0] == 1
    code, out, _ = mlops("apply", "plan.json", "-y", "--force", "--reason", "late data")
    assert code in (0, 3)
    assert "dataset.rows" in out


def test_an_errored_plan_is_shown_and_leaves_with_1(mlops, tmp_path):
    with (tmp_path / "conf" / "dataset" / "cancer.yaml").open("a") as file:
        file.write("\nlifecycle: {prevent_destroy: true}\n")
    assert mlops("apply", "dataset.cancer", "-y")[0] == 0
    code, out, err = mlops("plan", "--destroy")
    assert code == 1
    assert "- dataset.cancer" in out
    assert "This plan cannot be applied:" in out
    assert "dataset.cancer: the plan would delete it" in err
    assert mlops("destroy", "-y")[0] == 1
