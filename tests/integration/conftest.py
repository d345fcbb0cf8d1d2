"""What tests of deliveries share: one rollout on a real engine, removed after each test."""

from __future__ import annotations

import pytest

from harbour import Harbour


@pytest.fixture
def harbour(engine, tmp_path):
    """Give a rollout of a project of its own."""
    made = Harbour(engine, tmp_path)
    yield made
    made.remove()
