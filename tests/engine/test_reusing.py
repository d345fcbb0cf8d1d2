"""Reuse when its turn comes: what went since the plan was made is made anew, and nobody is handed a digest of nothing."""

from __future__ import annotations

from mlops.core.digests import digest
from mlops.core.executions import Status
from mlops.core.plans import Action

import toys

CHAIN = {"thing.a": {"value": 4}, "thing.b": {"value": 1, "reads": ["thing.a"]}}


def go(program, store, world, **options):
    return toys.apply(toys.plan(program, store, world, **options), store, world)


def statuses(result):
    return {outcome.step: outcome.status for outcome in result.outcomes}


def test_what_was_to_be_reused_and_went_before_the_apply_is_made_anew_and_shared(store, world):
    go(CHAIN, store, world)
    made = toys.plan(CHAIN, store, world, environment="prod")
    assert {change.action for change in made.changes} == {Action.REUSE}
    del world.numbers[digest(5)]  # what thing.b came out as
    key = made.steps[1].key
    before = store.realised([key])[key]
    result = toys.apply(made, store, world)
    assert statuses(result) == {"thing.a/work": Status.REUSED, "thing.b/work": Status.DONE}
    assert world.has(digest(5))
    assert (before.environment, store.realised([key])[key].environment) == ("dev", "prod")
    assert toys.plan(CHAIN, store, world, environment="prod").steps == ()


def test_a_key_that_is_known_only_at_its_turn_is_reused_while_its_artifact_is_here_and_else_made_anew(store, world):
    program = {"thing.a": {"file": "f"}, "thing.b": {"value": 10, "reads": ["thing.a"]}}
    for number in (1, 2):
        world.files["f"] = number
        go(program, store, world)
    for number, is_here, status in ((1, True, Status.REUSED), (2, False, Status.DONE)):
        world.files["f"] = number
        made = toys.plan(program, store, world, replace=frozenset(["thing.a"]))
        assert [step.key is None for step in made.steps] == [False, True]
        if not is_here:
            del world.numbers[digest(10 + number)]
        assert statuses(toys.apply(made, store, world)) == {"thing.a/work": Status.DONE, "thing.b/work": status}
        assert world.has(digest(10 + number))


def test_a_plan_that_reuses_nothing_looks_at_no_artifact(store, world):
    looked = []

    class Watched(toys.ToyWorld):
        def has(self, found):
            looked.append(found)
            return super().has(found)

    watched = Watched()
    go(CHAIN, store, watched)
    go(CHAIN, store, watched)
    assert looked == []
    go(CHAIN, store, watched, environment="prod")
    assert sorted(looked) == sorted([digest(4), digest(5)] * 2), "once by the plan, once by the apply"


def test_a_step_that_no_executor_takes_fails_and_the_apply_ends(store, world):
    """Here nothing but thing.b fits: what was to be reused, and is gone, may want more than this machine has."""

    class Small(toys.ToyExecutor):
        asked = 0

        def choose(self, ready):
            self.asked += 1
            assert self.asked < 100, "it asks for ever"
            return [step for step in super().choose(ready) if step.address == "thing.b"]

    program = {"thing.a": {"value": 1}, "thing.b": {"value": 2}, "thing.c": {"reads": ["thing.a"]}}
    result = toys.apply(toys.plan(program, store, world), store, world, executor=Small(world))
    assert statuses(result) == {"thing.b/work": Status.DONE, "thing.a/work": Status.FAILED, "thing.c/work": Status.DROPPED}
    failure = next(outcome.failure for outcome in result.outcomes if outcome.failure)
    assert (failure.code, failure.message) == ("limits", "it wants more than the executor has")
