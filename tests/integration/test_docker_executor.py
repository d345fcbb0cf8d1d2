"""The reference project with its steps in containers: the same records as with steps in processes."""

from __future__ import annotations

import shutil

import pytest

import engines
from shell import ROOT, Shell

MADE = ("dataset.credit", "model.credit", "test.credit")


@pytest.fixture
def project(tmp_path):
    """Give a copy of the reference project, without the rollout, which no executor runs."""
    shutil.copytree(ROOT / "conf", tmp_path / "project/conf")
    data = tmp_path / "project/examples/credit/data"
    data.mkdir(parents=True)
    shutil.copy(ROOT / "examples/credit/data/credit.csv", data)
    return Shell(tmp_path / "project")


def in_containers(engine, folder):
    """Return the overrides that choose the executor and give its image our interpreter."""
    program, mounts = engines.interpreter(folder)
    sources = ",".join(f"{{source:'{mount['source']}'}}" for mount in mounts)
    own = [f"executor.image={engine.image}", f"+executor.python={program}", f"+executor.mounts=[{sources}]"]
    return ["executor=docker", f"+executor.engine.host='{engine.host}'", *own]


def test_steps_in_containers_leave_the_records_that_steps_in_processes_would(project, engine, tmp_path):
    applied = project.apply(*MADE, *in_containers(engine, tmp_path))
    assert "4 steps done" in applied.out
    assert "nothing to do; 3 resources unchanged" in project.mlops("plan", *MADE).out
    artifacts = digests(project)
    shutil.rmtree(project.folder / ".mlops")
    project.apply(*MADE)
    assert digests(project) == artifacts


def digests(project):
    """Return the digest of all that was made: the name of its file."""
    return {path.parent.name + path.name for path in (project.folder / ".mlops/artifacts/files").glob("*/*")}


def test_an_engine_on_another_machine_is_refused_before_anything_runs(project):
    overrides = ["executor=docker", "+executor.engine.host='ssh://build'"]
    error = project.apply(*MADE, *overrides, code=1).err
    assert "error[plan]" in error
    assert "ssh://build, cannot reach the artifacts in" in error
    assert "unix:///SOCKET" in error


def test_an_image_that_the_engine_does_not_have_is_named_before_anything_runs(project, engine):
    overrides = ["executor=docker", f"+executor.engine.host='{engine.host}'", "executor.image=mlops-e1-nothing:1"]
    error = project.apply(*MADE, *overrides, code=1).err
    assert "has not the image" in error
    assert "mlops-e1-nothing:1" in error
    assert "docker pull" in error
