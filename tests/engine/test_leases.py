"""A lease under fire: it is renewed while a step runs, and a run that lost it stops and writes nothing more."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import StateLocked
from mlops.core.executions import Checkpoint, Status
from mlops.stores.sql import SqlStore

import toys

PROGRAM = {"thing.a": {"value": 4}, "keep.a": {"shows": "thing.a"}, "thing.b": {"value": 5, "reads": ["thing.a"]}}


@pytest.fixture
def clock():
    return toys.ToyClock()


@pytest.fixture
def opened(new_state, clock):
    """Give the function that opens the one state, as another process on another machine would."""
    url, stores = new_state(), []

    def open_store():
        stores.append(SqlStore(url, Path(), clock))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


class Slow(toys.ToyExecutor):
    """Each step runs beside the loop and takes 300 seconds of the clock; `during` happens at every look."""

    def __init__(self, world, clock, during):
        super().__init__(world)
        self.clock, self.during, self.slow = clock, during, deque()

    def submit(self, step, last=None):
        super().submit(step, last)
        self.slow.append((self.clock.monotonic() + 300, self.messages.pop()))

    def wait(self, timeout):
        self.clock.sleep(1)
        self.during()
        done = [message for at, message in self.slow if at <= self.clock.monotonic()]
        self.slow = deque((at, message) for at, message in self.slow if at > self.clock.monotonic())
        return done


def test_while_a_step_runs_for_minutes_the_lease_is_renewed_and_nobody_else_gets_it(opened, clock):
    store, other, world, refused = opened(), opened(), toys.ToyWorld(), []

    def try_to_take():
        with pytest.raises(StateLocked, match="held by toy"):
            other.acquire("dev", "ben")
        refused.append(clock.now())

    result = toys.apply(toys.plan(PROGRAM, store, world), store, world, executor=Slow(world, clock, try_to_take), clock=clock)
    assert result.count(Status.DONE) == 3
    assert len(refused) >= 600
    assert other.leases() == []


def test_a_run_that_was_asleep_finds_its_lease_lost_begins_nothing_more_and_writes_nothing(opened, clock):
    store, other, world, taken = opened(), opened(), toys.ToyWorld(), []

    def sleep_once():
        if not taken:
            clock.sleep(100)
            taken.append(other.acquire("dev", "ben"))

    made = toys.plan(PROGRAM, store, world)
    with pytest.raises(StateLocked, match="lost its hold of environment 'dev': ben took over") as caught:
        toys.apply(made, store, world, executor=Slow(world, clock, sleep_once), clock=clock)
    assert "mlops lock list" in caught.value.hint
    assert caught.value.exit_code == 1
    assert world.ran == ["thing.a/work"]
    assert [entry.event for entry in other.history("dev")] == ["note", "begin"]
    assert [entry.step for entry in other.read("dev").pending] == ["thing.a/work"]
    other.release(taken[0])
    toys.apply(toys.plan(PROGRAM, other, world), other, world)
    assert toys.plan(PROGRAM, other, world).changes == ()


class Stalling(SqlStore):
    """A database that answers the second append, the first begin, only after two minutes."""

    def __init__(self, url, clock, meanwhile):
        super().__init__(url, Path(), clock)
        self.meanwhile, self.count = meanwhile, 0

    def append(self, lease, entries):
        last = super().append(lease, entries)
        self.count += 1
        if self.count == 2:
            self._clock.sleep(120)
            self.meanwhile()
        return last


def test_after_a_stall_of_the_database_nothing_is_done_unless_the_lease_is_still_ours(new_state, clock):
    url, world = new_state(), toys.ToyWorld()
    other = SqlStore(url, Path(), clock)
    store = Stalling(url, clock, lambda: other.acquire("dev", "ben"))
    with pytest.raises(StateLocked, match="ben took over"):
        toys.apply(toys.plan(PROGRAM, store, world), store, world, clock=clock)
    assert world.ran == []
    store.close()
    other.close()


def test_after_a_stall_in_which_nobody_took_the_lease_the_run_goes_on(new_state, clock):
    store, world = Stalling(new_state(), clock, lambda: None), toys.ToyWorld()
    result = toys.apply(toys.plan(PROGRAM, store, world), store, world, clock=clock)
    assert result.count(Status.DONE) == 3
    store.close()


def test_the_next_plan_says_what_the_last_run_had_begun(opened, clock):
    store, world = opened(), toys.ToyWorld()

    class Dying(toys.ToyExecutor):
        def submit(self, step, last=None):
            raise toys.Crash

    with pytest.raises(toys.Crash):
        toys.apply(toys.plan(PROGRAM, store, world), store, world, executor=Dying(world), clock=clock)
    clock.sleep(61)
    made = toys.plan(PROGRAM, store, world)
    assert made.interrupted == ("thing.a/work",)
    toys.apply(made, store, world, clock=clock)
    assert toys.plan(PROGRAM, store, world).interrupted == ()


class Fragile(toys.ToyExecutor):
    """Dies with the first step that it is given of the address; a delivery has told where it is before."""

    def __init__(self, world, address):
        super().__init__(world)
        self.address, self.lasts = address, []

    def submit(self, step, last=None):
        self.lasts.append(last)
        if step.address != self.address:
            super().submit(step, last)
        elif last is None:
            self.messages.append(Checkpoint(step.id, {"weight": 5}))

    def acknowledge(self, checkpoint):
        raise toys.Crash


def test_what_was_interrupted_is_remembered_over_runs_that_do_not_touch_it(opened, clock):
    """Its checkpoint too: a delivery goes on from where it was, though other things were applied meanwhile."""
    store, world = opened(), toys.ToyWorld()
    toys.apply(toys.plan(PROGRAM, store, world), store, world, clock=clock, run="first")
    changed = {**PROGRAM, "thing.a": {"value": 6}, "thing.c": {"value": 8}}
    made = toys.plan(changed, store, world, targets=(Address("keep.a"),))
    with pytest.raises(toys.Crash):
        toys.apply(made, store, world, executor=Fragile(world, "keep.a"), clock=clock, run="second")
    clock.sleep(61)
    for run, target in (("third", "thing.c"), ("fourth", "thing.b")):
        made = toys.plan(changed, store, world, targets=(Address(target),))
        assert made.interrupted == ("keep.a/show",)
        toys.apply(made, store, world, clock=clock, run=run)
    made = toys.plan(changed, store, world)
    assert (made.interrupted, [step.id for step in made.steps]) == (("keep.a/show",), ["keep.a/show"])
    executor = Fragile(world, "keep.b")
    toys.apply(made, store, world, executor=executor, clock=clock, run="fifth")
    assert executor.lasts == [{"weight": 5}]
    assert toys.plan(changed, store, world).interrupted == ()


def test_what_was_interrupted_and_is_destroyed_since_is_forgotten(opened, clock):
    store, world = opened(), toys.ToyWorld()
    with pytest.raises(toys.Crash):
        toys.apply(toys.plan(PROGRAM, store, world), store, world, executor=Fragile(world, "keep.a"), clock=clock, run="first")
    clock.sleep(61)
    toys.apply(toys.plan({"thing.d": {}}, store, world), store, world, clock=clock, run="second")
    assert toys.plan({"thing.d": {}}, store, world).interrupted == ()
