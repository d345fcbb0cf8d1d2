"""What the journal says of one resource: hand-made journals, and those that toys write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.core.addresses import Address
from mlops.core.states import Entry, Record, StepRecord
from mlops.engine import recalling
from mlops.stores.sql import SqlStore

import toys

OLD, NEW, TABLE = ("sha256:" + letter * 64 for letter in "abc")


def at(day, hour=0):
    return datetime(2026, 11, day, hour, tzinfo=UTC).isoformat(timespec="milliseconds")


def record(address, sequence, outputs, values=(), day=1):
    step = StepRecord("key", dict(values), outputs, {}, 1.0, at(day))
    return Record(Address(address), {}, "", {"fit": step}, version=sequence)


def entry(sequence, event, run, day, address="", body=None, **rest):
    step = f"{address}/fit" if address else ""
    return Entry(event, run, at(day), "plan", address, step, body or {}, sequence=sequence, **rest)


MODEL, DATA = "model.a", "dataset.a"
NOTES = [
    entry(1, "note", "r1", 1, body={"run": "begin", "owner": "anna@host (process 1, started 2)", "reason": "first"}),
    entry(9, "note", "r1", 1, body={"run": "end"}),
    entry(10, "note", "r2", 3, body={"run": "begin", "owner": "ben@host (process 1, started 2)", "reason": ""}),
]
WHY = {"reasons": [{"code": "spec"}], "fields": [["seed", 7, 8]]}
READS = {f"output:{DATA}/train": TABLE, "input:runtime": {"numpy": "2"}}
JOURNAL = {
    DATA: [
        entry(2, "begin", "r1", 1, DATA, {"reasons": [{"code": "new"}]}),
        entry(3, "end", "r1", 1, DATA, {"status": "done"}, record=record(DATA, 3, {"train": TABLE}, {"input:source": "x"})),
        entry(13, "end", "r2", 3, DATA, {"status": "done"}, record=record(DATA, 13, {"train": NEW}, {"input:source": "y"})),
    ],
    MODEL: [
        entry(4, "begin", "r1", 1, MODEL, {"reasons": [{"code": "new"}]}),
        entry(5, "end", "r1", 1, MODEL, {"status": "done", "seconds": 2.0}, record=record(MODEL, 5, {"artifact": OLD}, READS)),
        entry(11, "begin", "r2", 3, MODEL, WHY),
        entry(12, "end", "r2", 3, MODEL, {"status": "failed", "seconds": 1.0, "failure": {"code": "x", "message": "no"}}),
        entry(14, "begin", "r3", 5, MODEL, WHY),
        entry(15, "end", "r3", 5, MODEL, {"status": "done", "seconds": 2.0}, record=record(MODEL, 15, {"artifact": NEW}, READS)),
        entry(16, "begin", "r4", 7, MODEL, WHY),
        entry(20, "end", "r5", 9, MODEL, {"status": "done", "reasons": [{"code": "removed"}]}, forget=True),
    ],
}  # fmt: skip


@pytest.fixture
def chapters():
    return recalling.recall(JOURNAL[MODEL], NOTES)


def test_each_run_is_a_chapter_with_its_owner_and_reasons_and_ending(chapters):
    assert [(one.run.id, one.run.owner.partition("@")[0], one.run.reason) for one in chapters] == [
        ("r1", "anna", "first"),
        ("r2", "ben", ""),
        ("r3", "", ""),  # of an older mlops, which wrote no note
        ("r4", "", ""),
        ("r5", "", ""),
    ]
    assert [[end.status for end in one.endings] for one in chapters] == [["done"], ["failed"], ["done"], [""], ["done"]]
    assert chapters[1].endings[0].failure == "no"
    assert (chapters[2].reasons, chapters[2].fields) == (({"code": "spec"},), (("seed", 7, 8),))
    assert [one.is_forgotten for one in chapters] == [False, False, False, False, True]


def test_a_record_holds_until_the_next_one_and_a_failure_or_a_crash_does_not_end_it(chapters):
    assert [(one.at, one.until) for one in chapters if one.record is not None] == [(at(1), at(5)), (at(5), at(9))]


@pytest.mark.parametrize(
    ("day", "runs"),
    [
        (0, []),
        (1, ["r1"]),
        (2, ["r1"]),
        (3, ["r1", "r2"]),  # the failed try is told, too
        (4, ["r1"]),
        (5, ["r1", "r3"]),
        (6, ["r3"]),
        (7, ["r3", "r4"]),
        (9, ["r3", "r5"]),
        (10, []),
    ],
)
def test_a_day_has_what_held_on_it_and_what_happened_on_it(chapters, day, runs):
    start = datetime(2026, 10, 31, tzinfo=UTC) + timedelta(days=day)
    expected = [one.run.id for one in recalling.within(chapters, start, start + timedelta(days=1))]
    if day in (5, 9):
        runs = runs[1:]  # both changed at midnight: the old record held on no moment of the day
    assert expected == runs


def test_what_a_record_was_made_from_is_found_by_its_digest_and_not_by_what_came_later(chapters):
    (source,) = recalling.sources(chapters[2].record, lambda address: JOURNAL[address])
    assert (source.address, source.outputs, source.record.version) == (DATA, {"train": TABLE}, 3)
    assert source.record.steps["fit"].values == {"input:source": "x"}
    assert source.sources == ()


def test_a_source_that_the_journal_does_not_know_is_named_all_the_same(chapters):
    (source,) = recalling.sources(chapters[0].record, lambda _: [])
    assert (source.address, source.record) == (DATA, None)


def test_the_journal_of_an_apply_is_walked_back_to_the_data(tmp_path):
    world, store = toys.ToyWorld(files={"f": 1}), SqlStore("sqlite:///s.db", tmp_path, toys.ToyClock())
    program = {
        "thing.a": {"file": "f"},
        "thing.b": {"reads": ["thing.a"], "value": 2},
        "keep.b": {"shows": "thing.b"},
    }
    toys.apply(toys.plan(program, store, world), store, world)
    world.files["f"] = 5
    toys.apply(toys.plan(program, store, world), store, world)
    chapters = recalling.recall(store.history("dev", "keep.b"), store.history("dev", ""))
    data = []
    for one in chapters:
        (thing,) = recalling.sources(one.record, lambda address: store.history("dev", address))
        data.append((thing.address, thing.sources[0].address, thing.sources[0].record.steps["work"].values))
    assert data == [("thing.b", "thing.a", {"input:file": 1}), ("thing.b", "thing.a", {"input:file": 5})]
    store.close()


def test_what_moved_takes_its_past_along_and_a_later_one_of_its_old_name_is_another(tmp_path):
    """thing.a becomes thing.b and then thing.c; a new thing.a is made meanwhile."""
    store, world = SqlStore("sqlite:///s.db", tmp_path, toys.ToyClock()), toys.ToyWorld()
    moves = [{"from": "thing.a", "to": "thing.b"}, {"from": "thing.b", "to": "thing.c"}]
    for program, moved in (
        ({"thing.a": {"value": 1}}, []),
        ({"thing.b": {"value": 1}}, moves[:1]),
        ({"thing.b": {"value": 2}, "thing.a": {"value": 7}}, []),
        ({"thing.c": {"value": 2}, "thing.a": {"value": 8}}, moves[1:]),
    ):
        toys.apply(toys.plan(program, store, world, settings={"moved": moved}), store, world)

    def numbers(address):
        entries = recalling.lineage(address, lambda one: store.history("dev", one))
        assert [entry.sequence for entry in entries] == sorted({entry.sequence for entry in entries})
        chapters = recalling.recall(entries, store.history("dev", ""))
        return [chapter.record.facts["number"] for chapter in chapters if chapter.record is not None]

    assert numbers("thing.c") == [1, 1, 2, 2], "made, moved, changed, moved"
    assert numbers("thing.b") == [1, 1, 2]
    assert numbers("thing.a") == [1, 7, 8]
    store.close()
