"""The store in SQLite: durable, fenced, and clear about every damaged file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import timedelta

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import StateError, StateLocked, StateVersion
from mlops.core.states import Entry, Realisation, Record, StepRecord
from mlops.stores.sql import SqlStore

import toys

URL = "sqlite:///state.db"


def step_record():
    return StepRecord("sha256:k", {"input:file": 1}, {"out": "sha256:o"}, {"rows": 3}, 1.5, "2026-01-01T00:00:00.000+00:00")


def entry(event="end", address="thing.a", **rest):
    return Entry(event, "run", "2026-01-01T00:00:00.000+00:00", "plan", address, f"{address}/work", **rest)


def record(address="thing.a"):
    return Record(Address(address), {"value": 1}, "sha256:d", {"work": step_record()}, ("thing.z",), {"file": {"rows": 3}})


@pytest.fixture
def clock():
    return toys.ToyClock()


@pytest.fixture
def store(tmp_path, clock):
    store = SqlStore(URL, tmp_path, clock)
    yield store
    store.close()


def test_records_are_read_as_they_were_written_with_the_sequence_as_version(store, tmp_path, clock):
    lease = store.acquire("dev", "anna")
    last = store.append(lease, [entry("begin"), entry(record=record())])
    again = SqlStore(URL, tmp_path, clock)
    found = again.read("dev").records["thing.a"]
    again.close()
    assert found.version == last == 2
    assert (found.body, found.steps, found.refs, found.inputs) == (
        {"value": 1},
        {"work": step_record()},
        ("thing.z",),
        {"file": {"rows": 3}},
    )
    assert store.read("prod").records == {}


def test_forgetting_deletes_the_record_and_keeps_the_history(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry(record=record())])
    store.append(lease, [entry(forget=True)])
    assert store.read("dev").records == {}
    assert [found.event for found in store.history("dev", "thing.a")] == ["end", "end"]


def test_what_began_and_did_not_end_is_pending(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry("begin"), entry("begin", "thing.b"), entry("checkpoint", "thing.b", body={"at": 3}), entry()])
    pending = store.read("dev").pending
    assert [(found.event, found.address, dict(found.body)) for found in pending] == [
        ("begin", "thing.b", {}),
        ("checkpoint", "thing.b", {"at": 3}),
    ]


def test_realisations_are_found_by_key_in_one_statement_for_many(store):
    lease = store.acquire("dev", "anna")
    made = [Realisation(f"sha256:{n}", {"out": "sha256:o"}, {}, 1.0, "dev", "thing.a", "2026-01-01") for n in range(700)]
    store.append(lease, [entry(realisation=one) for one in made])
    keys = [one.key for one in made]
    assert store.realised([*keys, "sha256:unknown"]) == dict(zip(keys, made, strict=True))


def test_a_lease_that_expired_is_taken_over_and_its_holder_cannot_write_any_more(store, clock):
    lease = store.acquire("dev", "anna")
    clock.sleep(61)
    taken = store.acquire("dev", "ben")
    assert taken.token > lease.token
    with pytest.raises(StateLocked, match="lost"):
        store.append(lease, [entry(record=record())])
    with pytest.raises(StateLocked, match="lost"):
        store.renew(lease)
    assert store.read("dev").records == {}
    store.release(lease)
    with pytest.raises(StateLocked, match="ben"):
        store.acquire("dev", "carl")


def test_a_renewed_lease_holds_and_a_clock_that_jumps_back_does_not_free_it(store, clock):
    lease = store.acquire("dev", "anna")
    clock.sleep(50)
    store.renew(lease)
    clock.sleep(50)
    with pytest.raises(StateLocked):
        store.acquire("dev", "ben")
    clock.time -= timedelta(hours=5)
    with pytest.raises(StateLocked):
        store.acquire("dev", "ben")


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path, clock):
    store = SqlStore(URL, tmp_path, clock, lambda owner: owner == "dead")
    store.acquire("dev", "dead")
    assert store.acquire("dev", "anna").owner == "anna"
    store.close()


def test_a_failed_transaction_leaves_nothing(store):
    lease = store.acquire("dev", "anna")
    broken = Entry("end", "run", None, "plan", "thing.b", "thing.b/work")
    with pytest.raises(StateError):
        store.append(lease, [entry(record=record()), broken])
    assert store.read("dev").records == {}
    assert list(store.history("dev")) == []
    store.append(lease, [entry(record=record())])


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_no_state_is_told_and_left_alone(tmp_path, clock, content):
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(StateError, match="state.db cannot be used") as caught:
        SqlStore(URL, tmp_path, clock)
    assert "move state.db aside" in caught.value.hint
    assert path.read_bytes() == content


def test_a_truncated_state_is_told(tmp_path, clock):
    store = SqlStore(URL, tmp_path, clock)
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry(record=record(f"thing.a{n}"), address=f"thing.a{n}") for n in range(500)])
    store.close()
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StateError, match="cannot be used"):
        SqlStore(URL, tmp_path, clock).read("dev")


def test_a_state_from_the_future_is_refused(tmp_path, clock):
    SqlStore(URL, tmp_path, clock).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    connection.close()
    with pytest.raises(StateVersion, match="schema 99"):
        SqlStore(URL, tmp_path, clock)


@pytest.mark.parametrize("url", ["mysql://x/y", "state.db", "sqlite://state.db"])
def test_an_unknown_store_is_refused_with_what_to_write(tmp_path, clock, url):
    with pytest.raises(StateError, match="not known") as caught:
        SqlStore(url, tmp_path, clock)
    assert "sqlite:///PATH" in caught.value.hint


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_a_folder_without_permission_is_told(tmp_path):
    """As another user: root passes every mode bit."""
    program = (
        "import os, sys\n"
        "from pathlib import Path; from mlops.stores.sql import SqlStore; from mlops.world.clock import SystemClock\n"
        "from mlops.core.errors import StateError\n"
        "os.setuid(65534)\n"
        "try: SqlStore('sqlite:///sub/state.db', Path(sys.argv[1]), SystemClock())\n"
        "except StateError as error: print(error.message, '|', error.hint)\n"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert "cannot be used" in done.stdout, done.stderr
    assert "write access" in done.stdout
