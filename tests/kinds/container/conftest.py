"""One image for all tests of this folder."""

from __future__ import annotations

import shutil

import pytest

from builds import HOSTILE, LABEL, new_project


@pytest.fixture(scope="session")
def client(engine):
    """Give a client of the engine; what the tests of this folder brought there is removed at the end."""
    opened = engine.client()
    opened.api.timeout = 300
    yield opened
    for image in opened.images.list(filters={"label": [f"{LABEL}={HOSTILE}"]}):
        opened.images.remove(image.id, force=True)
    opened.close()


@pytest.fixture(scope="session")
def built(engine, client, tmp_path_factory):
    """Give the project with its image, proved."""
    project = new_project(tmp_path_factory.mktemp("built"), engine.engine)
    project.build()
    return project


@pytest.fixture
def beside(built, tmp_path):
    """Give another project with the same model in another folder, which finds the wheels that the first one fetched."""
    shutil.copytree(built.world.root / ".mlops/cache/wheels", tmp_path / ".mlops/cache/wheels")
    return new_project(tmp_path, built.engine)
