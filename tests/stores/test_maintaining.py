"""What a person does to a state: export and import, verify and repair; on both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops.core.errors import StateError, StateLocked
from mlops.core.states import Entry, fold
from mlops.stores.maintaining import Maintenance
from mlops.stores.sql import SqlStore

import toys

PROGRAM = {"thing.a": {"value": 4}, "thing.b": {"value": 1, "reads": ["thing.a"]}, "keep.b": {"shows": "thing.b"}}


@pytest.fixture
def world():
    return toys.ToyWorld()


@pytest.fixture
def store(new_state):
    store = SqlStore(new_state(), Path(), toys.ToyClock())
    yield store
    store.close()


@pytest.fixture
def keep(world):
    """Give the function that puts an environment into a person's hands."""

    def make(store, environment="dev", project="credit"):
        return Maintenance(store, project, environment, "anna", "r9", toys.ToyClock(), world.numbers.__contains__)

    return make


@pytest.fixture
def mine(store, world, keep):
    toys.apply(toys.plan(PROGRAM, store, world), store, world)
    return keep(store)


def through_json(document):
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("journal", [False, True])
def test_an_exported_state_that_is_imported_elsewhere_leaves_nothing_to_do(mine, keep, store, world, new_state, journal):
    other = SqlStore(new_state(), Path(), toys.ToyClock())
    document = through_json(mine.export(journal=journal))
    assert keep(other).restore(document, force=False) == 3
    made = toys.plan(PROGRAM, other, world)
    assert made.changes == ()
    assert fold(other.history("dev")) == other.read("dev").records
    assert keep(other).verify() == []
    past = [entry.step for entry in store.history("dev") if entry.event == "begin"]
    assert [entry.step for entry in other.history("dev") if entry.event == "begin"] == (past if journal else [])
    again = through_json(keep(other).export(journal=False))
    assert again == {name: part for name, part in document.items() if name != "journal"}
    other.close()


def test_what_another_environment_made_is_reused_after_an_import(mine, keep, world, new_state):
    """Realisations travel, too."""
    other = SqlStore(new_state(), Path(), toys.ToyClock())
    keep(other).restore(through_json(mine.export(journal=False)), force=False)
    world.ran.clear()
    toys.apply(toys.plan(PROGRAM, other, world, environment="prod"), other, world)
    assert world.ran == ["keep.b/show"]
    other.close()


def test_import_refuses_another_project_another_environment_and_what_is_not_empty_all_at_once(mine, keep, store):
    document = through_json(mine.export(journal=False))
    with pytest.raises(StateError) as caught:
        keep(store, project="churn").restore({**document, "environment": "prod"}, force=False)
    for said in ("project 'credit', not 'churn'", "environment 'prod', not 'dev'", "not empty (3 recorded)"):
        assert said in caught.value.message
    assert "--force" in caught.value.hint


def test_a_forced_import_replaces_what_is_recorded(mine, store, world):
    document = through_json(mine.export(journal=False))
    toys.apply(toys.plan({**PROGRAM, "thing.c": {}}, store, world), store, world)
    mine.restore(document, force=True)
    assert set(store.read("dev").records) == set(PROGRAM)
    assert mine.differences() == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "2.0"}, "format 2.0"),
        ({"format": 3}, "no exported state"),
        ({"realisations": 7}, r"damaged: .*\$.realisations"),
        ({"records": {"thing.a": {"body": {}}}}, r"damaged: .*digest"),
        ({"records": {"../a": {}}}, "damaged"),
    ],
)
def test_a_document_that_is_none_is_refused_and_nothing_is_written(mine, store, change, said):
    before = store.read("dev")
    with pytest.raises(StateError, match=said):
        mine.restore({**through_json(mine.export(journal=False)), **change}, force=True)
    assert store.read("dev") == before


def test_a_document_of_a_newer_minor_format_is_read(mine, keep, new_state):
    other = SqlStore(new_state(), Path(), toys.ToyClock())
    document = {**through_json(mine.export(journal=False)), "format": "1.7", "colour": "red"}
    assert keep(other).restore(document, force=False) == 3
    other.close()


def test_import_and_repair_need_the_lease(mine, store):
    document = through_json(mine.export(journal=False))
    store.acquire("dev", "ben")
    for act in (lambda: mine.restore(document, force=True), mine.repair):
        with pytest.raises(StateLocked, match="held by ben"):
            act()


def damage(store):
    execute = store._database.execute
    execute("UPDATE records SET version = 77 WHERE address = 'thing.a'")
    execute("UPDATE records SET body = '{' WHERE address = 'thing.b'")
    execute("DELETE FROM records WHERE address = 'keep.b'")
    execute("INSERT INTO records SELECT environment, 'thing.z', version, body FROM records WHERE address = 'thing.a'")


def test_verify_says_every_problem_and_repair_makes_the_records_what_the_journal_says(mine, store, world):
    sound = store.read("dev").records
    damage(store)
    found = {problem.address: problem.summary for problem in mine.verify()}
    assert found == {
        "thing.a": "the record is not as it was written",
        "thing.b": "the record cannot be read",
        "keep.b": "the record is missing",
        "thing.z": "the record was never written by mlops",
    }
    mine.repair()
    assert store.read("dev").records == sound
    assert mine.verify() == []
    *_, last = store.history("dev")
    assert (last.body["state"], last.body["owner"], set(last.body["records"])) == ("repair", "anna", set(found))
    assert toys.plan(PROGRAM, store, world).changes == ()


def test_verify_names_artifacts_that_are_gone_and_references_to_nothing(mine, store, world):
    gone = store.read("dev").records["thing.b"].output("out")
    del world.numbers[gone]
    lease = store.acquire("dev", "anna")
    store.append(lease, [Entry("end", "r", "2026", "p", "thing.a", "thing.a/forget", forget=True)])
    said = [(problem.address, problem.summary) for problem in mine.verify()]
    assert ("thing.b", "it reads thing.a, of which nothing is recorded") in said
    assert ("thing.b", f"its output out ({gone}) is not in the artifact store") in said
    assert ("keep.b", f"its output serving ({gone}) is not in the artifact store") in said
    assert len(said) == 3


def test_breaking_a_lease_that_nobody_holds_is_told(mine):
    with pytest.raises(StateError, match="nobody holds environment 'prod'"):
        mine.break_lease("prod")


def test_a_broken_lease_says_who_held_it_and_stands_in_the_journal(mine, store):
    store.acquire("dev", "ben")
    assert mine.break_lease("dev").owner == "ben"
    *_, last = store.history("dev")
    assert {name: last.body[name] for name in ("state", "held", "owner")} == {"state": "break", "held": "ben", "owner": "anna"}
    store.acquire("dev", "carl")
