"""A stranger's first minutes: begin a project, plan, apply a part of it, apply again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

MODELINE = "# yaml-language-server: $schema="


@pytest.fixture
def mlops(tmp_path):
    """Run the real program; return (exit code, standard output, standard error)."""

    def call(*arguments):
        command = [sys.executable, "-m", "mlops", *arguments]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        return found.returncode, found.stdout, found.stderr

    assert call("init", ".")[0] == 0
    return call


def documents(folder: Path):
    """Yield (file, its schema's path) for every YAML file below `folder` that names one."""
    for file in sorted(folder.rglob("*.yaml")):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        if first.startswith(MODELINE):
            yield file, (file.parent / first.removeprefix(MODELINE)).resolve()


def test_a_new_project_is_valid_plans_at_once_and_every_file_fits_its_schema(mlops, tmp_path):
    assert mlops("validate") == (0, "valid: 4 resources\n", "")
    code, out, err = mlops("plan", "--json", "--check")
    assert (code, err) == (2, "")
    plan = json.loads(out)
    assert [change["action"] for change in plan["changes"]] == ["+"] * 4
    jsonschema.validate(plan, json.loads((tmp_path / "schemas" / "plan.json").read_text()))
    found = list(documents(tmp_path))
    assert len(found) == 5
    for file, schema in found:
        jsonschema.validate(yaml.safe_load(file.read_text()), json.loads(schema.read_text()))


def test_init_refuses_a_folder_that_has_a_project(mlops):
    code, _, err = mlops("init")
    assert code == 1
    assert "conf/config.yaml" in err
    assert "hint:" in err


def test_applying_twice_does_nothing_the_second_time(mlops):
    code, out, err = mlops("apply", "model.cancer", "-y")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("Applied: 3 steps done in ")
    assert mlops("apply", "model.cancer") == (0, "nothing to do; 2 resources unchanged\n", "")
    assert mlops("plan", "model.cancer", "--check")[0] == 0


def test_the_examples_fit_the_schemas_of_the_repository():
    root = Path(__file__).parents[2]
    found = [pair for folder in ("conf", "examples") for pair in documents(root / folder)]
    if not (root / "schemas").is_dir():
        pytest.skip("no schemas/ in the repository: make schemas")
    assert found
    for file, schema in found:
        jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8")), json.loads(schema.read_text(encoding="utf-8")))
