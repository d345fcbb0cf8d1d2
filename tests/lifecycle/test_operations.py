"""Plans with options, renames and saved plans, at random, with a crash on the way: afterwards all is as a fresh apply has it.

The oracle is one sentence: whatever was asked for in between, a plain plan and apply then leads to the same state and
world as the program alone does.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlops.core.addresses import Address
from mlops.core.executions import Status
from mlops.core.plans import Action
from mlops.core.states import fold
from mlops.engine.choosing import Refresh
from mlops.stores.sql import SqlStore

import toys
import troubles

MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)  # noqa: S108 - no disk to wait for
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = "abc"
places = st.sampled_from(["here", "there"])


@st.composite
def programs(draw):
    """Draw things that read earlier ones, things that are shown, and twins; some overlap when they are replaced."""
    program = {}
    for index, name in enumerate(draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(sorted))):
        earlier = [address for address in program if address.startswith("thing.")][:index]
        reads = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        file = draw(st.sampled_from([None, "f"]))
        program[f"thing.{name}"] = {"value": draw(st.integers(0, 2)), "reads": reads, "file": file}
        if draw(st.booleans()):
            program[f"keep.{name}"] = {"shows": f"thing.{name}", "place": draw(places)}
        if draw(st.booleans()):
            lifecycle = {"create_before_destroy": draw(st.booleans())}
            program[f"twin.{name}"] = {"number": draw(st.integers(0, 1)), "place": draw(places), "lifecycle": lifecycle}
    return program


@st.composite
def wishes(draw):
    """Draw what a plan is asked for, by letters of addresses."""
    some = st.lists(st.sampled_from([f"{kind}.{name}" for kind in ("thing", "keep", "twin") for name in NAMES]), max_size=2)
    wish = draw(st.sampled_from(["targets", "exclude", "replace", "destroy", "refresh"]))
    if wish == "refresh":
        return {"refresh": draw(st.sampled_from(list(Refresh)))}
    return {"targets" if wish == "destroy" else wish: draw(some), "destroy": wish == "destroy"}


def known(wish, program, store):
    """Return the options, without addresses that are nowhere."""
    there = {*program, *store.read("dev").records}
    shapes = {"targets": tuple, "exclude": frozenset, "replace": frozenset}
    return {
        name: shapes[name](Address(one) for one in value if one in there) if name in shapes else value
        for name, value in wish.items()
    }


@contextlib.contextmanager
def states():
    """Yield what makes an empty state."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield lambda name: f"sqlite:///{folder}/{name}.db"


def converge(program, url, world, settings=None):
    """Plan and apply until nothing is left to do, and return the records."""
    store = SqlStore(url, Path(), toys.ToyClock(), lambda _: True)
    try:
        for _ in range(4):
            made = toys.plan(program, store, world, settings=settings)
            if not made.steps:
                break
            toys.apply(made, store, world)
            assert fold(store.history("dev")) == store.read("dev").records
        assert not toys.plan(program, store, world, settings=settings).changes, "plan after apply is not empty"
        return store.read("dev").records
    finally:
        store.close()


def outputs(records):
    """What the records name."""
    return {str(address): {name: step.outputs for name, step in record.steps.items()} for address, record in records.items()}


def check_fresh(program, records, world, url):
    """The records and the world are those of a fresh apply."""
    fresh = toys.ToyWorld(files=dict(world.files))
    assert outputs(records) == outputs(converge(program, url, fresh))
    assert (world.shown, world.twins) == (fresh.shown, fresh.twins)


def apply_with_trouble(program, url, world, crash, wish, settings=None):
    """Plan with options, and apply as far as the crash lets it."""
    store = troubles.CrashingStore(url, crash[0], after=crash[1])
    try:
        made = toys.plan(program, store, world, settings=settings, **known(wish, program, store))
        with contextlib.suppress(toys.Crash):
            toys.apply(made, store, world)
        return made
    finally:
        store.close()


crashes = st.tuples(st.none() | st.integers(1, 10), st.booleans())


def check_options(first, second, wish, crash):
    with states() as new:
        world, url = toys.ToyWorld(files={"f": 1}), new("state")
        converge(first, url, world)
        world.files["f"] = 2
        apply_with_trouble(second, url, world, crash, wish)
        check_fresh(second, converge(second, url, world), world, new("fresh"))


@PROFILE
@given(programs(), programs(), wishes(), crashes)
def test_whatever_a_plan_was_asked_for_a_plain_apply_converges(first, second, wish, crash):
    check_options(first, second, wish, crash)


@pytest.mark.soak
@LONG
@given(programs(), programs(), wishes(), crashes)
def test_whatever_a_plan_was_asked_for_a_plain_apply_converges_for_long(first, second, wish, crash):
    check_options(first, second, wish, crash)


@PROFILE
@given(programs(), wishes())
def test_an_option_touches_nothing_but_what_it_is_about(program, wish):
    """Excluded things and those that depend on them have no step; targets have only what they need."""
    with states() as new:
        world = toys.ToyWorld(files={"f": 1})
        store = SqlStore(new("state"), Path(), toys.ToyClock())
        options = known(wish, program, store)
        made = toys.plan(program, store, world, **options)
        store.close()
    touched = {str(step.address) for step in made.steps}
    assert not touched & options.get("exclude", set())
    if options.get("targets") and not options.get("destroy"):
        needed = {read for one in touched for read in program[one].get("reads", [])}
        assert touched <= {*options["targets"], *needed, *(program[one].get("shows") for one in options["targets"])}


@PROFILE
@given(programs(), st.sampled_from(NAMES), crashes)
def test_a_rename_makes_nothing_anew_and_converges_after_a_crash(program, name, crash):
    old, new_name = f"thing.{name}", f"thing.new-{name}"
    assume(old in program)
    renamed = {
        (new_name if address == old else address): {
            field: new_name if value == old else [new_name if one == old else one for one in value] if field == "reads" else value
            for field, value in body.items()
        }
        for address, body in program.items()
    }
    moved = {"moved": [{"from": old, "to": new_name}]}
    with states() as new:
        world, url = toys.ToyWorld(files={"f": 1}), new("state")
        converge(program, url, world)
        world.ran.clear()
        made = apply_with_trouble(renamed, url, world, crash, {}, moved)
        assert {change.action for change in made.changes} <= {Action.MOVE, Action.RECORD}
        records = converge(renamed, url, world, moved)
        assert world.ran == []
        check_fresh(renamed, records, world, new("fresh"))


def check_saved(first, second, crash, replace):
    with states() as new:
        world, url = toys.ToyWorld(files={"f": 1}), new("state")
        converge(first, url, world)
        world.files["f"] = 2
        made = apply_with_trouble(second, url, world, crash, {"replace": replace})
        if not made.steps:
            return
        store = SqlStore(url, Path(), toys.ToyClock(), lambda _: True)
        toys.apply(made, store, world, saved=True)
        assert fold(store.history("dev")) == store.read("dev").records
        assert toys.plan(second, store, world).changes == ()
        world.ran.clear()
        again = toys.apply(made, store, world, saved=True)
        assert again.count(Status.SKIPPED) == len(made.steps)
        assert world.ran == []
        store.close()
        check_fresh(second, converge(second, url, world), world, new("fresh"))


@PROFILE
@given(programs(), programs(), crashes, st.lists(st.sampled_from(["thing.a", "keep.b", "twin.c"]), max_size=1))
def test_a_saved_plan_that_was_interrupted_is_applied_to_its_end_and_then_does_nothing(first, second, crash, replace):
    check_saved(first, second, crash, replace)


@pytest.mark.soak
@LONG
@given(programs(), programs(), crashes, st.lists(st.sampled_from(["thing.a", "keep.b", "twin.c"]), max_size=1))
def test_a_saved_plan_that_was_interrupted_is_applied_to_its_end_for_long(first, second, crash, replace):
    check_saved(first, second, crash, replace)
