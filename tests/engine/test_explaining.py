"""What an explanation says of a resource, against the plan that it explains."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.core.addresses import Address
from mlops.core.explanations import Comparison
from mlops.core.plans import Do
from mlops.engine import choosing, explaining, observing, planning
from mlops.stores.sql import SqlStore

import toys

CHAIN = {
    "thing.a": {"value": 4, "file": "f"},
    "thing.b": {"value": 1, "reads": ["thing.a"]},
    "guard.b": {"thing": "thing.b", "limit": 100},
    "keep.b": {"shows": "thing.b", "requires": ["guard.b"]},
}


@pytest.fixture
def world():
    return toys.ToyWorld(files={"f": 1})


@pytest.fixture
def store(tmp_path):
    store = SqlStore("sqlite:///state.db", tmp_path, toys.ToyClock())
    yield store
    store.close()


def edit(program, address, **fields):
    return {**program, address: {**program[address], **fields}}


def bring(program, store, world, environment="dev"):
    toys.apply(toys.plan(program, store, world, environment=environment), store, world)


def explain(address, program, store, world, environment="dev"):
    """Explain as `project.Project.explain` does; return the plan too."""
    desired = toys.compose(program, environment, None)
    scope = choosing.choose(desired, store.read(environment), toys.KINDS, choosing.Options((Address(address),)))
    observed = observing.observe(scope, toys.KINDS, world)
    works = []
    plan = planning.plan(scope, observed, toys.KINDS, store, works.append)
    return explaining.explain(Address(address), plan, works, scope, observed, store), plan


def parts(step):
    return {part.name: part.comparison for part in step.parts}


def test_a_resource_that_is_new_has_nothing_to_compare_with(store, world):
    found, _ = explain("thing.b", CHAIN, store, world)
    (step,) = found.steps
    assert [reason.code for reason in found.change.reasons] == ["new"]
    assert (step.do, step.op, step.key_before, step.key) == (Do.RUN, Comparison.NEW, None, None)
    assert parts(step) == {"thing.a/out": Comparison.UNKNOWN}


def test_a_resource_that_stays_has_the_same_key_of_the_same_parts(store, world):
    bring(CHAIN, store, world)
    found, _ = explain("thing.a", CHAIN, store, world)
    (step,) = found.steps
    assert found.change is None
    assert (step.do, step.op, parts(step)) == (None, Comparison.SAME, {"file": Comparison.SAME})
    assert step.key == step.key_before
    assert (step.candidate.environment, step.candidate.address) == ("dev", "thing.a")


def test_what_changed_is_told_apart_from_what_did_not(store, world):
    bring(CHAIN, store, world)
    world.files["f"] = 3
    step = explain("thing.a", CHAIN, store, world)[0].steps[0]
    assert (step.op, parts(step)) == (Comparison.SAME, {"file": Comparison.CHANGED})
    assert (step.parts[0].before, step.parts[0].after, step.parts[0].door) == (1, 3, "file")
    world.files["f"] = 1
    step = explain("thing.a", edit(CHAIN, "thing.a", value=5), store, world)[0].steps[0]
    assert (step.op, parts(step)) == (Comparison.CHANGED, {"file": Comparison.SAME})
    assert step.key != step.key_before


def test_it_says_from_whom_outputs_could_be_reused(store, world):
    bring(CHAIN, store, world)
    found, _ = explain("thing.b", CHAIN, store, world, "prod")
    (step,) = found.steps
    assert (step.do, step.candidate.environment, step.candidate.address) == (Do.REUSE, "dev", "thing.b")


def test_it_says_what_reads_and_what_is_read_and_which_verdicts_are_required(store, world):
    found, _ = explain("thing.b", CHAIN, store, world)
    assert (found.reads, found.read_by) == (("thing.a",), ("guard.b", "keep.b"))
    gates = [explain("keep.b", CHAIN, store, world)[0].gates]
    bring(CHAIN, store, world)
    gates.append(explain("keep.b", CHAIN, store, world)[0].gates)
    bring(edit(CHAIN, "guard.b", limit=1), store, world)
    gates.append(explain("keep.b", edit(CHAIN, "guard.b", limit=1), store, world)[0].gates)
    assert [(gate.address, gate.passed) for found in gates for gate in found] == [
        ("guard.b", None),
        ("guard.b", True),
        ("guard.b", False),
    ]


def test_what_is_no_longer_desired_is_explained_too(store, world):
    bring(CHAIN, store, world)
    program = {name: body for name, body in CHAIN.items() if name == "thing.a"}
    found, _ = explain("thing.b", program, store, world)
    assert [reason.code for reason in found.change.reasons] == ["removed"]
    assert (found.steps, found.read_by) == ((), ("guard.b", "keep.b"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    value=st.integers(3, 5),
    limit=st.sampled_from([1, 100]),
    file=st.integers(1, 2),
    place=st.sampled_from(["here", "there"]),
    address=st.sampled_from(sorted(CHAIN)),
)
def test_an_explanation_and_the_plan_never_differ(tmp_path_factory, value, limit, file, place, address):
    """Whatever changed: the steps that the whole plan has of the resource are those that the explanation says are not to stay."""
    world = toys.ToyWorld(files={"f": 1})
    store = SqlStore("sqlite:///state.db", tmp_path_factory.mktemp("state"), toys.ToyClock())
    bring(CHAIN, store, world)
    world.files["f"] = file
    program = edit(edit(edit(CHAIN, "thing.a", value=value), "guard.b", limit=limit), "keep.b", place=place)
    found, _ = explain(address, program, store, world)
    whole = toys.plan(program, store, world)
    store.close()
    change = next((change for change in whole.changes if change.address == address), None)
    assert found.change == change
    planned = {step.name: (step.do, step.key) for step in whole.steps if step.address == address and step.name != "undo"}
    assert {step.name: (step.do, step.key) for step in found.steps if step.do is not None} == planned
    for step in found.steps:
        is_same = step.op is Comparison.SAME and all(part.comparison is Comparison.SAME for part in step.parts)
        assert (step.key == step.key_before) is is_same
