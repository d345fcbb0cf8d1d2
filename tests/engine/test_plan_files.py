"""Plan files bind: what is saved is applied, and what changed since is named and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from mlops.core import plans
from mlops.core.addresses import Address
from mlops.core.diagnostics import Origin
from mlops.core.errors import PlanError, StalePlan
from mlops.core.executions import Status
from mlops.core.plans import Action
from mlops.core.settings import StoreSettings, with_password

import toys

ROOT = Path(__file__).parents[2]
CHAIN = {
    "thing.a": {"value": 4, "file": "f"},
    "thing.b": {"value": 1, "reads": ["thing.a"]},
    "guard.b": {"thing": "thing.b", "limit": 100},
    "keep.b": {"shows": "thing.b", "requires": ["guard.b"]},
}


@pytest.fixture(autouse=True)
def files(world):
    world.files["f"] = 1


def edit(program, address, **fields):
    return {**program, address: {**program[address], **fields}}


def saved(made):
    """Return the plan as it comes back from its file."""
    return plans.from_json(json.loads(plans.to_bytes(made)))


def bring(program, store, world, **options):
    result = toys.apply(toys.plan(program, store, world, **options), store, world)
    world.ran.clear()
    return result


def test_equal_plans_have_equal_bytes_and_the_schema_holds(store, world):
    made = toys.plan(CHAIN, store, world)
    assert plans.to_bytes(made) == plans.to_bytes(toys.plan(CHAIN, store, world))
    assert saved(made) == made
    schema = json.loads((ROOT / "schemas" / "plan.json").read_text())
    jsonschema.validate(json.loads(plans.to_bytes(made)), schema)


def test_origins_are_outside_the_id_and_values_are_inside(store, world):
    bring(CHAIN, store, world)
    program = edit(CHAIN, "thing.a", value=5)
    made = toys.plan(program, store, world)
    change = made.changes[0]
    moved = replace(change, fields=tuple(replace(one, origin=Origin("a.yaml", 7, 3)) for one in change.fields))
    reformatted = plans.identify(replace(made, changes=(moved, *made.changes[1:])))
    assert reformatted.id == made.id
    assert saved(reformatted).changes[0].fields[0].origin == Origin("a.yaml", 7, 3)
    assert toys.plan(edit(CHAIN, "thing.a", value=6), store, world).id != made.id


def test_another_major_format_is_refused_and_a_newer_minor_is_read(store, world):
    made = toys.plan(CHAIN, store, world)
    data = plans.to_json(made)
    with pytest.raises(PlanError, match="format 2.0"):
        plans.from_json({**data, "format": "2.0"})
    newer = {**data, "format": "1.7", "forecast": {"rain": True}}
    newer["changes"] = [{**change, "mood": "good"} for change in data["changes"]]
    newer["id"] = plans._identity(newer)
    assert plans.from_json(newer).changes == made.changes
    with pytest.raises(PlanError, match="edited"):
        plans.from_json({**newer, "forecast": {"rain": False}})


def test_a_plan_to_be_applied_is_applyable_and_complete_and_not_errored(store, world):
    made = toys.plan(CHAIN, store, world)
    assert (made.applyable, made.complete, made.errored) == (True, True, False)
    bring(CHAIN, store, world)
    empty = toys.plan(CHAIN, store, world)
    assert (empty.applyable, empty.complete, empty.errored) == (False, True, False)


def test_a_targeted_plan_is_applyable_and_not_complete(store, world):
    made = toys.plan(CHAIN, store, world, targets=(Address("thing.a"),))
    assert (made.applyable, made.complete, made.errored) == (True, False, False)
    assert made.options == {"targets": ["thing.a"], "overrides": []}


def test_an_errored_plan_is_shown_whole_and_not_applied(store, world):
    program = edit(CHAIN, "keep.b", lifecycle={"prevent_destroy": True})
    bring(program, store, world)
    made = saved(toys.plan(edit(program, "keep.b", place="there"), store, world))
    assert (made.applyable, made.complete, made.errored) == (False, True, True)
    assert [(change.address, change.action) for change in made.changes] == [("keep.b", Action.REPLACE)]
    with pytest.raises(PlanError, match="keep.b: the plan would replace it"):
        toys.apply(made, store, world)
    assert world.ran == []


def test_a_saved_plan_is_refused_when_a_file_that_it_read_is_another_now(store, world):
    made = saved(toys.plan(CHAIN, store, world))
    world.files["f"] = 2
    with pytest.raises(StalePlan, match="thing.a file: 1 is 2 now"):
        toys.apply(made, store, world, saved=True)
    assert store.read("dev").records == {}


def test_a_file_that_only_unchanged_things_read_does_not_matter(store, world):
    program = {**CHAIN, "thing.z": {"file": "g"}}
    world.files["g"] = 1
    bring(program, store, world)
    made = saved(toys.plan(edit(program, "thing.b", value=2), store, world))
    assert made.observed == ()
    world.files.update(f=5, g=5)
    assert toys.apply(made, store, world, saved=True).count(Status.DONE) == 3


def test_a_saved_plan_is_refused_when_a_kept_thing_is_not_as_it_was_found(store, world):
    bring(CHAIN, store, world)
    made = saved(toys.plan(edit(CHAIN, "thing.b", value=2), store, world))
    assert made.drift == {"keep.b": None}
    world.shown.clear()
    with pytest.raises(StalePlan, match="keep.b: it was as recorded, and now shows None"):
        toys.apply(made, store, world, saved=True)


def test_all_that_changed_is_named_at_once(store, world):
    bring(CHAIN, store, world)
    made = saved(toys.plan(edit(CHAIN, "thing.a", value=7), store, world))
    bring(edit(CHAIN, "thing.b", value=9), store, world)
    del world.files["f"]
    with pytest.raises(StalePlan) as caught:
        toys.apply(made, store, world, saved=True)
    assert caught.value.message.splitlines()[1:] == [
        "  the record of guard.b was changed by another hand",
        "  the record of keep.b was changed by another hand",
        "  the record of thing.b was changed by another hand",
        "  thing.a file: it cannot be observed any more: no file f",
    ]


def test_force_applies_a_stale_plan_and_the_journal_keeps_what_was_stale(store, world):
    made = saved(toys.plan(CHAIN, store, world))
    world.files["f"] = 2
    toys.apply(made, store, world, saved=True, force=True)
    assert world.numbers[store.read("dev").records[Address("thing.a")].output("out")] == 5
    (begin, _) = [entry.body for entry in store.history("dev") if entry.event == "note"]
    assert begin["forced"] == ["thing.a file: 1 is 2 now"]


def test_the_same_plan_goes_on_where_it_stopped(store, world):
    made = saved(toys.plan(CHAIN, store, world))
    world.failing = {"guard.b/judge"}
    toys.apply(made, store, world, saved=True)
    world.failing.clear()
    world.ran.clear()
    world.files["f"] = 99  # thing.a is done: what it read does not matter any more
    result = toys.apply(made, store, world, saved=True)
    assert world.ran == ["guard.b/judge", "keep.b/show"]
    assert result.count(Status.SKIPPED) == 2
    assert toys.apply(made, store, world, saved=True).count(Status.SKIPPED) == 4


def test_steps_without_a_condition_are_not_done_twice_by_the_same_plan(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(edit(CHAIN, "keep.b", place="there"), store, world, replace=frozenset({Address("thing.a")}))
    toys.apply(made, store, world)
    assert sorted(world.ran) == ["keep.b/show", "keep.b/undo", "thing.a/work"]
    world.ran.clear()
    toys.apply(made, store, world, saved=True)
    assert world.ran == []


def test_another_hand_between_two_applies_of_one_plan_is_seen(store, world):
    made = toys.plan(CHAIN, store, world)
    world.failing = {"guard.b/judge"}
    toys.apply(made, store, world)
    world.failing.clear()
    bring(edit(CHAIN, "thing.a", value=5), store, world)
    with pytest.raises(StalePlan, match="the record of thing.a"):
        toys.apply(made, store, world, saved=True)


def test_what_was_destroyed_since_is_made_again_by_the_same_plan(store, world):
    made = toys.plan(CHAIN, store, world)
    toys.apply(made, store, world)
    bring(CHAIN, store, world, destroy=True)
    assert toys.apply(made, store, world, saved=True).count(Status.SKIPPED) == 0
    assert world.shown != {}
    assert toys.plan(CHAIN, store, world).changes == ()


def test_a_plan_tells_a_reader_which_values_it_does_not_know_and_of_what_sort(store, world):
    made = toys.plan(CHAIN, store, world)
    assert {step.id: step.unknown for step in made.steps} == {
        "thing.a/work": (),
        "thing.b/work": ("output:thing.a/out",),
        "guard.b/judge": ("output:thing.b/out",),
        "keep.b/show": ("output:thing.b/out",),
    }


def test_a_plan_carries_the_settings_and_the_name_of_a_secret_but_no_password(store, world):
    url = "postgresql://anna@db/state"
    made = toys.plan(CHAIN, store, world, settings={"store": {"url": url, "secret": "state"}, "executor": {"workers": 3}})
    assert made.settings == {"store": {"url": url, "secret": "state"}, "executor": {"workers": 3}}


@pytest.mark.parametrize("url", ["postgresql://anna:s3cret@db/state", "postgresql://db/state?password=s3cret"])
def test_a_store_with_a_password_in_its_url_is_refused(url):
    with pytest.raises(ValidationError, match="name a secret"):
        StoreSettings(url=url)


def test_the_password_of_the_store_reaches_the_driver_whatever_is_in_it():
    conninfo = pytest.importorskip("psycopg").conninfo
    odd = "p@ss:w/rd?&%"
    for url in ("postgresql://anna@db/state", "postgresql://anna@db/state?options=-csearch_path%3Dx"):
        assert conninfo.conninfo_to_dict(with_password(url, odd))["password"] == odd
    assert with_password("sqlite:///s.db", None) == "sqlite:///s.db"


def test_a_crash_between_an_act_and_its_end_is_no_other_hand(store, world):
    """The same plan finds its own half-done work and goes on; the drift is its own."""
    bring(CHAIN, store, world)
    made = saved(toys.plan(edit(CHAIN, "keep.b", shows="thing.a"), store, world))
    append = store.append

    def crash(lease, entries):
        if any(entry.event == "end" for entry in entries):
            raise toys.Crash
        return append(lease, entries)

    store.append = crash
    with pytest.raises(toys.Crash):
        toys.apply(made, store, world)
    store.append, store._is_gone = append, lambda _: True
    assert toys.apply(made, store, world, saved=True).count(Status.DONE) == 1
    assert toys.plan(edit(CHAIN, "keep.b", shows="thing.a"), store, world).changes == ()
