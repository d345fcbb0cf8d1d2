"""Migrations: older states are brought forward when they are opened, newer ones are refused, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from mlops.core.errors import StateError, StateVersion
from mlops.core.states import Entry, fold
from mlops.stores import databases, migrations
from mlops.stores.sql import SqlStore

import toys

OLD = Path(__file__).with_name("schema_1.sql")


@pytest.fixture
def clock():
    clock = toys.ToyClock()
    clock.time += timedelta(hours=1)  # after what the old state tells of
    return clock


@pytest.fixture
def database(new_state, clock):
    """Give a database of schema 1, and its URL."""
    url = new_state()
    database = databases.connect(url, Path(), clock)
    for statement in OLD.read_text().split(";\n"):
        if statement.strip():
            database.execute(statement)
    yield url, database
    database.close()


def test_an_older_state_is_brought_forward_with_all_that_it_holds(database, clock):
    url, plain = database
    store = SqlStore(url, Path(), clock, project="credit")
    state = store.read("dev")
    assert state.records["thing.a"].steps["work"].outputs == {"out": "sha256:o"}
    assert (state.version, [entry.step for entry in state.pending]) == (4, ["thing.b/work"])
    assert fold(store.history("dev")) == state.records
    assert store.realised(["sha256:k"])["sha256:k"].environment == "dev"
    lease = store.acquire("dev", "ben")
    assert lease.token == 6
    assert store.append(lease, [Entry("note", "r", "2026", "p")]) == 5
    store.close()
    assert plain.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0] == migrations.SCHEMA
    with pytest.raises(StateError, match="belongs to project 'credit'"):
        SqlStore(url, Path(), clock, project="churn")


def test_a_newer_state_is_refused_and_left_alone(database, clock):
    url, plain = database
    plain.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    with pytest.raises(StateVersion, match=f"schema 99; this mlops knows up to {migrations.SCHEMA}"):
        SqlStore(url, Path(), clock)
    assert plain.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0] == 99


def test_a_migration_that_fails_leaves_the_older_state_as_it_was(database, clock, monkeypatch):
    url, plain = database
    broken = {**migrations.MIGRATIONS, 2: ("CREATE TABLE half (name TEXT)", "CREATE TABLE records (name TEXT)")}
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises(StateError, match="already exists"):
        SqlStore(url, Path(), clock)
    monkeypatch.undo()
    assert plain.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0] == 1
    assert plain.execute(plain.has_table, ("half",)).fetchone() is None
    SqlStore(url, Path(), clock).close()
