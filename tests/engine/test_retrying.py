"""Attempts: what may pass is attempted again, later each time; what was refused is not."""

from __future__ import annotations

import pytest

from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.engine import applying
from mlops.engine.retrying import LONGEST, Attempts, Retries
from mlops.stores.sql import SqlStore

import toys

PROGRAM = {"thing.a": {"value": 1}, "thing.b": {"reads": ["thing.a"]}, "keep.a": {"shows": "thing.b"}}


def failed(*, may_retry=True):
    return Outcome("thing.a/work", Status.FAILED, failure=Failure("unavailable", "no answer", may_retry=may_retry))


def test_the_bound_of_a_pause_doubles_up_to_the_longest_and_a_random_part_of_it_is_waited():
    attempts = Attempts(Retries(8, 1.0, lambda: 0.5))
    assert [attempts.pause(failed()) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, LONGEST / 2, LONGEST / 2, None]


def test_what_was_refused_is_not_attempted_again():
    attempts = Attempts(Retries(3))
    assert attempts.pause(failed(may_retry=False)) is None
    assert attempts.of("thing.a/work") == 1


def test_what_went_well_is_not_attempted_again():
    assert Attempts(Retries(3)).pause(Outcome("thing.a/work", Status.DONE)) is None


class Flaky(toys.ToyExecutor):
    """Fails the step the first times."""

    def __init__(self, world, step, times):
        super().__init__(world)
        self.step, self.times = step, times

    def submit(self, step, last=None):
        self.times -= step.id == self.step
        self.world.failing = {self.step} if self.times >= 0 else set()
        super().submit(step, last)


@pytest.fixture
def store(tmp_path):
    found = SqlStore("sqlite:///s.db", tmp_path, toys.ToyClock())
    yield found
    found.close()


def run(store, executor, count, *, is_stopping=lambda: False):
    """Apply the program; return the result, the events, and the seconds that passed on the clock."""
    made, clock, events = toys.plan(PROGRAM, store, executor.world), toys.ToyClock(), []
    lease = store.acquire("dev", "toy")
    hands = applying.Hands(store, store, lease, executor, clock, events.append, "run", is_stopping)
    hands.retries = Retries(count, 4.0)
    before = clock.monotonic()
    result = applying.apply(made, store.read("dev"), hands)
    store.release(lease)
    return result, events, clock.monotonic() - before


@pytest.mark.parametrize("step", ["thing.a/work", "keep.a/show"])
def test_a_step_that_fails_twice_goes_well_the_third_time(store, step):
    world = toys.ToyWorld()
    result, events, seconds = run(store, Flaky(world, step, 2), 2)
    assert {outcome.status for outcome in result.outcomes} == {Status.DONE}
    assert world.ran.count(step) == 3
    assert [event.data["attempt"] for event in events if event.name == "step-retry"] == [2, 3]
    assert 12 <= seconds < 13


def test_when_attempts_are_used_up_the_failure_says_how_many_there_were(store):
    world = toys.ToyWorld()
    result, _, _ = run(store, Flaky(world, "thing.a/work", 9), 2)
    assert result.outcomes[0].failure.message == "told to fail (3 attempts)"
    assert [outcome.status for outcome in result.outcomes] == [Status.FAILED, Status.DROPPED, Status.DROPPED]


def test_an_apply_that_is_stopping_waits_for_no_further_attempt(store):
    stopping = []

    class Stopped(Flaky):
        def submit(self, step, last=None):
            super().submit(step, last)
            stopping.append(step)

    result, _, seconds = run(store, Stopped(toys.ToyWorld(), "thing.a/work", 9), 5, is_stopping=lambda: bool(stopping))
    assert (result.interrupted, seconds) == (True, 0)
    assert result.outcomes[0].status is Status.FAILED
    assert [entry.event for entry in store.history("dev") if entry.step] == ["begin", "end"]


def test_an_attempt_after_a_checkpoint_is_handed_it(store):
    """A delivery that lost its connection goes on from where it was."""
    seen = []

    class Delivery(toys.ToyExecutor):
        def submit(self, step, last=None):
            if step.id != "keep.a/show":
                super().submit(step, last)
                return
            seen.append(last)
            if last is None:
                failure = Failure("unavailable", "lost", may_retry=True)
                self.messages += [Checkpoint(step.id, {"weight": 5}), Outcome(step.id, Status.FAILED, failure=failure)]
            else:
                super().submit(step, last)

        def acknowledge(self, checkpoint):
            pass

    executor = Delivery(toys.ToyWorld())
    result, _, _ = run(store, executor, 1)
    assert seen == [None, {"weight": 5}]
    assert {outcome.status for outcome in result.outcomes} == {Status.DONE}


def test_steps_that_wait_for_a_worker_do_not_silence_the_heartbeat_of_those_that_run(store):
    """Ten times ten seconds pass while one step runs and a hundred wait."""

    class Slow(toys.ToyExecutor):
        def __init__(self, world, clock):
            super().__init__(world, workers=1)
            self.clock, self.waits = clock, 0

        def wait(self, timeout):
            self.waits += 1
            self.clock.sleep(10)
            return super().wait(timeout) if self.waits > 10 else ()

    world, clock, events = toys.ToyWorld(), toys.ToyClock(), []
    made = toys.plan({f"thing.t{index}": {"value": index} for index in range(101)}, store, world)
    lease = store.acquire("dev", "toy")
    applying.apply(made, store.read("dev"), applying.Hands(store, store, lease, Slow(world, clock), clock, events.append, "run"))
    store.release(lease)
    first = next(event.step for event in events if event.name == "step-started")
    beats = [event for event in events if event.name == "step-heartbeat" and event.step == first]
    assert [event.data["seconds"] for event in beats] == [10.0 * count for count in range(1, 11)]


def test_a_step_that_waits_to_be_attempted_again_is_heard_of(store):
    """The second pause is 40 seconds here: a sign of life every ten."""
    world, clock, events = toys.ToyWorld(), toys.ToyClock(), []
    made = toys.plan({"thing.a": {"value": 1}}, store, world)
    lease = store.acquire("dev", "toy")
    hands = applying.Hands(store, store, lease, Flaky(world, "thing.a/work", 2), clock, events.append, "run")
    hands.retries = Retries(2, 20.0)
    applying.apply(made, store.read("dev"), hands)
    store.release(lease)
    beats = [event.data for event in events if event.name == "step-heartbeat"]
    assert [round(beat["seconds"]) for beat in beats] == [10, 20, 10, 20, 30, 40]
    assert [round(beat["seconds"] + beat["retry_in"]) for beat in beats] == [20, 20, 40, 40, 40, 40]
