"""The state in a file: clear about every file that is damaged, truncated, from the future, or out of reach."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from mlops.core.errors import StateError, StateVersion
from mlops.core.states import Entry, fold
from mlops.stores.sql import SqlStore

import toys

URL = "sqlite:///state.db"


@pytest.fixture
def clock():
    return toys.ToyClock()


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
    store.append(lease, [Entry("begin", "run", "2026", "plan", f"thing.a{n}", body={"text": "x" * 500}) for n in range(500)])
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


@pytest.fixture
def small_disk(tmp_path):
    """Give a folder on a disk of 1 MB."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small disk")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_fills_up_in_the_middle_of_an_apply_is_told_and_the_next_apply_goes_on(small_disk, clock):
    """What ended is recorded, what had begun is known to have begun, and with room again only the rest is done."""
    program = {f"thing.t{n:03}": {"value": n, "note": "x" * 200} for n in range(600)}
    world = toys.ToyWorld()
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 400_000)
    store = SqlStore(URL, small_disk, clock, lambda _: True)
    with pytest.raises(StateError, match="full") as caught:
        toys.apply(toys.plan(program, store, world), store, world)
    assert "free some room" in caught.value.hint
    store.close()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    store = SqlStore(URL, small_disk, clock, lambda _: True)
    state = store.read("dev")
    assert fold(store.history("dev")) == state.records
    assert 0 < len(state.records) < 600
    assert {entry.step for entry in state.pending} == set(world.ran) - {f"{address}/work" for address in state.records}
    world.ran.clear()
    toys.apply(toys.plan(program, store, world), store, world)
    assert len(world.ran) == 600 - len(state.records)
    assert toys.plan(program, store, world).changes == ()
    store.close()
