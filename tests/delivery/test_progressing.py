"""What a delivery does, told as plays: each strategy, each trouble."""

from __future__ import annotations

import pytest

from mlops.delivery.deliveries import Traffic
from mlops.delivery.progressing import begin
from mlops.delivery.strategies import Strategy

from playhouse import Nature, Playhouse

ANALYSIS = {"error_rate": {"max": 0.01}, "p99": {"max_ratio": 1.2}, "interval": "10s"}
CANARY = {"steps": [{"weight": 5}, {"analyse": "1m"}, {"weight": 50}, {"pause": "20s"}], "analysis": ANALYSIS}
STRATEGIES = {
    "recreate": {},
    "rolling": {},
    "blue_green": {"steps": [{"header": {"name": "x-preview"}}, {"pause": "10s"}, {"weight": 100}, {"pause": "10s"}]},
    "canary": CANARY,
    "shadow": {"steps": [{"mirror": 20}, {"analyse": "1m"}], "analysis": {"agreement": {"min": 0.98}, **ANALYSIS}},
}


def strategy(name, **more):
    return Strategy.model_validate({name: {**STRATEGIES[name], **more}})


def stage(name="canary", *, replicas=3, stable="old", more=None, **house):
    """Return a playhouse in which the stable version serves, and the delivery that begins."""
    world = Playhouse(stable=stable, recreate=name == "recreate", **house)
    if stable:
        world.begin(stable, replicas)
    return world, begin(strategy(name, **(more or {})), (stable, "new"), replicas, world.now)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_delivers_and_nothing_of_the_old_version_is_left(name):
    world, delivery = stage(name)
    end = world.play(delivery)
    assert (end.result, end.reason) == ("delivered", "")
    assert world.found("stable").version is None
    assert world.found("candidate").ready == 3
    assert world.effective == Traffic(100.0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_first_delivery_skips_steps_and_analysis(name):
    world, delivery = stage(name, stable=None)
    end = world.play(delivery)
    assert end.result == "delivered"
    assert world.now < 1010
    assert not any("Measure" in line for line in world.log)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_version_that_never_gets_ready_aborts_at_the_progress_deadline_and_stable_is_whole(name):
    world, delivery = stage(name, natures={"new": Nature(never_ready=True)}, more={"progress_deadline": "60s"})
    end = world.play(delivery)
    assert end.result == "aborted"
    assert end.reason.startswith("no progress for 1m: 0 of ")
    assert world.found("stable").ready == 3
    assert world.found("candidate").version is None
    assert world.effective == Traffic()
