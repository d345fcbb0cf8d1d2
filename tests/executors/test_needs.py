"""What steps may take, and who goes first: pure counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.core.addresses import Address
from mlops.core.errors import PlanError
from mlops.core.plans import Do, Step
from mlops.core.settings import ExecutorSettings
from mlops.executors.needs import Left, Need, Needs, choose, share, size, total


def step(name, *, here=False):
    address, _, verb = name.partition("/")
    return Step(name, Address(address), verb, Do.RUN, verb, here=here)


def needs(cores=4, **settings):
    return Needs(ExecutorSettings.model_validate(settings), cores)


def test_a_step_takes_one_processor_and_no_gpu_unless_told():
    assert needs(timeout=60).of(step("model.a/fit")) == Need(1, 0, None, 60, is_bound=False)


def test_the_last_pattern_that_fits_wins_field_by_field():
    limits = {
        "*": {"memory": "1GiB", "timeout": 10},
        "model.*": {"cpus": 2, "memory": "4GiB"},
        "model.*/fit": {"gpus": 1},
        "test.*": {"cpus": 3},
    }
    found = needs(gpus=1, limits=limits)
    assert found.of(step("model.a/fit")) == Need(2, 1, 4 << 30, 10, is_bound=True)
    assert found.of(step("model.a/evaluate")) == Need(2, 0, 4 << 30, 10, is_bound=True)
    assert found.of(step("dataset.a/make")) == Need(1, 0, 1 << 30, 10, is_bound=False)


@pytest.mark.parametrize(
    ("settings", "cpus", "workers"),
    [({}, 4, 4), ({"workers": 8}, 8, 8), ({"workers": 8, "cpus": 2}, 2, 2), ({"cpus": 16}, 16, 4)],
)
def test_processors_are_the_cores_or_as_many_as_workers_and_no_worker_is_without_one(settings, cpus, workers):
    found = needs(4, **settings)
    assert (found.cpus, found.workers) == (cpus, workers)


def test_all_steps_that_could_never_begin_are_refused_at_once_with_what_they_want():
    found = needs(2, gpus=1, limits={"model.*": {"gpus": 2}, "test.*": {"cpus": 3}})
    with pytest.raises(PlanError) as caught:
        found.check([step("model.a/fit"), step("test.a/judge"), step("dataset.a/make"), step("model.b/deploy", here=True)])
    assert caught.value.message.splitlines() == [
        "model.a/fit wants 2 GPUs, the executor has 1",
        "test.a/judge wants 3 processors, the executor has 2",
    ]
    assert "executor.limits" in caught.value.hint


def test_what_does_not_fit_lets_others_pass_that_it_does_not_wait_for():
    wants = {"a": Need(gpus=1), "b": Need(gpus=1), "c": Need(), "d": Need()}
    ready = [step(f"toy.{name}/x") for name in wants]
    left = total([Need(gpus=1)], (4, 1))
    chosen = choose(ready, left, 10, lambda one: wants[one.address.name])
    assert [one.address.name for one in chosen] == ["c", "d"]


def test_the_first_one_that_waits_is_not_starved_by_smaller_ones_behind_it():
    wants = {"big": Need(cpus=4), "c": Need(), "d": Need()}
    ready = [step(f"toy.{name}/x") for name in wants]
    assert choose(ready, total([Need()], (4, 0)), 10, lambda one: wants[one.address.name]) == []


@st.composite
def crowds(draw):
    whole = (draw(st.integers(1, 6)), draw(st.integers(0, 3)))
    wants = st.builds(Need, st.integers(1, whole[0]), st.integers(0, whole[1]))
    return whole, draw(st.lists(wants, min_size=1, max_size=12)), draw(st.randoms())


@given(crowds())
def test_every_step_that_can_ever_fit_runs_and_no_more_is_taken_than_there_is(crowd):
    """However steps end, and however many small ones keep coming from behind, the first in line runs."""
    whole, wants, random = crowd
    waiting = {f"toy.s{index}/x": need for index, need in enumerate(wants)}
    first, rounds, running = next(iter(waiting)), 0, {}
    while first in waiting:
        rounds += 1
        waiting[f"toy.n{rounds}/x"] = Need()  # there is always somebody behind
        ready = [step(name) for name in waiting]
        for one in choose(ready, total(running.values(), whole), 100, lambda one: waiting[one.id]):
            running[one.id] = waiting.pop(one.id)
        assert sum(need.cpus for need in running.values()) <= whole[0]
        assert sum(need.gpus for need in running.values()) <= whole[1]
        running.pop(random.choice(sorted(running)), None)
        if first not in waiting:
            first = next(iter(sorted(name for name in waiting if ".s" in name)), "none")
        assert rounds < 200


def test_least_loaded_ones_are_shared_out():
    assert share(2, {0: 1, 1: 0, 2: 1, 3: 0}) == (1, 3)
    assert share(3, {0: 0}) == (0,)


def test_taking_and_giving_back_leaves_what_was():
    left = Left(4, 2)
    left.take(Need(3, 1))
    assert (left.fits(Need(2)), left.fits(Need(1, 1))) == (False, True)
    left.give(Need(3, 1))
    assert left == Left(4, 2)


@pytest.mark.parametrize(("number", "text"), [(2 << 30, "2 GiB"), (3 << 29, "1.5 GiB"), (64 << 20, "64 MiB"), (10, "10 bytes")])
def test_sizes_are_told_for_people(number, text):
    assert size(number) == text
