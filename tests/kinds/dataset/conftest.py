"""Runs a dataset's step on the real doors, as planning and applying do."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.core.addresses import Address
from mlops.core.ops import bind
from mlops.kinds.dataset import Dataset
from mlops.kinds.dataset.reading import Read
from mlops.world import files, tables
from mlops.world.artifacts import LocalArtifacts
from mlops.world.secrets import EnvironmentSecrets

DOORS = {"file": files.observe, "query": tables.observe_query, "bundled": tables.observe_bundled}


@dataclasses.dataclass
class Project:
    """A project of one dataset."""

    root: Path
    world: Any

    def plan(self, **spec):
        """Return the op of the step with what is observed now bound."""
        kind = Dataset()
        checked = kind.Spec.model_validate(spec)
        request = kind.inputs(checked)["source"]
        [template] = kind.steps(checked, Address("dataset.a"))
        values = {"input:source": DOORS[request.door](request.arguments, self.world).value, "input:runtime": {"pandas": "1"}}
        return Read.model_validate(bind(dict(template.op), values))

    def read(self, **spec):
        """Plan and run; return outputs by name, and facts."""
        return self.plan(**spec).run(self.world)

    def frame(self, made, output="table"):
        """Return the table that is kept under the output."""
        return self.world.tables.load(self.world.artifacts.file(made.outputs[output]))

    def write(self, name, text):
        """Write a file of the project."""
        path = self.root / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture
def project(tmp_path):
    return _make(tmp_path)


@pytest.fixture(scope="session")
def make():
    """Return the function that makes a project in a folder, for tests that need many."""
    return _make


def _make(root):
    """Return a project in the folder `root`."""
    scratch = iter(range(10**6))

    def new():
        folder = root / f"scratch-{next(scratch)}"
        folder.mkdir()
        return folder

    world = SimpleNamespace(
        root=root,
        tables=tables.PandasTables(),
        artifacts=LocalArtifacts(root / "artifacts"),
        secrets=EnvironmentSecrets(),
        scratch=new,
    )
    return Project(root, world)
