"""The state in PostgreSQL: what goes wrong is told in words, without the password, and the next run goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlops.core.errors import StateError, StateLocked
from mlops.core.states import Entry
from mlops.stores.sql import SqlStore

import postgres
import toys


@pytest.fixture
def clock():
    return toys.ToyClock()


@pytest.fixture
def own_server():
    """Give a server that a test may stop."""
    with postgres.running() as server:
        yield server


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("hunter2", "sesame-open"), "password authentication failed"),
        (("hunter2", "sesame%open"), "URL of the store cannot be read"),
        (("hunter2", "sesame/open"), "URL of the store cannot be read"),
        (("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        (("search_path", "no_such_setting"), "no_such_setting"),
    ],
)
def test_a_wrong_url_is_told_without_the_password(postgres_server, clock, change, said):
    url = postgres_server.new().replace(*change)
    with pytest.raises(StateError, match=said) as caught:
        SqlStore(url, Path(), clock)
    assert caught.value.hint
    shown = f"{caught.value.message} {caught.value.hint}"
    assert not any(word in shown for word in ("hunter2", "sesame", "open"))


def test_a_server_that_does_not_answer_is_told(clock):
    with pytest.raises(StateError, match="refused") as caught:
        SqlStore("postgresql://anna:sesame-open@127.0.0.1:1/state", Path(), clock)
    assert "check the server" in caught.value.hint
    assert "sesame-open" not in caught.value.message


def test_a_search_path_without_a_schema_is_told(postgres_server, clock):
    url = postgres_server.url("?options=-csearch_path%3Dmissing")
    with pytest.raises(StateError, match="no schema has been selected"):
        SqlStore(url, Path(), clock)


def test_a_user_who_may_only_read_is_told(postgres_server, clock):
    url = postgres_server.new()
    SqlStore(url, Path(), clock).close()
    store = SqlStore(url + "%20-cdefault_transaction_read_only%3Don", Path(), clock)
    with pytest.raises(StateError, match="read-only") as caught:
        store.acquire("dev", "anna")
    assert "right to" in caught.value.hint
    store.close()


def test_leases_go_by_the_servers_time_whatever_a_machines_clock_says(postgres_server):
    """A machine whose clock is hours ahead does not take a lease that is held."""
    url, ahead = postgres_server.new(), toys.ToyClock()
    ahead.time = ahead.time.replace(year=2040)
    store, other = SqlStore(url, Path(), toys.ToyClock()), SqlStore(url, Path(), ahead)
    store.acquire("dev", "anna")
    with pytest.raises(StateLocked):
        other.acquire("dev", "ben")
    ahead.sleep(61)
    assert other.acquire("dev", "ben").token == 2
    store.close()
    other.close()


def test_a_server_that_goes_away_in_the_middle_of_an_apply_is_told_and_the_next_apply_goes_on(own_server, clock):
    """It stops while a step runs: that step's begin is recorded, its end is not, and nothing after it began."""
    program = {
        f"thing.{name}": {"value": 1, "reads": [f"thing.{before}"] if before else []} for before, name in ("\0a", "ab", "bc")
    }
    program = {key: {**body, "reads": [ref for ref in body["reads"] if ref != "thing.\0"]} for key, body in program.items()}
    world, url = toys.ToyWorld(), own_server.new()
    store = SqlStore(url, Path(), clock)

    class Stopping(toys.ToyExecutor):
        def submit(self, step, last=None):
            if step.id == "thing.b/work":
                own_server.stop()
            super().submit(step, last)

    with pytest.raises(StateError, match="PostgreSQL cannot be used") as caught:
        toys.apply(toys.plan(program, store, world), store, world, executor=Stopping(world))
    assert "run the same command again" in caught.value.hint
    store.close()
    own_server.start()
    store = SqlStore(url, Path(), clock, lambda _: True)
    state = store.read("dev")
    assert (set(state.records), [entry.step for entry in state.pending]) == ({"thing.a"}, ["thing.b/work"])
    world.ran.clear()
    toys.apply(toys.plan(program, store, world), store, world)
    assert world.ran == ["thing.b/work", "thing.c/work"]
    assert toys.plan(program, store, world).changes == ()
    store.close()


def test_a_fenced_off_process_that_waits_for_a_lock_does_not_write_when_it_gets_it(postgres_server, clock):
    """The take-over is not committed yet when the old holder asks to write."""
    import threading

    url = postgres_server.new()
    old, new = SqlStore(url, Path(), clock), SqlStore(url, Path(), clock, lambda _: True)
    lease = old.acquire("dev", "anna")
    errors = []

    def write():
        try:
            old.append(lease, [Entry("note", "r", "2026", "p")])
        except StateLocked as error:
            errors.append(error)

    with new._database.transaction():
        new._database.execute("UPDATE leases SET owner = 'ben', token = token + 1 WHERE environment = 'dev'")
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.2)
        assert writer.is_alive(), "it waits for the row"
    writer.join(10)
    assert "ben took over" in errors[0].message
    assert list(new.history("dev")) == []
    old.close()
    new.close()
