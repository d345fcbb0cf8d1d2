"""Whatever the strategy, the world and the moment: the order of a shift holds, and every delivery ends with one version whole.

The playhouse checks each action at the moment it is done: no traffic towards a track of which nothing is ready, no replica of the stable
version ended before the data plane shows the candidate in its place; and that `next` is idempotent and a delivery survives JSON.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.delivery.deliveries import Traffic, Wish
from mlops.delivery.progressing import begin
from mlops.delivery.strategies import Strategy

from playhouse import Nature, Playhouse

LIMITS = {"progress_deadline": "40s", "deadline": "20m", "scale_down_delay": "5s"}
ANALYSIS = {"error_rate": {"max": 0.01}, "p99": {"max_ratio": 1.2}, "prediction_distance": {"max": 0.2}, "interval": "10s"}
GATE = {"command": ["ask"], "interval": "5s"}

waits = st.sampled_from(
    [{"pause": "7s"}, {"analyse": "30s"}, {"gate": GATE}, {"hook": {"command": ["tell"]}}, {"scale": 2}, {"scale": "match"}]
)
shares = st.lists(st.sampled_from([5, 12.5, 50, 95, 100]), min_size=1, max_size=3, unique=True).map(sorted)


@st.composite
def stepwise(draw, firsts):
    steps = []
    for first in firsts:
        steps += [first, *draw(st.lists(waits, max_size=2))]
    return {"steps": steps, "analysis": ANALYSIS, **LIMITS}


plans = st.one_of(
    st.just({"recreate": LIMITS}),
    st.integers(1, 3).map(lambda batch: {"rolling": {"batch": batch, **LIMITS}}),
    shares.flatmap(lambda found: stepwise([{"weight": weight} for weight in found])).map(lambda one: {"canary": one}),
    stepwise([{"header": {"name": "x-preview"}}, {"weight": 100}]).map(lambda one: {"blue_green": one}),
    stepwise([{"mirror": 20}]).map(lambda one: {"shadow": one}),
)
natures = st.builds(
    Nature,
    ready_after=st.sampled_from([0.0, 1.0, 9.0]),
    dies_after=st.sampled_from([None, None, None, 3.0, 25.0]),
    never_ready=st.sampled_from([False, False, False, True]),
    error_rate=st.sampled_from([0.0, 0.0, 0.05]),
    bucket=st.sampled_from([1, 1, 3]),
    predictions=st.sampled_from([(50, 50), (50, 50), (99, 1)]),
)
wishes = st.tuples(st.integers(0, 120), st.sampled_from(["abort", "promote", "promote-full", "pause", "resume"]))
# what happens to the world, when, and for how many looks
events = st.tuples(
    st.integers(0, 120), st.sampled_from(["old dies", "new dies", "blind", "unreadable"]), st.sampled_from([1, 10, 70])
)
# moments at which the driver is killed: when, which share of the actions it did, how long nobody looked
kills = st.tuples(st.integers(0, 120), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([1.0, 5.0, 200.0]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=plans,
    nature=natures,
    replicas=st.integers(1, 5),
    stable=st.sampled_from(["old", "old", "old", None]),
    wanted=st.lists(wishes, max_size=3),
    killed=st.lists(kills, max_size=3),
    happens=st.lists(events, max_size=3),
    route=st.tuples(st.sampled_from([0.0, 0.5, 3.0]), st.sampled_from([False, False, False, True])),
    other=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_delivery_ends_with_one_version_whole(plan, nature, replicas, stable, wanted, killed, happens, route, other, seed):
    world = Playhouse(stable=stable, natures={"new": nature}, seed=seed, recreate="recreate" in plan, gate=(False, True))
    world.route_delay, world.route_lies = route
    if stable:
        world.begin(stable, replicas)
    if other and stable:  # another delivery was on its way
        world.begin("other", 1)
        world.asked = world.effective = Traffic(5.0)
    delivery = begin(Strategy.model_validate(plan), (stable, "new"), replicas, world.now)
    for tick in range(3000):
        world.wishes += [Wish(len(world.wishes) + 1, verb) for moment, verb in wanted if moment == tick]
        kill = next((one for one in killed if one[0] == tick), None)
        happen(world, [what for moment, what, long in happens if moment <= tick < moment + long])
        delivery, _ = world.round(delivery, does=kill[1] if kill else 1.0)
        if kill:
            world.forget()
        if delivery.result is not None:
            break
        world.pass_time(kill[2] if kill else 1.0)
    check_end(delivery, world, replicas, happens)


def happen(world, found):
    world.blind, world.unreadable = "blind" in found, "unreadable" in found
    for version in ("old", "new"):
        if f"{version} dies" in found:
            alive = [one for one in world.replicas if one.version == version and not one.dead]
            for one in alive[:1]:
                one.dead = "killed"


def check_end(delivery, world, replicas, happens):
    assert delivery.result is not None, "every delivery ends"
    assert world.now - 1000 <= 20 * 60 + 2000, "in time"
    if delivery.result == "delivered":
        assert world.found("candidate").ready == replicas or delivery.reason
        assert world.effective == Traffic(100.0)
        assert world.found("stable").count == 0
    if delivery.result == "aborted":
        assert delivery.reason
        assert world.found("candidate").version is None
        if world.stable:
            assert world.found("stable").ready == replicas, "the stable version is whole"
            assert world.effective == Traffic()
    if delivery.result == "stranded":
        assert world.route_lies or happens, "only where the world does not follow"
