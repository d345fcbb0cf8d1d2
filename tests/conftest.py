"""What many rooms' tests share: a real PostgreSQL, and states in each database that the store speaks to."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import postgres

MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)  # noqa: S108 - no disk to wait for


@pytest.fixture(scope="session")
def postgres_server():
    """Give a PostgreSQL that lives as long as the tests."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_state(request):
    """Give the function that returns the URL of a new, empty state; in each of the two databases."""
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres_server").new
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield lambda: f"sqlite:///{tempfile.mkdtemp(dir=folder)}/state.db"
