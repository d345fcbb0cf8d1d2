"""The store, in SQLite and in PostgreSQL: durable, and fenced."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from mlops.core.addresses import Address
from mlops.core.errors import StateError, StateLocked
from mlops.core.states import Entry, Realisation, Record, StepRecord, fold
from mlops.stores.sql import SqlStore

import toys


def step_record():
    return StepRecord("sha256:k", {"input:file": 1}, {"out": "sha256:o"}, {"rows": 3}, 1.5, "2026-01-01T00:00:00.000+00:00")


def entry(event="end", address="thing.a", **rest):
    return Entry(event, "run", "2026-01-01T00:00:00.000+00:00", "plan", address, f"{address}/work", **rest)


def record(address="thing.a"):
    return Record(Address(address), {"value": 1}, "sha256:d", {"work": step_record()}, ("thing.z",), {"file": {"rows": 3}})


@pytest.fixture
def clock():
    return toys.ToyClock()


@pytest.fixture
def url(new_state):
    return new_state()


@pytest.fixture
def opened(url, clock):
    """Give the function that opens the state, as another process would; all are closed in the end."""
    stores = []

    def open_store(*rest, **named):
        stores.append(SqlStore(url, Path(), clock, *rest, **named))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def store(opened):
    return opened()


def test_records_are_read_as_they_were_written_with_the_sequence_as_version(store, opened):
    lease = store.acquire("dev", "anna")
    last = store.append(lease, [entry("begin"), entry(record=record())])
    found = opened().read("dev").records["thing.a"]
    assert found.version == last == 2
    assert (found.body, found.steps, found.refs, found.inputs) == (
        {"value": 1},
        {"work": step_record()},
        ("thing.z",),
        {"file": {"rows": 3}},
    )
    assert store.read("prod").records == {}


def test_forgetting_deletes_the_record_and_keeps_the_history(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry(record=record())])
    store.append(lease, [entry(forget=True)])
    assert store.read("dev").records == {}
    assert [found.event for found in store.history("dev", "thing.a")] == ["end", "end"]


def test_what_began_and_did_not_end_is_pending(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry("begin"), entry("begin", "thing.b"), entry("checkpoint", "thing.b", body={"at": 3}), entry()])
    pending = store.read("dev").pending
    assert [(found.event, found.address, dict(found.body)) for found in pending] == [
        ("begin", "thing.b", {}),
        ("checkpoint", "thing.b", {"at": 3}),
    ]


def test_realisations_are_found_by_key_in_one_statement_for_many(store):
    lease = store.acquire("dev", "anna")
    made = [Realisation(f"sha256:{n}", {"out": "sha256:o"}, {}, 1.0, "dev", "thing.a", "2026-01-01") for n in range(700)]
    store.append(lease, [entry(realisation=one) for one in made])
    keys = [one.key for one in made]
    assert store.realised([*keys, "sha256:unknown"]) == dict(zip(keys, made, strict=True))


def test_a_lease_that_expired_is_taken_over_and_its_holder_cannot_write_any_more(store, clock):
    lease = store.acquire("dev", "anna")
    clock.sleep(61)
    taken = store.acquire("dev", "ben")
    assert taken.token > lease.token
    with pytest.raises(StateLocked, match="lost"):
        store.append(lease, [entry(record=record())])
    with pytest.raises(StateLocked, match="lost"):
        store.renew(lease)
    assert store.read("dev").records == {}
    store.release(lease)
    with pytest.raises(StateLocked, match="ben"):
        store.acquire("dev", "carl")


def test_a_renewed_lease_holds_and_a_clock_that_jumps_back_does_not_free_it(store, clock):
    lease = store.acquire("dev", "anna")
    clock.sleep(50)
    store.renew(lease)
    clock.sleep(50)
    with pytest.raises(StateLocked):
        store.acquire("dev", "ben")
    clock.time -= timedelta(hours=5)
    with pytest.raises(StateLocked):
        store.acquire("dev", "ben")


def test_the_lease_of_a_dead_process_is_taken_over_at_once(opened):
    store = opened(lambda owner: owner == "dead")
    store.acquire("dev", "dead")
    assert store.acquire("dev", "anna").owner == "anna"


def test_of_two_processes_that_see_the_same_free_lease_one_wins(store, opened):
    """The second reads before the first commits, so that both have seen the environment free."""
    other = opened()
    seen = other._lease

    def read_then_let_the_first_win(environment):
        found = seen(environment)
        if other._database.mark == "%s":  # SQLite's writers wait for each other before they read
            store.acquire("dev", "anna")
        return found

    other._lease = read_then_let_the_first_win
    if other._database.mark == "?":
        assert other.acquire("dev", "ben").token == 1
        with pytest.raises(StateLocked, match="ben"):
            store.acquire("dev", "anna")
    else:
        with pytest.raises(StateLocked, match="taken by another process"):
            other.acquire("dev", "ben")
        assert [lease.owner for lease in store.leases()] == ["anna"]


def test_many_processes_at_once_get_one_lease_and_number_their_entries_without_gaps(url):
    """Each tries to hold the environment ten times and writes two entries when it does."""
    program = (
        "import sys; from pathlib import Path\n"
        "from mlops.core.errors import StateLocked\nfrom mlops.core.states import Entry\n"
        "from mlops.stores.sql import SqlStore\nfrom mlops.world.clock import SystemClock\n"
        "clock = SystemClock(); store = SqlStore(sys.argv[1], Path(), clock); wins = 0\n"
        "while wins < 10:\n"
        "    try: lease = store.acquire('dev', sys.argv[2])\n"
        "    except StateLocked: clock.sleep(0.001); continue\n"
        "    run = f'{sys.argv[2]}-{wins}'; wins += 1\n"
        "    for _ in range(2): store.append(lease, [Entry('note', run, '2026', 'p', body={'token': lease.token})])\n"
        "    store.release(lease)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, url, f"p{number}"]) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    store = SqlStore(url, Path(), toys.ToyClock())
    entries = list(store.history("dev"))
    store.close()
    assert [found.sequence for found in entries] == list(range(1, 61))
    runs = [found.run for found in entries]
    assert all(runs[index] == runs[index + 1] for index in range(0, 60, 2)), "nobody wrote between another's two entries"
    assert [found.body["token"] for found in entries[::2]] == list(range(1, 31))


def test_a_broken_lease_fences_its_holder_off_and_the_journal_says_so(store, opened):
    lease = opened().acquire("dev", "anna")
    (found,) = store.leases()
    assert (found.environment, found.owner, store.is_held(found)) == ("dev", "anna", True)
    store.break_lease(found, Entry("note", "r2", "2026", body={"broke": "anna"}))
    assert store.leases() == []
    with pytest.raises(StateLocked, match="taken away"):
        opened().append(lease, [entry(record=record())])
    with pytest.raises(StateLocked):
        store.break_lease(found, Entry("note", "r3", "2026"))
    assert [dict(found.body) for found in store.history("dev")] == [{"broke": "anna"}]


def test_what_a_person_does_to_the_state_does_not_hide_what_was_interrupted(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry("begin")])
    store.break_lease(lease, Entry("note", "r2", "2026", body={"broke": "anna"}))
    assert [found.step for found in store.read("dev").pending] == ["thing.a/work"]


def test_the_state_of_another_project_is_refused(opened):
    """Its resources would look like leftovers, to be deleted."""
    opened(project="credit")
    opened(project="credit")
    with pytest.raises(StateError, match="belongs to project 'credit', not to 'churn'"):
        opened(project="churn")


def test_a_read_is_of_one_moment_while_another_process_writes(store, opened):
    other = opened()
    lease = other.acquire("dev", "anna")
    other.append(lease, [entry(record=record())])
    pending = store._pending

    def write_meanwhile(environment):
        other.append(lease, [entry("begin", "thing.b")])
        return pending(environment)

    store._pending = write_meanwhile
    state = store.read("dev")
    assert (state.version, state.pending) == (1, ())


def test_a_damaged_row_is_told_with_what_rebuilds_it(store):
    lease = store.acquire("dev", "anna")
    store.append(lease, [entry(record=record()), entry(address="thing.b", record=record("thing.b"))])
    store._database.execute("UPDATE records SET body = ? WHERE address = ?", ('{"steps": 3}', "thing.a"))
    with pytest.raises(StateError, match=r"damaged: the record of thing\.a") as caught:
        store.read("dev")
    assert "mlops state repair" in caught.value.hint
    store.rebuild(lease, Entry("note", "r2", "2026"))
    found = store.read("dev").records
    assert [(address, held.version) for address, held in found.items()] == [("thing.a", 1), ("thing.b", 2)]
    assert found == fold(store.history("dev"))
    store._database.execute("UPDATE journal SET body = ? WHERE sequence = 1", ("{",))
    with pytest.raises(StateError, match="entry 1 of the journal cannot be read"):
        list(store.history("dev"))


def test_a_failed_transaction_leaves_nothing(store):
    lease = store.acquire("dev", "anna")
    broken = Entry("end", "run", None, "plan", "thing.b", "thing.b/work")
    with pytest.raises(StateError):
        store.append(lease, [entry(record=record()), broken])
    assert store.read("dev").records == {}
    assert list(store.history("dev")) == []
    store.append(lease, [entry(record=record())])
