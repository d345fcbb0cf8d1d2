"""The state in PostgreSQL: what goes wrong is told in words, without the password, and the next run goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from mlops.core.errors import StateError, StateLocked, StateUnavailable
from mlops.core.executions import Status
from mlops.core.states import Entry, fold
from mlops.stores.sql import SqlStore
from mlops.world.clock import SystemClock

import postgres
import toys
import troubles


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

    before = clock.monotonic()
    with pytest.raises(StateError, match="PostgreSQL cannot be used") as caught:
        toys.apply(toys.plan(program, store, world), store, world, executor=Stopping(world), clock=clock)
    assert 59 <= clock.monotonic() - before <= 61, "it is waited for as long as the lease lasts"
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


CHAIN = {
    "thing.a": {"value": 1},
    "thing.b": {"value": 1, "reads": ["thing.a"]},
    "thing.c": {"value": 1, "reads": ["thing.b"]},
}


class Restarting(toys.ToyExecutor):
    """The server stops when thing.b is begun, and is back a moment later."""

    def __init__(self, world, server):
        super().__init__(world)
        self.server, self.later = server, None

    def submit(self, step, last=None):
        if step.id == "thing.b/work":
            self.server.stop()
            self.later = threading.Timer(1.0, self.server.start)
            self.later.start()
        super().submit(step, last)


def test_an_apply_goes_on_under_its_token_when_the_server_was_restarted_in_the_middle(own_server):
    world, url, heard = toys.ToyWorld(), own_server.new(), []
    store = SqlStore(url, Path(), SystemClock())
    executor = Restarting(world, own_server)
    made = toys.plan(CHAIN, store, world)
    result = toys.apply(made, store, world, executor=executor, emit=heard.append, clock=SystemClock())
    executor.later.join()
    assert result.count(Status.DONE) == 3
    assert world.ran == ["thing.a/work", "thing.b/work", "thing.c/work"]
    told = [(entry.event, entry.step) for entry in store.history("dev") if entry.step]
    assert told == [(event, f"thing.{name}/work") for name in "abc" for event in ("begin", "end")]
    (warning,) = [event.data["message"] for event in heard if event.name == "warning"]
    assert "it is waited for, at most" in warning
    assert fold(store.history("dev")) == store.read("dev").records
    assert toys.plan(CHAIN, store, world).changes == ()
    assert store.acquire("dev", "ben").token == 2, "one lease was taken for all of it, and given back"
    store.close()


class Breaking(troubles.FailingConnection):
    """Breaks at the first commit."""

    def pass_on(self, call, *rest):
        if call == self.inner.commit:
            self.at = self.count + 1
        return super().pass_on(call, *rest)


@pytest.mark.parametrize("after", [False, True], ids=["it was not committed", "only its answer was lost"])
def test_a_write_whose_connection_breaks_is_written_once(postgres_server, clock, after):
    store = SqlStore(postgres_server.new(), Path(), clock)
    lease = store.acquire("dev", "anna")
    other = store.acquire("prod", "anna")
    store.append(other, [Entry("note", "r", "2026", "p")])
    store.append(lease, [Entry("note", "r", "2026", "p")])
    database = store._database
    database.connection = Breaking(database.connection, database.errors[0], 0, after, is_gone=True)
    entries = [Entry("begin", "r", "2026", "p", "a.b", "a.b/c"), Entry("end", "r", "2026", "p", "a.b", "a.b/c")]
    with pytest.raises(StateUnavailable):
        store.append(lease, entries)
    assert store.append(lease, entries) == 4
    assert [entry.event for entry in store.history("dev")] == ["note", "begin", "end"]
    assert store.append(lease, entries) == 6, "no doubt is left: equal entries are new ones"
    store.close()


def test_a_server_that_comes_back_without_what_was_committed_is_told(postgres_server, clock):
    """As a replica that lagged behind does."""
    url = postgres_server.new()
    store, thief = SqlStore(url, Path(), clock), SqlStore(url, Path(), clock)
    lease = store.acquire("dev", "anna")
    store.append(lease, [Entry("note", "r", "2026", "p"), Entry("note", "r", "2026", "p")])
    store._database.connection.close()
    with pytest.raises(StateUnavailable):
        store._database.execute("SELECT 1")
    store._is_in_doubt = True
    thief._database.execute("DELETE FROM journal WHERE sequence = 2")
    with pytest.raises(StateError, match="sequence 2 is gone, 1 is the last"):
        store.append(lease, [Entry("note", "r", "2026", "p")])
    store.close()
    thief.close()


def test_a_fenced_off_process_that_waits_for_a_lock_does_not_write_when_it_gets_it(postgres_server, clock):
    """The take-over is not committed yet when the old holder asks to write."""
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
