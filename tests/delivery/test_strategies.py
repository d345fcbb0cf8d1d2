"""What a user may write under `strategy:`, and what is said of what they may not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mlops.composing.validating import validate
from mlops.delivery import checking
from mlops.delivery.deliveries import Traffic
from mlops.delivery.durations import written
from mlops.delivery.sizing import sizes
from mlops.delivery.stages import stages
from mlops.delivery.strategies import Step, Strategy

FIRST = {
    "canary": {
        "steps": [{"weight": 5}, {"analyse": "5m"}, {"weight": 50}, {"analyse": "5m"}],
        "analysis": {"error_rate": {"max": 0.01}, "p99": {"max_ratio": 1.2}},
    }
}


def wrong(data):
    """Return {path: summary} of what is said of `strategy: data`, by the spec or, where that is well, by the check."""
    strategy, found = validate(Strategy, data)
    return {problem.path: problem.summary for problem in (found or checking.check(strategy))}


def canary(*steps, **analysis):
    return {"canary": {"steps": list(steps), **({"analysis": analysis} if analysis else {})}}


def test_the_example_of_the_design_is_well():
    assert wrong(FIRST) == {}


@pytest.mark.parametrize("name", ["recreate", "rolling", "blue_green"])
def test_a_strategy_without_fields_is_well(name):
    assert wrong({name: {}}) == {}


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("0.5s", 0.5), (90, 90), ("1d1s", 86401)]
)
def test_durations_are_text_or_seconds(text, seconds):
    assert Step.model_validate({"pause": text}).pause == seconds


@pytest.mark.parametrize("text", ["", "5 m", "5", "m5", "5m3h", "-5m", "1e3s", "5min", -1, float("nan"), float("inf"), "999999d"])
def test_other_durations_are_refused(text):
    with pytest.raises(ValidationError):
        Step.model_validate({"analyse": text})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "0.5s"), (45, "45s"), (5400, "1h30m"), (86400, "1d"), (90061, "1d1h1m1s")]
)
def test_durations_are_told_as_they_are_written(seconds, text):
    assert written(seconds) == text


def test_every_problem_of_the_fields_is_told_at_once_with_its_place():
    data = canary({"weight": 5.123}, {"analyse": "5 m"}, {"weight": 2, "pause": 1}, {"wait": 1}, error_rate={})
    assert wrong(data) == {
        "canary.steps.0.weight": "5.123 is finer than a proxy can part traffic: two decimals at most",
        "canary.steps.1.analyse": "'5 m' is no duration: write 30s, 5m, 1h30m or 2d",
        "canary.steps.2": "a step has one field, and this one has `weight` and `pause`; the fields are weight, pause, analyse, header, mirror, scale, gate, hook",
        "canary.steps.3.wait": "unknown field 'wait'",
        "canary.analysis.error_rate": "the metric says nothing: give `max` or `max_worse`",
    }


def test_every_problem_between_the_fields_is_told_at_once_with_its_place():
    steps = (
        {"analyse": "5m"},
        {"weight": 50},
        {"weight": 5},
        {"analyse": "10s"},
        {"weight": 100},
        {"analyse": "1m"},
        {"pause": "2d"},
    )
    assert wrong(canary(*steps, p99={"max_ratio": 1.2})) == {
        "strategy.canary.deadline": "the delivery takes 2d6m40s at least, and its deadline is 1d",
        "strategy.canary.steps.2.weight": "5 comes after 50: weights must rise",
        "strategy.canary.steps.0.analyse": "the candidate has no traffic yet",
        "strategy.canary.steps.3.analyse": "10s is less than the interval of 30s: there would be no look",
        "strategy.canary.steps.5.analyse": "at weight 100 the stable version answers nothing that could be compared, as p99.max_ratio wants",
    }


@pytest.mark.parametrize(
    ("data", "path", "summary"),
    [
        ({"rolling": {}, "canary": {}}, "", "give one strategy"),
        ({"rolling": None}, "", "give one strategy"),
        (canary({"pause": "promoted"}), "strategy.canary.steps", "no step gives the candidate any traffic"),
        (canary({"weight": 5}, {"analyse": "5m"}), "strategy.canary.steps.1.analyse", "there is nothing to look at"),
        (canary({"weight": 5}, agreement={"min": 0.9}), "strategy.canary.analysis.agreement", "only mirrored requests"),
        ({"blue_green": {"steps": [{"weight": 50}]}}, "strategy.blue_green.steps.0.weight", "50 is a weight of a canary"),
        ({"shadow": {"steps": [{"pause": "5m"}]}}, "strategy.shadow.steps", "a shadow copies requests"),
        ({"rolling": {"deadline": "20s"}}, "strategy.rolling.deadline", "the delivery takes 30s at least"),
        (canary({"weight": 101}), "canary.steps.0.weight", "expected 100 or less, got 101"),
        (canary({"weight": 5}, interval="30s"), "canary.analysis", "the analysis has no metrics"),
        (canary({"weight": 5}, error_rate={"max": 0.1, "detect": 0.05}), "canary.analysis.error_rate", "`detect` 0.05 is within"),
        (canary({"weight": 5}, commands={"a": {"command": ["x"]}}), "canary.analysis.commands.a", "the metric says nothing"),
        (
            canary({"weight": 5}, commands={"a": {"command": ["x"], "min": 2, "max": 1}}),
            "canary.analysis.commands.a",
            "`min` 2 is above `max` 1",
        ),
        (canary({"gate": {"command": ["x"], "url": "http://x"}}), "canary.steps.0.gate", "give `command` or `url`"),
        (canary({"header": {"name": "x y"}}), "canary.steps.0.header.name", "expected text of the form"),
    ],
)
def test_what_cannot_be_is_told_where_it_is(data, path, summary):
    assert wrong(data)[path].startswith(summary)


def test_a_canary_has_as_many_replicas_as_its_weight_needs_and_all_at_100():
    steps = ({"pause": "1s"}, {"weight": 5}, {"weight": 34}, {"scale": 9}, {"weight": 50}, {"scale": "match"}, {"weight": 100})
    found = stages(Strategy.model_validate(canary(*steps)), 10)
    assert [one.candidate for one in found] == [1, 1, 4, 9, 9, 5, 10, 10]
    assert {one.stable for one in found} == {10}


def test_a_rolling_delivery_changes_a_batch_at_a_time():
    found = stages(Strategy.model_validate({"rolling": {"batch": 2}}), 5)
    assert [(one.candidate, one.traffic.weight, one.stable) for one in found] == [(2, 40.0, 3), (4, 80.0, 1), (5, 100.0, 1)]


def test_a_preview_that_is_scaled_down_is_whole_again_before_the_switch():
    found = stages(Strategy.model_validate({"blue_green": {"steps": [{"scale": 1}, {"pause": "1s"}, {"weight": 100}]}}), 4)
    assert [(one.candidate, one.traffic) for one in found] == [(1, Traffic())] * 2 + [(4, Traffic(100.0))] * 2


def test_the_plan_says_how_many_requests_it_takes():
    """1 % allowed and 2 % to be seen: 1,824 in one look, as any power calculator says."""
    assert sizes(Strategy.model_validate(FIRST))[0].startswith(
        "error_rate: to see 2 % where 1 % is allowed takes 1,824 requests at the candidate in one look, "
    )
    assert sizes(Strategy.model_validate({"rolling": {}})) == ()
