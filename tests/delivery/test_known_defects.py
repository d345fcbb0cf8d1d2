"""Defects of Argo Rollouts, Flagger and KServe that were reported or found, each by its number, as it must not be here."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mlops.delivery.actions import Probe, Retire, Route, Scale
from mlops.delivery.analyses import Analysis
from mlops.delivery.deliveries import Traffic, Wish
from mlops.delivery.progressing import begin
from mlops.delivery.progressing import next as next_of

from playhouse import Nature, stage


def reached(world, delivery, **where):
    """Play until the delivery is where it should be."""
    end = world.play(delivery, until=lambda one: all(getattr(one, name) == value for name, value in where.items()))
    assert end.result is None or "result" in where
    return end


def test_argo_analysis_without_a_condition_is_an_error_of_the_spec_and_no_success():
    """argo-rollouts utils/evaluate/evaluate.go: always success; the documentation says inconclusive."""
    with pytest.raises(ValidationError, match="the metric says nothing"):
        Analysis.model_validate({"error_rate": {"min_samples": 10}})


def test_argo_failure_limit_means_what_it_says():
    """argo-rollouts: `failureLimit: 3` fails with the fourth failure, against its documentation; here: when failures > max_failures."""
    more = {"analysis": {"commands": {"smoke": {"command": ["x"], "min": 2}}, "interval": "10s", "max_failures": 2}}
    world, delivery = stage(more=more)
    end = world.play(delivery)
    assert end.result == "aborted"
    assert end.reason == "commands.smoke failed: 1, wanted at least 2"
    assert sum("Measure" in line for line in world.log) == 1 + 3  # the first reading, and three failures


@pytest.mark.parametrize("blind", [False, True])
def test_argo_4626_and_4962_the_deadline_fires_though_the_route_cannot_be_read_or_written(blind):
    world, delivery = stage(more={"progress_deadline": "60s"})
    world.unreadable = True
    look = world.look
    if blind:  # nor can the replicas be looked at
        delivery = reached(world, delivery, part="route")
        world.look = lambda: type(look())(world.now, blind=True, trouble="no engine answers")
    end = reached(world, delivery, phase="aborting")
    assert end.reason.startswith("no progress for 1m: ")
    assert world.now < 1070
    end = world.play(end)
    assert end.result == "stranded"
    assert world.now < 1270


def test_argo_4626_the_whole_deadline_fires_though_nothing_of_the_route_is_known():
    world, delivery = stage(more={"deadline": "200s", "progress_deadline": "1h"})
    world.route_lies = True
    end = reached(world, delivery, phase="aborting")
    assert end.reason.startswith("not done within the deadline of 3m20s: the data plane is to show 5 %")


@pytest.mark.parametrize("where", [{"phase": "stepping", "part": "route"}, {"part": "wait"}, {"phase": "retiring"}])
def test_argo_4461_an_abort_wins_after_promote_full(where):
    world, delivery = stage()
    delivery = reached(world, delivery, part="wait")
    world.wishes.append(Wish(1, "promote-full"))
    delivery, _ = world.round(delivery)
    delivery = reached(world, delivery, **where)
    world.wishes.append(Wish(2, "abort", "ada", "looks odd"))
    end = world.play(delivery)
    assert (end.result, end.reason) == ("aborted", "aborted by ada: looks odd")
    assert world.found("stable").ready == 3
    assert world.found("candidate").version is None


def test_argo_4461_an_abort_wins_in_whatever_order_wishes_come():
    world, delivery = stage()
    world.wishes = [Wish(1, "abort"), Wish(2, "promote-full"), Wish(3, "promote")]
    assert world.play(delivery).result == "aborted"


def test_argo_3078_the_route_does_not_flap_after_an_abort():
    world, delivery = stage()
    delivery = reached(world, delivery, stage=3, part="wait")
    world.wishes.append(Wish(1, "abort"))
    begun = len(world.log)
    world.play(delivery)
    routes = {line.partition("Route(")[2].partition("traffic=")[2] for line in world.log[begun:] if "Route(" in line}
    assert routes == {f"{Traffic()})"}


@pytest.mark.parametrize("name", ["rolling", "blue_green", "canary", "shadow"])
def test_argo_2235_3586_3681_the_old_replicas_are_there_until_the_switch_is_seen(name):
    """The playhouse fails any action that ends replicas of the stable version before; here the switch takes a minute."""
    world, delivery = stage(name, more={"progress_deadline": "5m"})
    world.route_delay = 60.0
    assert world.play(delivery).result == "delivered"


def test_argo_4347_what_the_route_says_of_itself_is_not_enough():
    world, delivery = stage(more={"progress_deadline": "60s"})
    world.route_lies = True
    end = reached(world, delivery, phase="aborting")
    assert world.effective == Traffic()
    assert delivery.stage == end.stage == 0
    assert "the data plane is to show 5 % of the requests at the candidate" in end.reason


def test_argo_3372_a_second_version_in_the_middle_waits_for_the_stable_version_to_be_whole():
    world, delivery = stage("rolling", replicas=4)
    reached(world, delivery, stage=2, part="route")
    assert world.found("stable").count == 2
    world.candidate = "newer"
    end = world.play(begin(delivery.strategy, ("old", "newer"), 4, world.now))
    assert end.result == "delivered"
    began = next(index for index, line in enumerate(world.log) if "'newer'" in line)
    back = next(index for index, line in enumerate(world.log[:began]) if str(Traffic()) in line and "Route(" in line)
    assert any("track='stable', version='old', replicas=4" in line for line in world.log[:back])
    assert {one.version for one in world.replicas} == {"newer"}


def test_flagger_869_nothing_is_sent_back_to_a_stable_version_that_is_scaled_down():
    world, delivery = stage("rolling", replicas=4, natures={"old": Nature(ready_after=30.0)})
    delivery = reached(world, delivery, stage=2, part="route")
    world.wishes.append(Wish(1, "abort"))
    seen = world.look()
    delivery, wanted = next_of(delivery, seen)
    assert Scale("stable", "old", 4) in wanted
    assert not any(isinstance(action, Route | Retire | Probe) for action in wanted)
    end = world.play(delivery)
    assert end.result == "aborted"


def test_flagger_1035_no_traffic_is_inconclusive_and_waits_for_a_person():
    world, delivery = stage(requests_each_second=0.0)
    end = world.play(delivery, until=lambda one: bool(one.doubt))
    assert "error_rate: no requests at the candidate" in end.doubt
    world.wishes.append(Wish(1, "promote"))
    end = reached(world, end, stage=3)
    assert not end.doubt


def test_kserve_5984_no_traffic_before_the_candidate_is_ready():
    """The playhouse fails any route towards a track of which nothing is ready."""
    world, delivery = stage(natures={"new": Nature(ready_after=45.0)})
    assert world.play(delivery).result == "delivered"
    first = next(line for line in world.log if "Route(" in line)
    assert int(first.split()[0]) >= 45


def test_a_first_delivery_has_no_stable_version_to_go_back_to_and_says_so():
    world, delivery = stage(stable=None, natures={"new": Nature(dies_after=1.0)})
    end = world.play(delivery)
    assert end.result == "aborted"
    assert "died: exit code 137" in end.reason
    assert not world.replicas


def test_a_weight_that_nobody_knows_is_proven_to_be_gone_by_many_answers():
    """Another delivery left 5 %, and the proxy could not be read when this one began: 20 answers would say nothing."""
    world, delivery = stage(seed=3)
    world.begin("other", 1)
    world.asked = world.effective = Traffic(5.0)
    world.unreadable, world.route_lies = True, True
    delivery = reached(world, delivery, part="route")
    world.unreadable = False
    assert reached(world, delivery, phase="aborting").maybe[-1] == 1.0
