"""What a plan may be asked for, and what the configuration says of addresses: each test is one sentence of it."""

from __future__ import annotations

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import PlanError
from mlops.core.executions import Status
from mlops.core.plans import Action
from mlops.engine import converging
from mlops.engine.choosing import Refresh

import toys

CHAIN = {
    "thing.a": {"value": 4},
    "thing.b": {"value": 1, "reads": ["thing.a"]},
    "guard.b": {"thing": "thing.b", "limit": 100},
    "keep.b": {"shows": "thing.b", "requires": ["guard.b"]},
}


def edit(program, address, **fields):
    return {**program, address: {**program[address], **fields}}


def signs(plan):
    return {str(change.address): change.action for change in plan.changes}


def reasons(plan, address):
    return [reason.code for change in plan.changes if change.address == address for reason in change.reasons]


def problems(plan):
    return [problem.summary for problem in plan.problems]


def bring(program, store, world, **options):
    result = toys.apply(toys.plan(program, store, world, **options), store, world)
    world.ran.clear()
    world.looked.clear()
    return result


def addresses(*texts):
    return frozenset(map(Address, texts))


# -- exclude, targets, replace ---------------------------------------------------------------------------------------


def test_what_is_excluded_stays_out_with_all_that_depends_on_it(store, world):
    program = {**CHAIN, "thing.c": {}, "thing.d": {}}
    made = toys.plan(program, store, world, exclude=addresses("thing.b", "thing.d"))
    assert set(signs(made)) == {"thing.a", "thing.c"}
    assert not made.complete
    with pytest.raises(PlanError, match="thing.nope"):
        toys.plan(program, store, world, exclude=addresses("thing.nope"))


def test_a_target_is_left_out_where_it_depends_on_what_is_excluded(store, world):
    made = toys.plan(CHAIN, store, world, targets=(Address("thing.b"),), exclude=addresses("thing.a"))
    assert signs(made) == {}


def test_an_excluded_leftover_stays_with_all_that_it_reads(store, world):
    bring(CHAIN, store, world)
    made = toys.plan({}, store, world, exclude=addresses("thing.b"))
    assert set(signs(made)) == {"guard.b", "keep.b"}


def test_destroying_a_target_takes_its_dependants_with_it(store, world):
    bring({**CHAIN, "thing.c": {}}, store, world)
    made = toys.plan({**CHAIN, "thing.c": {}}, store, world, targets=(Address("thing.b"),), destroy=True)
    assert set(signs(made)) == {"thing.b", "guard.b", "keep.b"}
    toys.apply(made, store, world)
    assert set(store.read("dev").records) == {"thing.a", "thing.c"}
    assert world.shown == {}


# -- refresh ---------------------------------------------------------------------------------------------------------


def test_with_refresh_none_nothing_is_looked_at_that_records_tell(store, world):
    program = edit({**CHAIN, "thing.c": {"file": "g"}}, "thing.a", file="f")
    world.files.update(f=1, g=1)
    bring(program, store, world)
    world.files.update(f=2, g=2)
    world.shown.clear()
    made = toys.plan(program, store, world, refresh=Refresh.NONE)
    assert (signs(made), world.looked) == ({}, [])
    made = toys.plan(edit(program, "thing.a", value=9), store, world, refresh=Refresh.NONE)
    assert world.looked == ["file f"]
    assert "thing.c" not in signs(made)
    assert set(signs(toys.plan(program, store, world))) >= {"thing.a", "thing.c", "keep.b"}


def test_what_was_recalled_and_not_observed_does_not_bind_a_plan(store, world):
    program = edit(CHAIN, "thing.a", file="f")
    world.files["f"] = 1
    bring(program, store, world)
    made = toys.plan(program, store, world, refresh=Refresh.NONE, replace=addresses("thing.a"))
    assert made.observed == ()


def test_made_things_are_looked_at_only_with_refresh_all(store, world):
    bring(CHAIN, store, world)
    lost = store.read("dev").records[Address("thing.a")].output("out")
    kept = world.numbers.pop(lost)
    assert signs(toys.plan(CHAIN, store, world)) == {}
    made = toys.plan(CHAIN, store, world, refresh=Refresh.ALL)
    assert signs(made)["thing.a"] is Action.UPDATE
    (drift,) = [reason for reason in made.changes[0].reasons if reason.code == "drift"]
    assert drift.detail == {"found": ["its out is missing or damaged"]}
    toys.apply(made, store, world)
    assert world.ran == ["thing.a/work"]
    assert world.numbers[lost] == kept
    assert signs(toys.plan(CHAIN, store, world, refresh=Refresh.ALL)) == {}


# -- moved, removed, import ------------------------------------------------------------------------------------------

RENAMED = {
    "thing.x": CHAIN["thing.a"],
    "thing.b": {"value": 1, "reads": ["thing.x"]},
    "guard.b": CHAIN["guard.b"],
    "keep.b": CHAIN["keep.b"],
}
MOVED = {"moved": [{"from": "thing.a", "to": "thing.x"}]}


def test_what_was_renamed_is_moved_and_nothing_runs(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(RENAMED, store, world, settings=MOVED)
    assert signs(made) == {"thing.x": Action.MOVE, "thing.b": Action.RECORD}
    assert reasons(made, "thing.x") == ["moved"]
    toys.apply(made, store, world)
    assert world.ran == []
    records = store.read("dev").records
    assert "thing.a" not in records
    assert records[Address("thing.b")].refs == ("thing.x",)
    assert [*records[Address("thing.b")].steps["work"].values] == ["output:thing.x/out"]
    again = toys.plan(RENAMED, store, world, settings=MOVED)
    assert (again.changes, again.problems) == ((), ())
    assert toys.plan(RENAMED, store, world).changes == ()


def test_what_was_renamed_and_changed_is_moved_first_and_its_readers_stay_conditional(store, world):
    bring(CHAIN, store, world)
    program = edit(RENAMED, "thing.x", value=5)
    made = toys.plan(program, store, world, settings=MOVED)
    assert signs(made)["thing.x"] is Action.UPDATE
    assert reasons(made, "thing.x") == ["moved", "spec"]
    toys.apply(made, store, world)
    assert world.numbers[world.shown["b"][1]] == 6
    assert toys.plan(program, store, world, settings=MOVED).changes == ()
    later = toys.plan(edit(program, "thing.x", value=8), store, world)
    assert {str(change.address): change.condition for change in later.changes}["thing.b"] == ("thing.x/out",)


def test_a_rename_without_a_word_makes_nothing_anew_since_names_are_in_no_key(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(RENAMED, store, world)
    assert signs(made) == {"thing.x": Action.REUSE, "thing.b": Action.RECORD, "thing.a": Action.DELETE}
    toys.apply(made, store, world)
    assert world.ran == []
    assert toys.plan(RENAMED, store, world).changes == ()


def test_names_move_on_from_one_to_the_next(store, world):
    bring(CHAIN, store, world)
    settings = {"moved": [{"from": "thing.a", "to": "thing.m"}, {"from": "thing.m", "to": "thing.x"}]}
    made = toys.plan(RENAMED, store, world, settings=settings)
    assert [change.moved_from for change in made.changes if change.action is Action.MOVE] == ["thing.a"]


def test_a_crash_while_something_moves_loses_nothing(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(RENAMED, store, world, settings=MOVED)
    append = store.append

    def crash(lease, entries):
        if any(entry.forget for entry in entries):
            raise toys.Crash
        return append(lease, entries)

    store.append = crash
    with pytest.raises(toys.Crash):
        toys.apply(made, store, world)
    store.append, store._is_gone = append, lambda _: True
    bring(RENAMED, store, world, settings=MOVED)
    assert set(store.read("dev").records) == set(RENAMED)


@pytest.mark.parametrize(
    ("program", "entry", "told"),
    [
        (CHAIN, ("thing.a", "thing.x"), "thing.a is said to have moved, and is still in the configuration"),
        (RENAMED, ("thing.a", "guard.x"), "thing.a cannot become guard.x: they are of two kinds"),
        (RENAMED, ("thing.a", "thing.b"), "thing.a cannot become thing.b: both are recorded"),
        ({**RENAMED, "keep.c": RENAMED["keep.b"]}, ("keep.b", "keep.c"), "keep.b runs under its name and cannot be renamed"),
    ],
)
def test_a_move_that_cannot_be_is_a_problem_of_the_plan(store, world, program, entry, told):
    bring(CHAIN, store, world)
    made = toys.plan(program, store, world, settings={"moved": [dict(zip(("from", "to"), entry, strict=True))]})
    assert problems(made) == [told]
    assert made.errored


def test_what_is_removed_is_forgotten_and_goes_on_running(store, world):
    bring(CHAIN, store, world)
    shown = dict(world.shown)
    program = {address: spec for address, spec in CHAIN.items() if address != "keep.b"}
    made = toys.plan(program, store, world, settings={"removed": ["keep.b"]})
    assert signs(made) == {"keep.b": Action.FORGET}
    toys.apply(made, store, world)
    assert world.shown == shown
    assert "keep.b" not in store.read("dev").records
    assert toys.plan(program, store, world, settings={"removed": ["keep.b"]}).changes == ()
    assert problems(toys.plan(CHAIN, store, world, settings={"removed": ["keep.b"]})) == [
        "keep.b is to be forgotten, and is still in the configuration"
    ]


def test_an_import_takes_over_what_is_there_and_its_readers_go_on_from_it(store, world):
    given = {"import": [{"to": "thing.a", "outputs": {"out": world.put(40)}}]}
    made = toys.plan(CHAIN, store, world, settings=given)
    assert signs(made)["thing.a"] is Action.IMPORT
    toys.apply(made, store, world)
    assert "thing.a/work" not in world.ran
    assert world.numbers[world.shown["b"][1]] == 41
    assert toys.plan(CHAIN, store, world, settings=given).changes == ()
    assert toys.plan(CHAIN, store, world).changes == ()


def test_an_import_is_not_what_another_environment_reuses(store, world):
    bring(CHAIN, store, world, settings={"import": [{"to": "thing.a", "outputs": {"out": world.put(40)}}]})
    assert signs(toys.plan(CHAIN, store, world, environment="prod"))["thing.a"] is Action.CREATE


@pytest.mark.parametrize(
    ("to", "outputs", "told"),
    [
        ("thing.z", ["out"], "thing.z is to be imported, and is not in the configuration"),
        ("keep.b", ["serving"], "keep.b runs, and has no output to import"),
        ("thing.a", ["put"], "thing.a has no output 'put'"),
        ("thing.a", ["out"], f"there is no artifact sha256:{'0' * 64}, which is to be its out"),
    ],
)
def test_an_import_that_cannot_be_is_a_problem_of_the_plan(store, world, to, outputs, told):
    entry = {"to": to, "outputs": dict.fromkeys(outputs, f"sha256:{'0' * 64}")}
    assert problems(toys.plan(CHAIN, store, world, settings={"import": [entry]})) == [told]


# -- lifecycle -------------------------------------------------------------------------------------------------------


def test_what_is_protected_is_not_destroyed_and_all_of_it_is_named(store, world):
    guarded = {"prevent_destroy": True}
    program = edit(edit(CHAIN, "keep.b", lifecycle=guarded), "thing.a", lifecycle=guarded)
    bring(program, store, world)
    made = toys.plan(program, store, world, destroy=True)
    assert sorted(str(problem.address) for problem in made.problems) == ["keep.b", "thing.a"]
    assert len(made.changes) == 4
    with pytest.raises(PlanError, match=r"(?s)keep\.b.*thing\.a|thing\.a.*keep\.b"):
        toys.apply(made, store, world)


def test_protection_outlives_the_file_that_asked_for_it(store, world):
    bring(edit(CHAIN, "keep.b", lifecycle={"prevent_destroy": True}), store, world)
    gone = {address: spec for address, spec in CHAIN.items() if address != "keep.b"}
    assert toys.plan(gone, store, world).errored
    made = toys.plan(CHAIN, store, world)
    assert (signs(made), reasons(made, "keep.b")) == ({"keep.b": Action.RECORD}, ["guard"])
    toys.apply(made, store, world)
    assert signs(toys.plan(gone, store, world)) == {"keep.b": Action.DELETE}
    assert not toys.plan(gone, store, world).errored


def test_ignored_fields_stay_as_recorded(store, world):
    program = edit(CHAIN, "thing.a", lifecycle={"ignore_changes": ["value", "note"]})
    bring(program, store, world)
    assert toys.plan(edit(program, "thing.a", value=9, note="x"), store, world).changes == ()
    made = toys.plan(edit(program, "thing.a", value=9, halved=True), store, world)
    assert [one.path for one in made.changes[0].fields] == ["halved"]
    toys.apply(made, store, world)
    assert store.read("dev").records[Address("thing.a")].body["value"] == 4
    assert toys.plan(edit(program, "thing.a", value=7, halved=True), store, world).changes == ()


def test_an_ignored_field_that_was_left_out_keeps_its_default(store, world):
    program = {"thing.a": {"lifecycle": {"ignore_changes": ["value"]}}}
    bring(program, store, world)
    assert toys.plan(edit(program, "thing.a", value=3), store, world).changes == ()


def test_ignored_fields_are_as_written_where_nothing_is_recorded(store, world):
    program = {"thing.a": {"value": 3, "lifecycle": {"ignore_changes": ["value"]}}}
    bring(program, store, world)
    assert store.read("dev").records[Address("thing.a")].body["value"] == 3


OVERLAPPING = {"twin.t": {"place": "here", "number": 1, "lifecycle": {"create_before_destroy": True}}}


def test_a_replacement_stands_before_the_old_thing_goes(store, world):
    bring(OVERLAPPING, store, world)
    made = toys.plan(edit(OVERLAPPING, "twin.t", place="there"), store, world)
    assert signs(made) == {"twin.t": Action.REPLACE}
    toys.apply(made, store, world)
    assert world.ran == ["twin.t/stand", "twin.t/sweep"]
    assert (world.twins, world.most) == ({("t", "there"): 1}, 2)
    assert toys.plan(edit(OVERLAPPING, "twin.t", place="there"), store, world).changes == ()


def test_without_it_the_old_thing_goes_first(store, world):
    program = {"twin.t": {"place": "here"}}
    bring(program, store, world)
    bring(edit(program, "twin.t", place="there"), store, world)
    assert (world.twins, world.most) == ({("t", "there"): 0}, 1)


def test_an_interrupted_replacement_leaves_nothing_behind_even_when_it_is_taken_back(store, world):
    bring(OVERLAPPING, store, world)
    world.failing = {"twin.t/sweep"}
    bring(edit(OVERLAPPING, "twin.t", place="there"), store, world)
    assert len(world.twins) == 2
    world.failing.clear()
    bring({"twin.t": {"place": "here", "number": 1}}, store, world)
    assert world.twins == {("t", "here"): 1}
    assert toys.plan({"twin.t": {"place": "here", "number": 1}}, store, world).changes == ()


# -- deferral and convergence ----------------------------------------------------------------------------------------

DEFERRED = {**CHAIN, "later.l": {"watches": "b"}}


def run_rounds(program, store, world, **rest):
    plans = []

    def plan():
        plans.append(toys.plan(program, store, world))
        return plans[-1]

    def apply(made):
        result = toys.apply(made, store, world)
        return None if result.count(Status.FAILED) else result

    converging.converge(plan, apply, **rest)
    return plans


def test_what_cannot_be_known_yet_is_left_to_the_next_plan_and_the_plan_says_so(store, world):
    made = toys.plan(DEFERRED, store, world)
    assert made.deferred == {"later.l": "b is not shown"}
    assert not made.complete
    assert "later.l" not in signs(made)


def test_rounds_go_on_until_a_plan_is_empty(store, world):
    plans = run_rounds(DEFERRED, store, world)
    assert [len(made.changes) for made in plans] == [4, 1, 0]
    assert store.read("dev").records[Address("later.l")].facts == {"number": 5}


def test_rounds_stop_where_one_fails(store, world):
    world.failing = {"thing.a/work"}
    assert len(run_rounds(DEFERRED, store, world)) == 1


def test_rounds_stop_where_one_changes_nothing(store, world):
    program = {"thing.a": {}, "later.l": {"watches": "nobody"}}
    with pytest.raises(PlanError, match=r"round 2 changed nothing, and is not the last: later\.l"):
        run_rounds(program, store, world)


def test_rounds_have_a_cap(store, world):
    world.show = lambda *_: None  # nothing that is shown stays
    with pytest.raises(PlanError, match=r"after 3 rounds there is still something to do: keep\.b"):
        run_rounds(CHAIN, store, world, most=3)


def test_a_kept_thing_that_changes_says_what_a_reader_should_know_and_a_new_one_has_nothing_to_say(store, world, monkeypatch):
    monkeypatch.setattr(toys.Keep, "notes", lambda _self, spec: (f"it shows {spec.shows}",))
    assert [change.notes for change in toys.plan(CHAIN, store, world).changes] == [(), (), (), ()]
    bring(CHAIN, store, world)
    changed = toys.plan(edit(CHAIN, "thing.b", value=2), store, world)
    assert {str(change.address): change.notes for change in changed.changes}["keep.b"] == ("it shows thing.b",)
