"""Deliveries on a real engine, with a real HAProxy, under the load of four clients."""

from __future__ import annotations

import pytest

from mlops.core.errors import DeliveryAborted, Refused

from harbour import QUICK, Harbour, Load
from stands import GREEN


@pytest.fixture(scope="module")
def serving(engine, tmp_path_factory):
    """Give a rollout whose version `good` serves, for all tests that leave it so."""
    harbour = Harbour(engine, tmp_path_factory.mktemp("harbour"))
    harbour.deliver("good")
    yield harbour
    harbour.remove()


def test_a_shadow_answers_copies_and_then_everything(harbour):
    """By the faulty server, which can mirror; what real images can is in `test_real_images`."""
    harbour.deliver("v1")
    with Load(harbour.address) as load:
        made, notes = harbour.deliver("v2", **GREEN["shadow"])
    assert load.failures == []
    assert set(load.counts(until=notes.when("the switch"))) == {"v1"}
    assert harbour.versions() == ["v2", "v2"]
    assert [one["version"] for one in made.facts["former"]] == ["v1"]


def test_recreate_ends_the_old_version_before_the_new_one_begins(harbour):
    harbour.deliver("v1")
    made, _ = harbour.deliver("v2", recreate=QUICK)
    assert harbour.versions() == ["v2", "v2"]
    assert made.facts["version"] == "v2"


BAD = {
    "errors:0.05": (
        {"error_rate": {"max": 0.01, "min_samples": 50}, "interval": 1},
        r"error_rate failed: .* % of .* requests failed",
    ),
    "slow:3": ({"p50": {"max_ratio": 1.5, "min_samples": 50}, "interval": 1}, r"p50 failed: "),
    "shifted": ({"prediction_distance": {"max": 0.2, "min_samples": 50}, "interval": 1}, r"prediction_distance failed: "),
    "never": (None, r"no progress for 6s: 0 of 1 replicas? of bad "),
    # Either the engine's word is seen first, or the proxy's: both abort at once.
    "dies:6": (None, r"died: .*|no replica of bad is ready any more, and requests go there"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_version_takes_itself_back(serving, fault):
    """Each aborts with the reason in one line, clients see the canary's share of it at most, and the old version is whole."""
    analysis, reason = BAD[fault]
    canary = {**QUICK, "steps": [{"weight": 20}, {"analyse": 60} if analysis else {"pause": 60}], "analysis": analysis}
    canary["progress_deadline"] = 6 if fault == "never" else 60
    with Load(serving.address) as load, pytest.raises(DeliveryAborted, match=reason) as raised:
        serving.deliver("bad", fault, canary=canary)
    assert "\n" not in raised.value.message
    assert raised.value.exit_code == 3
    assert serving.versions() == ["good", "good"]
    replicas, front = serving.look()
    assert (front.weight, all(front.servers["stable"].values()), len(replicas)) == (0, True, 2)
    assert load.share("bad") <= 22
    if fault not in ("errors:0.05", "dies:6"):
        assert load.failures == []
    assert {version for _, _, version in load.failures} <= {"bad", ""}
    assert len(load.failures) <= len(load.answers) * 0.02


def test_the_way_back_to_a_former_version_has_no_steps(harbour):
    """It needs no network and no rebuild: the image is on the engine, and what the version was is noted there."""
    canary = {**QUICK, "steps": [{"weight": 10}, {"pause": "promoted"}]}
    harbour.deliver("v1")
    harbour.deliver("v2")
    made, notes = harbour.deliver("v1", canary=canary)
    assert harbour.versions() == ["v1", "v1"]
    assert [one["version"] for one in made.facts["former"]] == ["v2"]
    assert not any("promote" in message for _, message in notes.said)


def test_a_port_that_is_in_use_is_refused_before_anything_is_started(harbour, engine):
    client = engine.client()
    name = f"{harbour.project}-other"
    other = client.containers.run(engine.image, ["sleep", "60"], name=name, ports={"80/tcp": harbour.address}, detach=True)
    try:
        with pytest.raises(Refused, match=rf"port {harbour.port} of {engine.address} is in use by container {name}"):
            harbour.deliver("v1")
    finally:
        other.remove(force=True)
        client.close()
    assert harbour.look()[0] == ()


def test_a_name_that_is_in_use_by_something_else_is_refused(harbour, engine):
    client = engine.client()
    name = f"mlops.{harbour.project}.dev.credit.proxy"
    foreign = client.containers.create(engine.image, "true", name=name)
    try:
        with pytest.raises(Refused, match=f"the name {name} is in use by a container that mlops did not make"):
            harbour.deliver("v1")
    finally:
        foreign.remove(force=True)
        client.close()
