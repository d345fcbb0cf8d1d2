"""Counts and durations of one replica, and how Prometheus reads them.

Each request costs a few list increments; names and labels are made up when `/metrics` is read. Beside ours (`mlops_*`) stand MLServer's
(handlers/dataplane.py) and KServe's (python/kserve/kserve/metrics.py) names over the same counts, so that existing dashboards work. Every
series stands at zero from the start, because `rate()` needs a first point.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Seconds. One row takes 0.2 ms to 20 ms here; the wide end is for large batches and slow models.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Phase = Literal["preprocess", "predict", "postprocess"]
_FIRST_CODES = (200, 400, 500)
_FIRST_FAILURE = 400


class Durations:
    """A histogram over `BUCKETS`: counts, not cumulative, and the sum in seconds."""

    def __init__(self) -> None:
        """Start at zero."""
        self._counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many durations were added."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, count up to it) as Prometheus wants them."""
        running, result = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            running += count
            result.append((bound, float(running)))
        return result


class Metrics(Collector):
    """What one replica counts: `labels` are model, version and track."""

    def __init__(self, model: str, version: str, track: str) -> None:
        """Start every series at zero."""
        self._labels = {"model": model, "version": version, "track": track}
        self._kserve = {"model_name": model, "version": version, "track": track}
        self.codes = dict.fromkeys(_FIRST_CODES, 0)
        self.requests = Durations()
        self.phases: dict[Phase, Durations] = {"preprocess": Durations(), "predict": Durations(), "postprocess": Durations()}
        self.rows = 0
        self.in_progress = 0
        self.is_ready = False
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def answered(self, code: int, seconds: float) -> None:
        """Count one request to infer that was answered with `code` after `seconds`."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.requests.add(seconds)

    def predicted(self, rows: int, preprocess: float, predict: float, postprocess: float) -> None:
        """Count the rows that the model answered and the seconds of each phase."""
        self.rows += rows
        phases = self.phases
        phases["preprocess"].add(preprocess)
        phases["predict"].add(predict)
        phases["postprocess"].add(postprocess)

    def exposition(self) -> bytes:
        """Return the text that Prometheus scrapes, format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client."""
        yield from self._ours()
        yield from self._mlserver()
        for phase, durations in self.phases.items():
            yield _histogram(f"request_{phase}_seconds", f"KServe: seconds in {phase}.", self._kserve, durations)

    def _ours(self) -> Iterator[Metric]:
        names = list(self._labels)
        values = list(self._labels.values())
        requests = CounterMetricFamily("mlops_requests", "Requests to infer, by status code.", labels=[*names, "code"])
        for code, count in self.codes.items():
            requests.add_metric([*values, str(code)], count)
        yield requests
        yield _histogram(
            "mlops_request_duration_seconds", "Seconds from the request's head to its answer.", self._labels, self.requests
        )
        predicting = self.phases["predict"]
        yield _histogram("mlops_predict_duration_seconds", "Seconds inside the model.", self._labels, predicting)
        rows = CounterMetricFamily("mlops_rows", "Rows that were predicted.", labels=names)
        rows.add_metric(values, self.rows)
        yield rows
        for name, documentation, value in (
            ("mlops_requests_in_progress", "Requests to infer that are not answered yet.", self.in_progress),
            ("mlops_ready", "1 while the replica is ready, else 0.", int(self.is_ready)),
        ):
            gauge = GaugeMetricFamily(name, documentation, labels=names)
            gauge.add_metric(values, value)
            yield gauge

    def _mlserver(self) -> Iterator[Metric]:
        names = list(self._labels)
        values = list(self._labels.values())
        failures = sum(count for code, count in self.codes.items() if code >= _FIRST_FAILURE)
        for name, documentation, count in (
            ("model_infer_request_success", "MLServer: successful requests to infer.", sum(self.codes.values()) - failures),
            ("model_infer_request_failure", "MLServer: failed requests to infer.", failures),
        ):
            counter = CounterMetricFamily(name, documentation, labels=names)
            counter.add_metric(values, count)
            yield counter
        duration = SummaryMetricFamily("model_infer_request_duration", "MLServer: seconds for a request to infer.", labels=names)
        duration.add_metric(values, self.requests.count, self.requests.total)
        yield duration
        rest = CounterMetricFamily("rest_server_requests", "MLServer: requests by REST.", labels=[*names, "status_code"])
        for code, count in self.codes.items():
            rest.add_metric([*values, str(code)], count)
        yield rest
        yield _histogram("rest_server_requests_duration_seconds", "MLServer: seconds for a request.", self._labels, self.requests)
        progress = GaugeMetricFamily("rest_server_requests_in_progress", "MLServer: requests being answered.", labels=names)
        progress.add_metric(values, self.in_progress)
        yield progress


def _histogram(name: str, documentation: str, labels: dict[str, str], durations: Durations) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, documentation, labels=list(labels))
    family.add_metric(list(labels.values()), durations.cumulative(), durations.total)
    return family
