"""What many rooms' tests share: a real PostgreSQL, a real Docker engine, and states in each database that the store speaks to."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import engines
import postgres

MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)  # noqa: S108 - no disk to wait for


@pytest.fixture(scope="session")
def postgres_server():
    """Give a PostgreSQL that lives as long as the tests."""
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def engine():
    """Give a Docker engine with the image that tests build upon; who makes something there removes it."""
    with engines.running() as rig:
        yield rig


@pytest.fixture
def own_engine():
    """Give the function that starts a Docker engine which the test may kill."""
    with contextlib.ExitStack() as started:
        yield lambda **how: started.enter_context(engines.running(is_own=True, **how))


@dataclass
class Files:
    """Makes new, empty states in SQLite."""

    made: list[str] = field(default_factory=list)

    def __call__(self) -> str:
        """Return the URL of one more."""
        self.made.append(tempfile.mkdtemp(dir=MEMORY))
        return f"sqlite:///{self.made[-1]}/state.db"

    def clear(self) -> None:
        """Remove all of them."""
        while self.made:
            shutil.rmtree(self.made.pop())


@dataclass
class Schemas:
    """Makes new, empty states in PostgreSQL."""

    server: postgres.Server

    def __call__(self) -> str:
        """Return the URL of one more."""
        return self.server.new(is_local=True)

    def clear(self) -> None:
        """Remove all of them."""
        self.server.clear()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_state(request):
    """Give the function that returns the URL of a new, empty state; in each of the two databases."""
    made = Files() if request.param == "sqlite" else Schemas(request.getfixturevalue("postgres_server"))
    yield made
    made.clear()
