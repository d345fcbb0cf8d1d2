"""How Prometheus reads what one replica counts: each family once, with a sample for each version of each model.

Names and labels are made up when `/metrics` is read. Beside ours (`mlops_*`) stand MLServer's (handlers/dataplane.py) and KServe's
(python/kserve/kserve/metrics.py) names over the same counts, so that existing dashboards work. Every series stands at zero from the moment
its version is known, because `rate()` needs a first point.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mlops.serving.answers import GRPC_CODES
from mlops.serving.counts import PHASES, Histogram
from mlops.serving.repositories import State, Version

_Rows = Sequence[tuple[tuple[str, ...], Version]]
_LABELS = ("model", "version", "track")
_KSERVE = ("model_name", "version", "track")
_GRPC = ("grpc_type", "grpc_service", "grpc_method", "grpc_code")
_UNARY = ("UNARY", "inference.GRPCInferenceService", "ModelInfer")


class Exposition(Collector):
    """The text of `/metrics` over `versions`, which are asked for at each reading, as `is_ready` is."""

    def __init__(self, track: str, versions: Callable[[], Iterable[Version]], is_ready: Callable[[], bool]) -> None:
        """Register the collector."""
        self._track = track
        self._versions = versions
        self._is_ready = is_ready
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return what Prometheus scrapes, format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client."""
        rows = [((each.name, each.version, self._track), each) for each in self._versions()]
        for _, each in rows:
            each.counts.fold()
        yield from self._ours(rows)
        yield from _mlserver(rows)
        for phase in PHASES:
            durations = [(labels, each.counts.phases[phase]) for labels, each in rows]
            yield _histogram(f"request_{phase}_seconds", f"KServe: seconds in {phase}.", durations, _KSERVE)
        nothing = Histogram()
        explained = [(labels, nothing) for labels, _ in rows]
        yield _histogram("request_explain_seconds", "KServe: always zero, nothing is explained here.", explained, _KSERVE)

    def _ours(self, rows: _Rows) -> Iterator[Metric]:
        yield _counter("mlops_requests", "Requests to infer, by status code.", _by_code(rows), (*_LABELS, "code"))
        yield _histogram("mlops_request_duration_seconds", "Seconds from the request's head to its answer.", _durations(rows))
        predicting = [(labels, each.counts.phases["predict"]) for labels, each in rows]
        yield _histogram("mlops_predict_duration_seconds", "Seconds inside the model.", predicting)
        yield _counter("mlops_rows", "Rows that were predicted.", [(labels, each.counts.rows) for labels, each in rows])
        yield from _queues(rows)
        yield _counter(
            "mlops_predictions", "Answers by output and by class or range.", _predictions(rows), (*_LABELS, "output", "bucket")
        )
        outcomes = (*_LABELS, "outcome")
        mirrored = [((*labels, name), count) for labels, each in rows for name, count in each.counts.mirrored.items()]
        yield _counter("mlops_mirrored_requests", "Requests that the mirror drew, by what came of them.", mirrored, outcomes)
        payloads = [((*labels, name), count) for labels, each in rows for name, count in each.counts.payloads.items()]
        yield _counter("mlops_payloads", "Requests that the payload log drew, by what came of them.", payloads, outcomes)
        yield _gauge("mlops_requests_in_progress", "Requests to infer that are not answered yet.", _in_progress(rows))
        is_ready = self._is_ready()
        ready = [(labels, int(is_ready and each.state is State.READY)) for labels, each in rows]
        yield _gauge("mlops_ready", "1 while the replica is ready to answer with this version, else 0.", ready)


def _queues(rows: _Rows) -> Iterator[Metric]:
    queues = [(labels, each.counts.queue) for labels, each in rows]
    yield _gauge("mlops_queue_rows", "Rows that wait for a slow model.", [(labels, queue.rows) for labels, queue in queues])
    waits = [(labels, queue.waits) for labels, queue in queues]
    yield _histogram("mlops_queue_duration_seconds", "Seconds that a request waited for a slow model.", waits)
    batches = [(labels, queue.batches) for labels, queue in queues]
    yield _histogram("mlops_batch_rows", "Rows that a slow model was asked at once.", batches)


def _mlserver(rows: _Rows) -> Iterator[Metric]:
    successes = [(labels, each.counts.successes) for labels, each in rows]
    failures = [(labels, each.counts.failures) for labels, each in rows]
    yield _counter("model_infer_request_success", "MLServer: successful requests to infer.", successes)
    yield _counter("model_infer_request_failure", "MLServer: failed requests to infer.", failures)
    summary = SummaryMetricFamily("model_infer_request_duration", "MLServer: seconds for a request to infer.", labels=_LABELS)
    for labels, durations in _durations(rows):
        summary.add_metric(labels, durations.count, durations.total)
    yield summary
    batches = [(labels, each.counts.queue.batches) for labels, each in rows]
    yield _histogram("batch_request_queue", "MLServer: rows that a slow model was asked at once.", batches)
    nothing = Histogram()
    parallel = [(labels, nothing) for labels, _ in rows]
    yield _histogram("parallel_request_queue", "MLServer: always zero, no queue leads to another process here.", parallel)
    yield _counter("grpc_server_handled", "MLServer: calls by gRPC.", _by_grpc_code(rows), (*_LABELS, *_GRPC))
    yield _counter("rest_server_requests", "MLServer: requests by REST.", _by_rest_code(rows), (*_LABELS, "status_code"))
    yield _histogram("rest_server_requests_duration_seconds", "MLServer: seconds for a request.", _durations(rows))
    yield _gauge("rest_server_requests_in_progress", "MLServer: requests being answered.", _in_progress(rows))


def _predictions(rows: _Rows) -> list[tuple[tuple[str, ...], int]]:
    return [
        ((*labels, output, bucket), count) for labels, each in rows for output, bucket, count in each.counts.predictions.samples()
    ]


def _by_code(rows: _Rows) -> list[tuple[tuple[str, ...], int]]:
    return [((*labels, str(code)), count) for labels, each in rows for code, count in each.counts.codes.items()]


def _by_rest_code(rows: _Rows) -> list[tuple[tuple[str, ...], int]]:
    return [
        ((*labels, str(code)), count - each.counts.calls.get(code, 0))
        for labels, each in rows
        for code, count in each.counts.codes.items()
    ]


def _by_grpc_code(rows: _Rows) -> list[tuple[tuple[str, ...], int]]:
    samples = []
    for labels, each in rows:
        names: dict[str, int] = {}
        for status, count in each.counts.calls.items():
            name = GRPC_CODES.get(status, "INTERNAL")
            names[name] = names.get(name, 0) + count
        samples += [((*labels, *_UNARY, name), count) for name, count in names.items()]
    return samples


def _durations(rows: _Rows) -> list[tuple[tuple[str, ...], Histogram]]:
    return [(labels, each.counts.requests) for labels, each in rows]


def _in_progress(rows: _Rows) -> list[tuple[tuple[str, ...], int]]:
    return [(labels, each.in_progress) for labels, each in rows]


def _counter(name: str, documentation: str, samples: list[Any], labels: tuple[str, ...] = _LABELS) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _gauge(name: str, documentation: str, samples: list[Any]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=_LABELS)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(name: str, documentation: str, samples: list[Any], labels: tuple[str, ...] = _LABELS) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, durations in samples:
        family.add_metric(values, durations.cumulative(), durations.total)
    return family
