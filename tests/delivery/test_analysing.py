"""What one reading says: pass, fail, inconclusive, error, each with its reason."""

from __future__ import annotations

from math import nan

import pytest

from mlops.delivery.analyses import Analysis
from mlops.delivery.analysing import alpha_of, judge
from mlops.delivery.deliveries import Durations, Reading, Tally


def found(analysis, look=1, **reading):
    """Return the one finding of the analysis as (outcome, words)."""
    read = {"window": 1, "number": look, "since": 0.0, "until": 60.0, **reading}
    ((_, outcome, words),) = judge(Analysis.model_validate(analysis), Reading(**read), look)
    return outcome, words


def tally(requests, failed=0, *, bucket=0, predictions=None):
    counts = [0] * 4
    counts[bucket] = requests
    return Tally(requests, failed, requests, failed, Durations((0.01, 0.02, 0.04), tuple(counts)), predictions or {})


@pytest.mark.parametrize(
    ("requests", "failed", "outcome"),
    [(1000, 10, "pass"), (1000, 11, "inconclusive"), (1000, 30, "fail"), (49, 49, "inconclusive")],
)
def test_a_limit_fails_beyond_chance_passes_where_kept_and_is_inconclusive_between(requests, failed, outcome):
    assert found({"error_rate": {"max": 0.01}}, candidate=tally(requests, failed))[0] == outcome


def test_the_reason_has_the_measured_value_and_the_limit():
    assert found({"error_rate": {"max": 0.01}}, candidate=tally(400, 20)) == (
        "fail",
        "5 % of 400 requests failed, at most 1 % may",
    )


@pytest.mark.parametrize(
    ("policy", "outcome"), [({}, "inconclusive"), ({"no_data": "pass"}, "pass"), ({"no_data": "fail"}, "fail")]
)
@pytest.mark.parametrize(
    ("metric", "reading"),
    [
        ({"error_rate": {"max": 0.01}}, {}),
        ({"p99": {"max": 0.1}}, {}),
        ({"agreement": {"min": 0.9}}, {}),
        ({"prediction_distance": {"max": 0.1}}, {}),
        ({"queries": {"a": {"url": "http://p", "query": "up", "min": 1}}}, {}),
        ({"queries": {"a": {"url": "http://p", "query": "up", "min": 1}}}, {"values": {"queries.a": nan}}),
    ],
)
def test_no_traffic_no_answer_and_nan_are_what_the_spec_says_and_inconclusive_where_it_is_silent(
    metric, reading, policy, outcome
):
    ((name, inner),) = metric.items()
    inner = {"a": {**inner["a"], **policy}} if name == "queries" else {**inner, **policy}
    assert found({name: inner}, **reading)[0] == outcome


@pytest.mark.parametrize(("failed", "outcome"), [(5, "pass"), (12, "inconclusive"), (40, "fail")])
def test_errors_are_compared_with_the_stable_version_of_the_same_time(failed, outcome):
    """Stable fails 0.5 %, 0.5 points more are allowed: 1 % of 1,000 is within, 4 % is not, 1.2 % may be chance."""
    assert found({"error_rate": {"max_worse": 0.005}}, candidate=tally(1000, failed), stable=tally(4000, 20))[0] == outcome


def test_both_versions_failing_alike_is_no_fault_of_the_candidate():
    assert found({"error_rate": {"max_worse": 0.005}}, candidate=tally(1000, 300), stable=tally(4000, 1200))[0] == "pass"


@pytest.mark.parametrize(("bucket", "outcome"), [(0, "pass"), (2, "fail")])
def test_a_quantile_is_compared_with_that_of_the_stable_version(bucket, outcome):
    assert found({"p99": {"max_ratio": 1.2}}, candidate=tally(500, bucket=bucket), stable=tally(5000))[0] == outcome


@pytest.mark.parametrize(("limit", "outcome"), [("0.05s", "pass"), ("0.01s", "fail")])
def test_a_quantile_has_a_limit_of_its_own(limit, outcome):
    assert found({"p95": {"max": limit}}, candidate=tally(500, bucket=1))[0] == outcome


@pytest.mark.parametrize(("agreed", "outcome"), [(99, "pass"), (97, "inconclusive"), (80, "fail")])
def test_mirrored_answers_must_agree(agreed, outcome):
    assert found({"agreement": {"min": 0.98}}, agreed=agreed, differed=100 - agreed)[0] == outcome


@pytest.mark.parametrize(("yes", "outcome"), [(500, "pass"), (630, "inconclusive"), (950, "fail")])
def test_predictions_must_not_be_further_apart_than_is_allowed_and_chance_explains(yes, outcome):
    pair = [tally(1000, predictions={"yes": count, "no": 1000 - count}) for count in (yes, 500)]
    assert found({"prediction_distance": {"max": 0.1}}, candidate=pair[0], stable=pair[1])[0] == outcome


@pytest.mark.parametrize(("value", "outcome"), [(1.0, "pass"), (3.0, "pass"), (0.9, "fail"), (3.1, "fail")])
def test_a_number_is_compared_as_it_is_both_ends_included(value, outcome):
    assert found({"commands": {"a": {"command": ["x"], "min": 1, "max": 3}}}, values={"commands.a": value})[0] == outcome


def test_what_could_not_be_measured_is_an_error_of_the_metrics_that_need_it_only():
    analysis = Analysis.model_validate({"error_rate": {"max": 0.1}, "commands": {"a": {"command": ["x"], "min": 1}}})
    reading = Reading(1, 1, 0, 60, candidate=tally(100), values={"commands.a": 1.0}, troubles={"server": "no answer"})
    assert [one[:2] for one in judge(analysis, reading, 1)] == [("error_rate", "error"), ("commands.a", "pass")]


def test_however_often_one_looks_false_alarms_add_up_to_five_in_a_hundred():
    assert sum(map(alpha_of, range(1, 100_000))) == pytest.approx(0.05, abs=1e-6)
