"""What a delivery does, told as plays: each strategy, each trouble."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from mlops.delivery.actions import Route, Scale
from mlops.delivery.deliveries import Traffic, Wish
from mlops.delivery.explaining import explain
from mlops.delivery.progressing import begin

from playhouse import ANALYSIS, STRATEGIES, Nature, Playhouse, stage, strategy


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


@pytest.mark.parametrize(
    ("nature", "reason"),
    [
        (Nature(error_rate=0.05), "error_rate failed: "),
        (Nature(bucket=3), "p99 failed: "),
        (Nature(dies_after=40.0), "replica-4 of new died: exit code 137"),
        (Nature(predictions=(95, 5)), "prediction_distance failed: predictions are 0.4"),
    ],
)
def test_a_bad_version_aborts_by_itself_with_the_reason_in_one_line(nature, reason):
    more = {"analysis": {**ANALYSIS, "prediction_distance": {"max": 0.1}}}
    world, delivery = stage(natures={"new": nature}, more=more, requests_each_second=400)
    end = world.play(delivery)
    assert end.result == "aborted"
    assert end.reason.startswith(reason)
    assert "\n" not in end.reason
    assert (world.found("stable").ready, world.found("candidate").version, world.effective) == (3, None, Traffic())


def test_a_failure_aborts_in_a_pause_too():
    more = {"steps": [{"weight": 20}, {"pause": "promoted"}], "analysis": ANALYSIS}
    world, delivery = stage(natures={"new": Nature(error_rate=0.3)}, more=more)
    assert world.play(delivery).reason.startswith("error_rate failed: ")


def test_what_cannot_be_measured_aborts_after_more_errors_in_a_row_than_are_allowed():
    world, delivery = stage(more={"analysis": {**ANALYSIS, "max_errors": 1}})
    measure = world._measure

    def broken(action, now):
        measure(action, now)
        world.readings[-1] = replace(world.readings[-1], troubles={"server": "no /metrics"})

    world._measure = broken
    end = world.play(delivery)
    assert end.reason == "error_rate could not be measured 2 times in a row: no /metrics"


def test_an_analyse_step_looks_again_while_it_is_inconclusive_and_goes_on_once_it_passes():
    """40 requests a second, 5 % of them at the candidate: 50 samples take 25 s; at 0.2 a second they take more than the minute."""
    world, delivery = stage(requests_each_second=12)
    delivery = world.play(delivery, until=lambda one: one.stage == 2)
    assert 1075 < world.now < 1115
    assert world.play(delivery).result == "delivered"


def test_a_pause_until_promoted_ends_with_promote_only():
    world, delivery = stage(more={"steps": [{"weight": 5}, {"pause": "promoted"}], "analysis": None})
    delivery = world.play(delivery, until=lambda _: world.now > 3000)
    assert delivery.stage == 1
    world.wishes.append(Wish(1, "promote"))
    assert world.play(delivery).result == "delivered"


def test_promote_skips_the_step_and_promote_full_all_of_them_but_never_the_order():
    world, delivery = stage()
    delivery = world.play(delivery, until=lambda one: one.stage == 1 and one.part == "wait")
    world.wishes.append(Wish(1, "promote"))
    delivery, _ = world.round(delivery)
    assert delivery.stage == 2
    world.wishes.append(Wish(2, "promote-full"))
    delivery, actions = world.round(delivery)
    assert (delivery.stage, delivery.part, delivery.window) == (4, "scale", None)
    assert not any(isinstance(action, Route) for action in actions)
    assert world.play(delivery).result == "delivered"


def test_pause_holds_at_the_step_and_resume_goes_on():
    world, delivery = stage()
    world.wishes.append(Wish(1, "pause", "ada"))
    delivery = world.play(delivery, until=lambda _: world.now > 1500)
    assert (delivery.stage, delivery.part, world.effective) == (0, "wait", Traffic(5.0))
    assert explain(delivery, world.look())[0] == "step 1 of 4, weight 5: paused by ada; `mlops rollout resume` goes on."
    world.wishes.append(Wish(2, "resume"))
    assert world.play(delivery).result == "delivered"


def test_a_gate_is_asked_until_it_says_yes():
    world, delivery = stage(
        more={"steps": [{"weight": 5}, {"gate": {"command": ["ask"], "interval": "20s"}}], "analysis": None},
        gate=(False, False, True),
    )
    assert world.play(delivery).result == "delivered"
    asked = [int(line.split()[0]) for line in world.log if "Run(" in line]
    assert [after - before for before, after in pairwise(asked)] == [
        21,
        21,
    ]  # a look a second, and the answer comes with the next


@pytest.mark.parametrize(("required", "result"), [(True, "aborted"), (False, "delivered")])
def test_a_hook_that_says_no_aborts_where_it_is_required(required, result):
    hook = {"url": "http://hooks/told", "required": required}
    world, delivery = stage(more={"steps": [{"weight": 5}, {"hook": hook}], "analysis": None}, gate=(False,))
    end = world.play(delivery)
    assert (end.result, end.reason) == (result, "the hook of step 2 said no: closed" if required else "")
    assert world.calls == 1


def test_the_way_back_to_one_of_the_last_three_versions_has_no_steps():
    world = Playhouse()
    world.begin("old", 3)
    for former, direct in [(("x", "y", "new"), True), (("x", "y", "z", "new"), False)]:
        assert begin(strategy("canary"), ("old", "new"), 3, world.now, former).direct is direct
    end = world.play(begin(strategy("canary"), ("old", "new"), 3, world.now, ("new",)))
    assert end.result == "delivered"
    assert world.now < 1060


def test_the_version_that_serves_delivered_again_takes_away_what_was_on_its_way():
    world, delivery = stage()
    world.play(delivery, until=lambda one: one.stage == 3)
    end = world.play(begin(strategy("canary"), ("old", "old"), 3, world.now))
    assert end.result == "delivered"
    assert ({one.version for one in world.replicas}, world.effective) == ({"old"}, Traffic())


def test_after_a_kill_the_delivery_goes_on_from_where_it_was():
    world, delivery = stage()
    delivery = world.play(delivery, until=lambda one: one.stage == 1 and one.part == "wait")
    world.pass_time(30)
    delivery, _ = world.round(delivery)
    world.forget()
    delivery, actions = world.round(delivery)
    assert (delivery.stage, delivery.part, delivery.unattended) == (1, "wait", 0.0)
    assert not any(isinstance(action, Scale | Route) for action in actions)
    assert world.play(delivery).result == "delivered"


def test_after_a_time_in_which_nobody_looked_the_window_begins_anew_and_the_step_with_it():
    world, delivery = stage()
    delivery = world.play(delivery, until=lambda one: bool(one.window and one.window.looks == 3))
    world.forget()
    world.pass_time(3600)
    assert "Unattended for 1h: no apply runs, and weights stay as they are." in explain(delivery, world.look())
    delivery, _ = world.round(delivery)
    assert (delivery.stage, delivery.since, delivery.unattended) == (1, world.now, 3600.0)
    back = world.now
    delivery = world.play(delivery, until=lambda one: one.stage == 2)
    assert world.now - back >= 60
    assert delivery.result is None


def test_after_a_time_in_which_nobody_looked_the_deadline_comes_first():
    world, delivery = stage(more={"deadline": "1h"})
    delivery = world.play(delivery, until=lambda one: one.stage == 1)
    world.pass_time(4000)
    delivery, _ = world.round(delivery)
    assert delivery.reason.startswith("not done within the deadline of 1h")
    assert world.play(delivery).result == "aborted"


def test_a_candidate_of_which_nothing_is_ready_any_more_gets_no_requests():
    world, delivery = stage()
    delivery = world.play(delivery, until=lambda one: one.stage == 1 and one.part == "wait")
    world.nature("new").never_ready = True
    end = world.play(delivery)
    assert end.reason == "no replica of new is ready any more, and requests go there"


def test_so_many_deaths_as_are_allowed_are_replaced():
    world, delivery = stage(more={"max_deaths": 1})
    delivery = world.play(delivery, until=lambda one: one.stage == 3 and one.part == "wait")
    world.replicas[-1].dead = "exit code 1"
    delivery, _ = world.round(delivery)
    end = world.play(delivery)
    assert (end.result, len(end.died)) == ("delivered", 1)


def test_status_says_where_it_stands_what_it_waits_for_and_how_each_metric_fares():
    world, delivery = stage()
    delivery = world.play(delivery, until=lambda one: bool(one.window and one.window.looks == 3))
    assert explain(delivery, world.look()) == (
        "step 2 of 4, analyse 1m: it looks for 29s more.",
        "The candidate new has 5 % of the requests; ready replicas: 1 of new, 3 of old.",
        "It aborts when it is not done in 23h59m22s.",
        "error_rate: pass, 0 % of 60 requests failed, at most 1 % may.",
        "p99: pass, 1.99 ms and 1.99 ms of the stable version, 1.00 times as long (0.97 beyond chance), at most 1.2 times.",
        "`mlops rollout abort` goes back to the stable version at any time.",
    )


def test_a_stable_version_of_which_nothing_gets_ready_blocks_steps_says_so_and_promote_full_goes_on_without_it():
    world, delivery = stage(natures={"old": Nature(never_ready=True)})
    delivery = world.play(delivery, until=lambda one: one.part == "route")
    assert explain(delivery, world.look())[0].startswith(
        "step 1 of 4, weight 5: nothing of old is ready, which is to answer the rest"
    )
    world.wishes.append(Wish(1, "promote-full"))
    assert world.play(delivery).result == "delivered"
