"""The engine under fire: any valid state, a program, a failing world, one operation, a crash at any journal entry.

The oracles are those of design.md section 8: the state is the fold of its journal; what the records name, and what the
world keeps, then equals what a fresh apply of the same program gives; a crash converges; plan after apply is empty.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.stores.sql import SqlStore

import toys

MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)  # noqa: S108 - no disk to wait for
NAMES = "abcde"
values = st.integers(0, 3)


@st.composite
def programs(draw):
    """Draw things that read earlier things, guards with limits, and kept things that may require a guard."""
    program = {}
    things = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5).map(sorted))
    for index, name in enumerate(things):
        reads = draw(st.lists(st.sampled_from(things[:index]), unique=True, max_size=2)) if index else []
        program[f"thing.{name}"] = {
            "value": draw(values),
            "halved": draw(st.booleans()),
            "reads": [f"thing.{read}" for read in reads],
            "note": draw(st.sampled_from(["", "x"])),
            "file": draw(st.sampled_from([None, "f"])),
        }
    for name in things:
        against = draw(st.sampled_from([None, f"keep.{name}"]))
        is_kept, is_guarded = draw(st.booleans()), draw(st.booleans())
        if is_guarded:
            guard = {"thing": f"thing.{name}", "limit": draw(st.integers(2, 9))}
            program[f"guard.{name}"] = guard | ({"against": against} if against and is_kept else {})
        if is_kept:
            keep = {"shows": f"thing.{name}", "place": draw(st.sampled_from(["here", "there"]))}
            program[f"keep.{name}"] = keep | ({"requires": [f"guard.{name}"]} if is_guarded else {})
    return program


class CrashingStore(SqlStore):
    """Dies at the given append: before it is committed, or right after."""

    def __init__(self, *args, at=None, after=False):
        super().__init__(*args)
        self.at, self.after, self.count = at, after, 0

    def append(self, lease, entries):
        self.count += 1
        if self.count == self.at and not self.after:
            raise toys.Crash
        last = super().append(lease, entries)
        if self.count == self.at:
            raise toys.Crash
        return last


def check_fold(store):
    """The records are the fold of the journal."""
    folded = {}
    for entry in store.history("dev"):
        if entry.forget:
            folded.pop(entry.address, None)
        elif entry.record is not None:
            folded[entry.record.address] = entry.record
    assert folded == store.read("dev").records


def converge(program, folder, world):
    """Plan and apply with a sound store until nothing is left to do; the lease of a dead process is taken over."""
    store = SqlStore("sqlite:///s.db", folder, toys.ToyClock(), lambda _: True)
    for _ in range(4):
        made = toys.plan(program, store, world)
        check_fold(store)
        if not any(change.blocked == () for change in made.changes):
            break
        toys.apply(made, store, world)
        check_fold(store)
    left = toys.plan(program, store, world)
    assert all(change.blocked for change in left.changes), "plan after apply is not empty"
    state = store.read("dev")
    store.close()
    return state


def names(state, blocked):
    """What the records name: outputs by address, of all that no verdict holds back."""
    return {
        address: {name: step.outputs for name, step in record.steps.items()}
        for address, record in state.records.items()
        if address not in blocked
    }


def held_back(program, world, folder):
    """Return the kept things that a fresh apply leaves blocked, and the world that it makes."""
    fresh = toys.ToyWorld(files=dict(world.files))
    state = converge(program, folder / "fresh", fresh)
    store = SqlStore("sqlite:///s.db", folder / "fresh", toys.ToyClock())
    blocked = {str(change.address) for change in toys.plan(program, store, fresh).changes}
    store.close()
    return state, fresh, blocked


PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run_case(first, second, third, failing, crash):
    """Have `first`, be interrupted on the way to `second`, then go to `third`."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        world = toys.ToyWorld(files={"f": 1})
        converge(first, folder, world)
        world.files["f"] = 2
        world.failing = {f"thing.{letter}/work" for letter in failing} | {f"keep.{letter}/show" for letter in failing}
        at, after = crash
        store = CrashingStore("sqlite:///s.db", folder, toys.ToyClock(), lambda _: True, at=at, after=after)
        with contextlib.suppress(toys.Crash):
            toys.apply(toys.plan(second, store, world), store, world)
        store.close()
        world.failing = set()
        state = converge(third, folder, world)
        fresh_state, fresh_world, blocked = held_back(third, world, folder)
        compared = blocked | {address for address in third if address.startswith("guard.") and "against" in third[address]}
        assert names(state, compared) == names(fresh_state, compared)
        free = {letter for letter in NAMES if f"keep.{letter}" not in blocked}
        assert {k: v for k, v in world.shown.items() if k in free} == {k: v for k, v in fresh_world.shown.items() if k in free}


cases = given(
    st.lists(programs(), min_size=3, max_size=3) | st.builds(lambda first, last: [first, last, last], programs(), programs()),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.tuples(st.one_of(st.none(), st.integers(1, 12)), st.booleans()),
)


@PROFILE
@cases
def test_any_operation_and_any_crash_converge(way, failing, crash):
    run_case(*way, failing, crash)


@pytest.mark.soak
@LONG
@cases
def test_any_operation_and_any_crash_converge_for_long(way, failing, crash):
    run_case(*way, failing, crash)


@PROFILE
@given(programs())
def test_applying_twice_does_nothing_the_second_time(program):
    with tempfile.TemporaryDirectory() as name:
        world = toys.ToyWorld(files={"f": 1})
        converge(program, Path(name), world)
        world.ran.clear()
        converge(program, Path(name), world)
        assert [step for step in world.ran if not step.startswith("keep")] == []


@PROFILE
@given(programs())
def test_delete_undoes_create(program):
    with tempfile.TemporaryDirectory() as name:
        world = toys.ToyWorld(files={"f": 1})
        converge(program, Path(name), world)
        state = converge({}, Path(name), world)
        assert state.records == {}
        assert world.shown == {}
