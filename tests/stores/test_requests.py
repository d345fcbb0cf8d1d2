"""Requests: what is asked of deliveries, in SQLite and in PostgreSQL: appended by whoever, without the lease, in order."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from mlops.core.addresses import Address
from mlops.core.notices import Notice, rejections
from mlops.core.plans import Do, Step
from mlops.core.states import Entry
from mlops.stores.requests import StepRequests
from mlops.stores.sql import SqlStore

import toys

ROLLOUT = "rollout.credit"
STEP = Step(f"{ROLLOUT}/deliver", Address(ROLLOUT), "deliver", Do.RUN, key="sha256:k")


@pytest.fixture
def clock():
    return toys.ToyClock()


@pytest.fixture
def url(new_state):
    return new_state()


@pytest.fixture
def store(url, clock):
    store = SqlStore(url, Path(), clock)
    yield store
    store.close()


def test_a_person_asks_while_an_apply_holds_the_environment_and_its_delivery_hears_it(store, url, clock):
    holder = SqlStore(url, Path(), clock)
    lease = holder.acquire("dev", "anna")
    store.notify("dev", ROLLOUT, "pause", by="ben@laptop", reason="too early")
    holder.append(lease, [Entry("note", "r", "2026", "p")])  # the writes of the one do not disturb those of the other
    heard = StepRequests(holder, "dev", STEP, "anna@host")
    assert heard.since(0) == (Notice(1, "dev", ROLLOUT, "pause", "", "2026-01-01T00:00:00.000+00:00", "ben@laptop", "too early"),)
    heard.close()


def test_a_delivery_hears_what_is_newer_than_its_beginning_and_of_its_own_address_and_environment(store):
    for environment, address in (("dev", ROLLOUT), ("dev", "rollout.churn"), ("prod", ROLLOUT)):
        store.notify(environment, address, "abort")
    heard = StepRequests(store, "dev", STEP, "anna@host")
    begun = heard.newest()
    assert (begun, heard.since(begun)) == (2, ())
    store.notify("dev", "rollout.churn", "abort")
    last = store.notify("dev", ROLLOUT, "promote")
    assert [(one.sequence, one.verb) for one in heard.since(begun)] == [(last, "promote")]


def test_a_rejected_key_stands_until_somebody_wants_it_tried_again(store):
    heard = StepRequests(store, "dev", STEP, "anna@host")
    heard.reject("p99 was 3 times that of the stable version")
    heard.reject("p99 was 3 times that of the stable version")  # said again after a kill
    assert len(list(store.notices("dev"))) == 1
    found = store.read("dev").rejected
    assert found[ROLLOUT]["sha256:k"].reason.startswith("p99")
    assert store.read("prod").rejected == {}
    store.notify("dev", ROLLOUT, "retry", by="ben")
    assert store.read("dev").rejected == {}
    heard.reject("again")
    assert store.read("dev").rejected[ROLLOUT]["sha256:k"].reason == "again"


def test_retry_of_one_rollout_leaves_what_is_rejected_of_another():
    told = [
        Notice(number, "dev", address, verb, key, "", "", "")
        for number, (address, verb, key) in enumerate(
            [("a", "rejected", "1"), ("b", "rejected", "2"), ("a", "retry", ""), ("a", "rejected", "3"), ("a", "abort", "")]
        )
    ]
    assert {address: list(keys) for address, keys in rejections(told).items()} == {"a": ["3"], "b": ["2"]}


def test_many_who_ask_at_once_all_get_a_number_of_their_own(url, clock, store):
    def ask():
        own = SqlStore(url, Path(), clock)
        for _ in range(10):
            own.notify("dev", ROLLOUT, "promote")
        own.close()

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.sequence for one in store.notices("dev")] == list(range(1, 41))
