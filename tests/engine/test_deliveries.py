"""Deliveries in plans: what was rejected stays blocked, what nobody drives is told, and what served before comes back."""

from __future__ import annotations

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import PlanError
from mlops.core.executions import Status
from mlops.core.plans import When, from_json, to_json
from mlops.core.settings import Settings
from mlops.core.states import Entry
from mlops.engine import undoing

import toys

PROGRAM = {"thing.a": {"value": 4}, "keep.b": {"shows": "thing.a"}}
KEEP = Address("keep.b")


def with_value(value):
    return {**PROGRAM, "thing.a": {"value": value}}


def bring(program, store, world):
    return toys.apply(toys.plan(program, store, world), store, world)


def change_of(plan, address=KEEP):
    return next(change for change in plan.changes if change.address == address)


def shown(world):
    return world.numbers[world.shown["b"][1]]


def reject(store):
    """Reject what is shown now, and show something else, as a delivery that took itself back leaves it."""
    (step,) = store.read("dev").records[KEEP].steps.values()
    store.notify("dev", KEEP, "rejected", key=step.key, by="anna", reason="error_rate failed")


def test_a_rejected_version_is_blocked_with_its_reason_until_it_is_to_be_tried_again(store, world):
    bring(with_value(6), store, world)
    reject(store)
    bring(PROGRAM, store, world)
    made = toys.plan(with_value(6), store, world)
    assert change_of(made).is_blocked
    assert [one.detail["reason"] for one in change_of(made).reasons if one.code == "rejected"] == ["error_rate failed"]
    result = toys.apply(from_json(to_json(made)), store, world)
    assert result.count(Status.BLOCKED) == 1
    assert result.outcomes[-1].failure.message == "this version was rejected: error_rate failed"
    assert shown(world) == 4
    store.notify("dev", KEEP, "retry")
    assert not change_of(toys.plan(with_value(6), store, world)).is_blocked
    bring(with_value(6), store, world)
    assert shown(world) == 6


def test_another_version_than_the_rejected_one_is_delivered(store, world):
    bring(with_value(6), store, world)
    reject(store)
    made = toys.plan(with_value(7), store, world)
    assert not change_of(made).is_blocked
    toys.apply(made, store, world)
    assert shown(world) == 7


def test_a_version_that_turns_out_to_be_the_rejected_one_only_when_it_is_made_is_blocked_then(store, world):
    halved = {"value": 4, "halved": True}
    bring({**PROGRAM, "thing.a": halved}, store, world)
    reject(store)
    bring(with_value(9), store, world)
    made = toys.plan({**PROGRAM, "thing.a": {**halved, "value": 5}}, store, world)  # half of 5 is half of 4, too
    step = next(step for step in made.steps if step.address == KEEP)
    assert step.key is None
    assert When.ACCEPTED in step.when
    assert toys.apply(made, store, world).count(Status.BLOCKED) == 1
    assert shown(world) == 9


def test_a_delivery_that_nobody_drives_is_told_with_the_time_of_its_last_word(store, world):
    bring(PROGRAM, store, world)
    lease = store.acquire("dev", "anna")
    for event, at in (("begin", "2026-01-01T10:00"), ("checkpoint", "2026-01-01T10:05")):
        store.append(lease, [Entry(event, "run", at, "plan", KEEP, "keep.b/show", {"delivery": {}})])
    found = [one.code for one in change_of(toys.plan(with_value(6), store, world)).reasons]
    assert "unattended" not in found  # an apply holds the environment, and drives it
    store.release(lease)
    reasons = change_of(toys.plan(with_value(6), store, world)).reasons
    assert [one.detail["since"] for one in reasons if one.code == "unattended"] == ["2026-01-01T10:05"]


def undone(store):
    return undoing.plan(KEEP, toys.KINDS["keep"], store.read("dev"), store.history("dev", KEEP), Settings())


def test_undoing_brings_back_what_was_there_before_and_makes_nothing(store, world):
    bring(PROGRAM, store, world)
    before = store.read("dev").records[KEEP]
    bring(with_value(6), store, world)
    world.ran.clear()
    assert toys.apply(undone(store), store, world).count(Status.DONE) == 1
    assert world.ran == ["keep.b/show"]
    assert shown(world) == 4
    after = store.read("dev").records[KEEP]
    assert (after.body, after.digest) == (before.body, before.digest)
    assert {name: step.key for name, step in after.steps.items()} == {name: step.key for name, step in before.steps.items()}
    toys.apply(undone(store), store, world)  # and once more: forward again
    assert shown(world) == 6


def test_there_is_nothing_to_undo_of_what_was_never_another_one_or_is_not_kept(store, world):
    with pytest.raises(PlanError, match="keep.b is nothing that is kept in dev"):
        undone(store)
    bring(PROGRAM, store, world)
    with pytest.raises(PlanError, match="keep.b was never another one than it is"):
        undone(store)
