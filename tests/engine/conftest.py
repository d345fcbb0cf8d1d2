"""A world and a store for each test of the engine, and the words that its tests share."""

from __future__ import annotations

import pytest

from mlops.stores.sql import SqlStore

import toys


@pytest.fixture
def world():
    return toys.ToyWorld()


@pytest.fixture
def store(tmp_path):
    store = SqlStore("sqlite:///state.db", tmp_path, toys.ToyClock())
    yield store
    store.close()
