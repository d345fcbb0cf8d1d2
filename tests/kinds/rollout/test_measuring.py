"""Measuring: counters of servers and proxy become readings; the doors are dictionaries."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mlops.core.errors import Unavailable
from mlops.core.fronts import Traffic
from mlops.delivery.actions import Measure
from mlops.delivery.analyses import Command, Query
from mlops.kinds.rollout.measuring import Meter, parse
from mlops.serving.metrics import Exposition
from mlops.serving.repositories import Version

EXTRA = """\
mlops_predictions_total{model="credit",version="v1",track="stable",output="predict",bucket="own"} 7
mlops_mirrored_requests_total{model="credit",version="v1",track="stable",outcome="agreed"} 5
"""


def exposition(answers, extra=""):
    """Return the metrics of a real server that answered so: (status, seconds)."""
    version = Version("credit", "v1", Path())
    for status, seconds in answers:
        version.counts.answered(status, seconds)
    return Exposition("stable", lambda: [version], lambda: True).text().decode() + extra


class Outside:
    """Two servers, a proxy, Prometheus and a command; `at` is the time."""

    def __init__(self):
        self.at = 100.0
        self.metrics = {"a:1": exposition([]), "b:1": exposition([])}
        self.traffic = {"stable": Traffic(10, 0), "candidate": Traffic(5, 1)}
        self.body = b'{"data": {"resultType": "vector", "result": [{"value": [1, "0.25"]}]}}'
        self.urls, self.environments = [], []
        front = SimpleNamespace(rollout="rollout.credit", servers={"stable": ("a:1",), "candidate": ("b:1",)})
        self.site = SimpleNamespace(engine=None, front=front, name={"stable": "v1", "candidate": "v2"}.get)
        self.containers = SimpleNamespace(ask=self.ask)
        self.proxies = SimpleNamespace(look=lambda *_: SimpleNamespace(traffic=self.traffic))
        self.web = SimpleNamespace(fetch=self.fetch)
        self.code = SimpleNamespace(answer=self.answer)
        self.meter = Meter(self.site, self, lambda: self.at)

    def ask(self, _engine, _rollout, server, call):
        assert call == ("GET", "/metrics", None)
        if self.metrics[server] is None:
            message = "it does not answer"
            raise Unavailable(message)
        return 200, self.metrics[server].encode()

    def fetch(self, url, _seconds):
        self.urls.append(url)
        return self.body

    def answer(self, _argv, environment, _seconds):
        self.environments.append(environment)
        return " 3.5\n"

    def measure(self, number, window=1, **more):
        return self.meter.measure(Measure(window, number, server=True, proxy=True, **more))


def test_a_reading_has_what_was_counted_since_the_first():
    outside = Outside()
    first = outside.measure(0)
    assert (first.since, first.until, first.candidate.requests) == (100.0, 100.0, 0)
    outside.at = 130.0
    outside.metrics["b:1"] = exposition([(200, 0.0004), (200, 0.002), (500, 0.3), (400, 20.0)])
    outside.metrics["a:1"] = exposition([(200, 0.002)], EXTRA)
    outside.traffic = {"stable": Traffic(40, 0), "candidate": Traffic(9, 2)}
    reading = outside.measure(1)
    assert (reading.since, reading.until, reading.troubles) == (100.0, 130.0, {})
    candidate = reading.candidate
    assert (candidate.requests, candidate.failed, candidate.proxied, candidate.proxy_failed) == (4, 1, 4, 1)
    assert len(candidate.durations.counts) == len(candidate.durations.bounds) + 1
    by_bound = dict(zip([*candidate.durations.bounds, "more"], candidate.durations.counts, strict=True))
    assert {bound: count for bound, count in by_bound.items() if count} == {0.0005: 1, 0.0025: 1, 0.5: 1, "more": 1}
    assert (reading.stable.requests, reading.stable.predictions, reading.agreed, reading.differed) == (
        1,
        {"predict=own": 7},
        5,
        0,
    )


def test_a_replica_that_was_started_again_counts_from_zero():
    outside = Outside()
    outside.metrics["b:1"] = exposition([(200, 0.1)] * 9)
    outside.traffic = {"candidate": Traffic(50, 5)}
    outside.measure(0)
    outside.metrics["b:1"] = exposition([(200, 0.1)] * 2)
    outside.traffic = {"candidate": Traffic(3, 1)}
    reading = outside.measure(1)
    assert (reading.candidate.requests, reading.candidate.proxied, reading.candidate.proxy_failed) == (2, 3, 1)


def test_a_replica_that_came_later_counts_from_zero():
    outside = Outside()
    outside.measure(0)
    outside.site.front.servers["candidate"] = ("b:1", "c:1")
    outside.metrics["c:1"] = exposition([(200, 0.1)] * 3)
    assert outside.measure(1).candidate.requests == 3


def test_another_window_begins_anew():
    outside = Outside()
    outside.measure(0)
    outside.metrics["b:1"] = exposition([(200, 0.1)])
    reading = outside.measure(3, window=2)
    assert (reading.since, reading.until, reading.candidate.requests) == (100.0, 100.0, 0)


def test_what_does_not_answer_is_a_trouble_and_no_error():
    outside = Outside()
    outside.measure(0)
    outside.metrics["b:1"] = None
    assert outside.measure(1).troubles == {"server": "it does not answer"}
    outside.metrics["b:1"] = "<html>"
    assert "b:1 has no metrics that can be read" in outside.measure(2).troubles["server"]


def test_queries_and_commands_are_told_the_versions():
    outside = Outside()
    query = Query(url="http://prometheus:9090/", query='refunds{version="{version}"} / refunds{version="{stable}"}', max=1)
    asked = {"queries": {"refunds": query}, "commands": {"cost": Command(command=("cost",), max=9)}}
    outside.measure(0, **asked)
    reading = outside.measure(1, **asked)
    assert reading.values == {"queries.refunds": 0.25, "commands.cost": 3.5}
    assert outside.urls[-1].startswith("http://prometheus:9090/api/v1/query?query=refunds%7Bversion%3D%22v2%22%7D")
    assert outside.environments[-1] == {"MLOPS_VERSION": "v2", "MLOPS_STABLE": "v1"}


@pytest.mark.parametrize(
    ("body", "value", "trouble"),
    [
        (b'{"data": {"resultType": "scalar", "result": [1, "NaN"]}}', "nan", None),
        (b'{"data": {"resultType": "vector", "result": []}}', "None", None),
        (
            b'{"data": {"resultType": "vector", "result": [{"value": [1, "1"]}, {"value": [1, "2"]}]}}',
            None,
            "2 series; aggregate",
        ),
        (b"<html>", None, "it answers no number"),
        (b'{"status": "error"}', None, "no answer of Prometheus"),
    ],
)
def test_what_prometheus_may_answer(body, value, trouble):
    outside = Outside()
    outside.body = body
    asked = {"queries": {"refunds": Query(url="http://p:9090", query="x", max=1)}}
    outside.measure(0, **asked)
    reading = outside.measure(1, **asked)
    assert str(reading.values.get("queries.refunds", "absent")) == (value or "absent")
    assert trouble is None or trouble in reading.troubles["queries.refunds"]


def test_servers_that_do_not_tell_of_predictions_are_no_trouble():
    assert parse(exposition([(200, 0.1)])).predictions.total() == 0
