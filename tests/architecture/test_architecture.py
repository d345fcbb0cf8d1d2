"""The house: who may import whom, and what a fast start may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "docker", "fsspec", "granian", "hydra", "jinja2", "kubernetes", "msgspec", "numpy", "omegaconf", "pandas", "pydantic", "rich",
    "sklearn", "skops", "sqlalchemy", "sqlite3", "structlog", "yaml",
}  # fmt: skip


def loaded_by(code):
    program = f"import sys\n{code}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_help_loads_nothing_heavy():
    code = """
import contextlib
from mlops.cli import main
sys.argv = ["mlops", "--help"]
with contextlib.suppress(SystemExit):
    main()
"""
    assert loaded_by(code) & HEAVY == set()


def test_the_package_itself_imports_nothing():
    assert {name for name in loaded_by("import mlops") if name.startswith("mlops")} == {"mlops"}


@pytest.mark.parametrize("heavy", ["pandas", "sklearn", "sqlalchemy", "structlog", "rich", "granian", "hydra", "yaml"])
def test_planning_loads_no_package_that_only_steps_need(heavy):
    """Reading, planning and the doors of a plan go without the packages that are slow to import."""
    assert heavy not in loaded_by("import mlops.project; mlops.project.kinds()")
