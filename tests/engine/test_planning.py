"""Planning and applying, by example: each test is one law of design.md sections 4 and 5."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import CycleError, PlanError, SpecError, StalePlan, StateLocked
from mlops.core.executions import Status
from mlops.core.plans import Action, from_json, to_json
from mlops.stores.sql import SqlStore

import toys


@pytest.fixture
def world():
    return toys.ToyWorld()


@pytest.fixture
def store(new_state, tmp_path):
    store = SqlStore(new_state(), tmp_path, toys.ToyClock())
    yield store
    store.close()


CHAIN = {
    "thing.a": {"value": 4},
    "thing.b": {"value": 1, "reads": ["thing.a"]},
    "guard.b": {"thing": "thing.b", "limit": 100, "against": "keep.b"},
    "keep.b": {"shows": "thing.b", "requires": ["guard.b"]},
}


def edit(program, address, **fields):
    return {**program, address: {**program[address], **fields}}


def signs(plan):
    return {change.address: change.action for change in plan.changes}


def reasons(plan, address):
    return [reason.code for change in plan.changes if change.address == address for reason in change.reasons]


def bring(program, store, world, **options):
    made = toys.plan(program, store, world, **options)
    result = toys.apply(made, store, world)
    world.ran.clear()
    return result


def test_everything_is_created_in_order_and_then_there_is_nothing_to_do(store, world):
    made = toys.plan(CHAIN, store, world)
    assert signs(made) == dict.fromkeys(CHAIN, Action.CREATE)
    assert toys.apply(made, store, world).count(Status.DONE) == 4
    assert world.ran == ["thing.a/work", "thing.b/work", "guard.b/judge", "keep.b/show"]
    assert world.numbers[world.shown["b"][1]] == 5
    again = toys.plan(CHAIN, store, world)
    assert again.changes == ()
    assert again.unchanged == 4


def test_a_changed_field_changes_its_readers_on_condition(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(edit(CHAIN, "thing.a", value=6), store, world)
    assert signs(made) == dict.fromkeys(CHAIN, Action.UPDATE)
    by_address = {change.address: change for change in made.changes}
    assert [(one.path, one.before, one.after) for one in by_address["thing.a"].fields] == [("value", 4, 6)]
    assert by_address["thing.b"].condition == ("thing.a/out",)
    assert by_address["keep.b"].condition == ("thing.b/out",)
    toys.apply(made, store, world)
    assert world.numbers[world.shown["b"][1]] == 7


def test_an_output_that_comes_out_equal_stops_its_readers(store, world):
    program = edit(CHAIN, "thing.a", halved=True)
    bring(program, store, world)
    made = toys.plan(edit(program, "thing.a", value=5), store, world)
    result = toys.apply(made, store, world)
    assert world.ran == ["thing.a/work"]
    assert result.count(Status.SKIPPED) == 3
    assert toys.plan(edit(program, "thing.a", value=5), store, world).changes == ()


def test_a_cosmetic_change_is_recorded_and_runs_nothing(store, world):
    bring(CHAIN, store, world)
    program = edit(CHAIN, "thing.a", note="hello")
    made = toys.plan(program, store, world)
    assert signs(made) == {"thing.a": Action.RECORD}
    toys.apply(made, store, world)
    assert world.ran == []
    assert toys.plan(program, store, world).changes == ()


def test_another_environment_reuses_what_was_made_and_keeps_things_of_its_own(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(CHAIN, store, world, environment="prod")
    assert signs(made) == {
        "thing.a": Action.REUSE,
        "thing.b": Action.REUSE,
        "guard.b": Action.REUSE,
        "keep.b": Action.CREATE,
    }
    assert made.changes[0].reused_from == ("dev",)
    toys.apply(made, store, world)
    assert world.ran == ["keep.b/show"]
    assert toys.plan(CHAIN, store, world, environment="prod").changes == ()


def test_going_back_reuses_the_earlier_outputs(store, world):
    bring(CHAIN, store, world)
    bring(edit(CHAIN, "thing.a", value=6), store, world)
    made = toys.plan(CHAIN, store, world)
    assert signs(made)["thing.a"] is Action.REUSE
    toys.apply(made, store, world)
    assert "thing.a/work" not in world.ran
    assert world.numbers[world.shown["b"][1]] == 5


def test_a_verdict_that_is_not_passed_blocks_and_leaves_the_old_thing(store, world):
    bring(CHAIN, store, world)
    shown = dict(world.shown)
    program = edit(CHAIN, "thing.b", value=500)
    made = toys.plan(program, store, world)
    result = toys.apply(made, store, world)
    assert {outcome.step: outcome.status for outcome in result.outcomes}["keep.b/show"] is Status.BLOCKED
    assert world.shown == shown
    again = toys.plan(program, store, world)
    assert signs(again) == {"keep.b": Action.UPDATE}
    assert again.changes[0].blocked == ("guard.b",)
    assert toys.apply(again, store, world).count(Status.BLOCKED) == 1


def test_the_verdict_of_what_serves_stands(store, world):
    bring(CHAIN, store, world)
    program = edit(CHAIN, "thing.b", value=2)
    bring(program, store, world)
    guard = store.read("dev").records[Address("guard.b")]
    assert world.numbers[guard.facts["baseline"]] == 5
    assert toys.plan(program, store, world).changes == ()


def test_a_failure_drops_what_depends_on_it_and_nothing_else(store, world):
    program = {**CHAIN, "thing.c": {"value": 9}}
    world.failing = {"thing.b/work"}
    result = toys.apply(toys.plan(program, store, world), store, world)
    statuses = {outcome.step: outcome.status for outcome in result.outcomes}
    assert statuses == {
        "thing.a/work": Status.DONE,
        "thing.c/work": Status.DONE,
        "thing.b/work": Status.FAILED,
        "guard.b/judge": Status.DROPPED,
        "keep.b/show": Status.DROPPED,
    }
    world.failing.clear()
    world.ran.clear()
    toys.apply(toys.plan(program, store, world), store, world)
    assert world.ran == ["thing.b/work", "guard.b/judge", "keep.b/show"]


def test_what_is_kept_and_was_changed_outside_is_restored(store, world):
    bring(CHAIN, store, world)
    shown = dict(world.shown)
    world.shown.clear()
    made = toys.plan(CHAIN, store, world)
    assert signs(made) == {"keep.b": Action.UPDATE}
    assert reasons(made, "keep.b") == ["drift"]
    toys.apply(made, store, world)
    assert world.shown == shown


def test_a_replacing_field_undoes_the_old_thing_first(store, world):
    bring(CHAIN, store, world)
    program = edit(CHAIN, "keep.b", place="there")
    made = toys.plan(program, store, world)
    assert signs(made) == {"keep.b": Action.REPLACE}
    toys.apply(made, store, world)
    assert world.ran == ["keep.b/undo", "keep.b/show"]
    assert world.shown["b"][0] == "there"
    assert toys.plan(program, store, world).changes == ()


def test_what_is_no_longer_desired_goes_after_those_that_read_it(store, world):
    program = {"thing.a": {}, "thing.b": {"reads": ["thing.a"]}, "keep.k": {"shows": "thing.b"}}
    bring(program, store, world)
    made = toys.plan({}, store, world, destroy=True)
    assert set(signs(made).values()) == {Action.DELETE}
    toys.apply(made, store, world)
    ended = [
        entry.step for entry in store.history("dev", plan=made.id) if entry.step and entry.event not in ("begin", "checkpoint")
    ]
    assert ended == ["keep.k/undo", "thing.b/forget", "thing.a/forget"]
    assert world.shown == {}
    assert store.read("dev").records == {}


def test_an_input_that_changed_says_before_and_after(store, world):
    program = {"thing.a": {"file": "f"}}
    world.files["f"] = 1
    bring(program, store, world)
    world.files["f"] = 2
    made = toys.plan(program, store, world)
    (reason,) = made.changes[0].reasons
    assert (reason.code, reason.detail["name"], reason.detail["before"], reason.detail["after"]) == ("input", "file", 1, 2)


def test_all_inputs_that_are_missing_are_told_at_once(store, world):
    program = {"thing.a": {"file": "f"}, "thing.b": {"file": "g"}}
    with pytest.raises(SpecError) as caught:
        toys.plan(program, store, world)
    assert [found.address for found in caught.value.diagnostics] == ["thing.a", "thing.b"]


def test_targets_bring_what_they_need_and_the_plan_says_it_is_not_complete(store, world):
    made = toys.plan({**CHAIN, "thing.c": {}}, store, world, targets=(Address("thing.b"),))
    assert set(signs(made)) == {"thing.a", "thing.b"}
    assert not made.complete
    with pytest.raises(PlanError, match="thing.nope"):
        toys.plan(CHAIN, store, world, targets=(Address("thing.nope"),))


def test_replace_makes_anew_though_nothing_changed(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(CHAIN, store, world, replace=frozenset({Address("thing.a")}))
    assert reasons(made, "thing.a") == ["asked"]
    toys.apply(made, store, world)
    assert world.ran == ["thing.a/work"]


def test_a_circle_is_told_as_addresses(store, world):
    program = {"thing.a": {"reads": ["thing.b"]}, "thing.b": {"reads": ["thing.a"]}}
    with pytest.raises(CycleError, match="thing.a → thing.b → thing.a"):
        toys.plan(program, store, world)


def test_a_plan_is_refused_when_another_hand_changed_what_it_read(store, world):
    bring(CHAIN, store, world)
    made = toys.plan(edit(CHAIN, "thing.b", value=3), store, world)
    bring(edit(CHAIN, "thing.a", value=6), store, world)
    with pytest.raises(StalePlan, match="thing.a"):
        toys.apply(made, store, world)


def test_a_plan_survives_json_and_is_refused_when_edited(store, world):
    made = toys.plan(CHAIN, store, world)
    data = to_json(made)
    assert from_json(data) == made
    data["changes"][0]["address"] = "thing.z"
    with pytest.raises(PlanError, match="edited"):
        from_json(data)


def test_two_holders_of_one_environment_exclude_each_other(store):
    lease = store.acquire("dev", "anna")
    with pytest.raises(StateLocked, match="anna"):
        store.acquire("dev", "ben")
    store.acquire("prod", "ben")
    store.release(lease)
    store.acquire("dev", "ben")
    with pytest.raises(StateLocked, match="lost"):
        store.append(lease, [])


def test_a_thing_that_was_begun_and_is_no_longer_wanted_is_taken_away(tmp_path, world):
    """A crash between the act and its end leaves no orphan: what may exist was recorded before."""
    program = {"thing.a": {}, "keep.k": {"shows": "thing.a"}}
    store = SqlStore("sqlite:///s.db", tmp_path, toys.ToyClock(), lambda _: True)
    made = toys.plan(program, store, world)
    append = store.append

    def crash(lease, entries):
        if any(entry.event == "end" and entry.address == "keep.k" for entry in entries):
            raise toys.Crash
        return append(lease, entries)

    store.append = crash
    with pytest.raises(toys.Crash):
        toys.apply(made, store, world)
    store.append = append
    assert "k" in world.shown
    toys.apply(toys.plan({}, store, world), store, world)
    assert world.shown == {}
    assert store.read("dev").records == {}
    store.close()


def statements_of_a_plan(size, url, world, monkeypatch, environment):
    """Return how many statements a plan of `size` resources runs that finds all recorded, or all realised."""
    store = SqlStore(url, Path(), toys.ToyClock())
    program = {f"thing.t{index}": {"value": index} for index in range(size)}
    bring(program, store, world)
    seen = []
    database = type(store._database)
    execute = database.execute
    with monkeypatch.context() as patched:
        patched.setattr(database, "execute", lambda self, *rest: seen.append(rest) or execute(self, *rest))
        made = toys.plan(program, store, world, environment=environment)
    store.close()
    assert {change.action for change in made.changes} == ({Action.REUSE} if environment == "prod" else set())
    return len(seen)


@pytest.mark.parametrize(("environment", "most"), [("dev", 4), ("prod", 5)])
def test_statements_of_a_plan_do_not_depend_on_the_number_of_resources(new_state, world, monkeypatch, environment, most):
    few = statements_of_a_plan(10, new_state(), world, monkeypatch, environment)
    assert few == statements_of_a_plan(700, new_state(), world, monkeypatch, environment)
    assert few <= most


def test_a_verdict_that_stays_and_is_not_passed_is_told_until_it_is_judged_anew(store, world):
    program = {"thing.a": {"value": 4}, "guard.a": {"thing": "thing.a", "limit": 3}}
    bring(program, store, world)
    made = toys.plan(program, store, world)
    assert made.changes == ()
    assert [(verdict.address, verdict.at[:10]) for verdict in made.standing] == [("guard.a", "2026-01-01")]
    assert made.records == {"guard.a": store.read("dev").records[Address("guard.a")].version}
    assert from_json(to_json(made)) == made
    assert toys.plan(edit(program, "guard.a", limit=5), store, world).standing == ()
    assert toys.plan(program, store, world, targets=(Address("thing.a"),)).standing == ()
    bring(edit(program, "guard.a", limit=5), store, world)
    assert toys.plan(edit(program, "guard.a", limit=5), store, world).standing == ()


def test_the_journal_says_who_applied_and_why_each_thing_changed(store, world):
    bring(CHAIN, store, world)
    bring(edit(CHAIN, "thing.a", value=6), store, world)
    entries = list(store.history("dev"))
    notes = [entry.body for entry in entries if entry.event == "note"]
    assert notes[0] == {"run": "begin", "owner": "toy", "reason": ""}
    begun = [entry.body for entry in entries if entry.event == "begin" and entry.address == "thing.a"]
    assert begun[0]["reasons"] == [{"code": "new"}]
    assert (begun[1]["reasons"], begun[1]["fields"]) == ([{"code": "spec"}], [["value", 4, 6]])
