"""Analysing: from one reading to a finding for each metric: pass, fail, inconclusive or error, with the reason in words.

A limit on what was counted fails only where chance does not explain it, passes where the measured value keeps it, and is inconclusive in
between or with fewer than `min_samples` requests. Looking often finds chance sooner or later, so look k of a window gets
alpha / (k (k + 1)) of `proportions.ALPHA`, which adds up to alpha however often one looks.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from mlops.delivery.analyses import QUANTILES, Agreement, ErrorRate, Latency, Number, PredictionDistance
from mlops.delivery.durations import written
from mlops.statistics import distances, histograms, proportions
from mlops.statistics.histograms import Histogram
from mlops.statistics.proportions import Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.analyses import Analysis, Metric
    from mlops.delivery.deliveries import Durations, Outcome, Reading, Tally

_WORST: tuple[Outcome, ...] = ("fail", "error", "inconclusive", "pass")
_PROXY = "proxy_error_rate"


class Judgement(NamedTuple):
    """How one limit fared."""

    outcome: Outcome
    words: str


class Finding(NamedTuple):
    """How a metric fared in one look: the worst of its limits."""

    metric: str
    outcome: Outcome
    words: str


def alpha_of(look: int) -> float:
    """Return the probability of a false alarm that look `look`, from 1, may have."""
    return proportions.ALPHA / (look * (look + 1))


def judge(analysis: Analysis, reading: Reading, look: int) -> tuple[Finding, ...]:
    """Return a finding for each metric of the analysis."""
    return tuple(_found(name, metric, reading, alpha_of(look)) for name, metric in analysis.metrics().items())


def _found(name: str, metric: Metric, reading: Reading, alpha: float) -> Finding:
    source = "proxy" if name == _PROXY else "server"
    trouble = reading.troubles.get(name) or ("" if isinstance(metric, Number) else reading.troubles.get(source, ""))
    if trouble:
        return Finding(name, "error", trouble)
    judged = min(_judged(name, metric, reading, alpha), key=lambda one: _WORST.index(one.outcome))
    return Finding(name, judged.outcome, judged.words)


def _judged(name: str, metric: Metric, reading: Reading, alpha: float) -> Iterator[Judgement]:
    if isinstance(metric, ErrorRate):
        yield from _errors(metric, _failed(name, reading.candidate), _failed(name, reading.stable), alpha)
    elif isinstance(metric, Latency):
        yield from _seconds(metric, QUANTILES[name], reading, alpha)
    elif isinstance(metric, Agreement):
        yield _agreed(metric, reading, alpha)
    elif isinstance(metric, PredictionDistance):
        yield _apart(metric, reading, alpha)
    elif isinstance(metric, Number):
        yield _number(metric, reading.values.get(name))


def _failed(name: str, tally: Tally) -> Share:
    return Share(tally.proxy_failed, tally.proxied) if name == _PROXY else Share(tally.failed, tally.requests)


def _too_few(metric: Metric, **samples: int) -> Judgement | None:
    """Return what no or few requests count as, or None where there are enough on every side."""
    for side, count in samples.items():
        if not count:
            return Judgement(metric.no_data, f"no requests at the {side}")
        if count < metric.min_samples:
            return Judgement("inconclusive", f"{count} requests at the {side}, and {metric.min_samples} are wanted")
    return None


def _between(is_within: bool, p: float, alpha: float, words: str) -> Judgement:  # noqa: FBT001 - read with the words beside it
    if p <= alpha:
        return Judgement("fail", words)
    return Judgement("pass", words) if is_within else Judgement("inconclusive", f"{words}, which may be chance")


def _errors(metric: ErrorRate, candidate: Share, stable: Share, alpha: float) -> Iterator[Judgement]:
    few = _too_few(metric, candidate=candidate.total)
    if few:
        yield few
        return
    said = f"{_percent(candidate.value)} of {candidate.total} requests failed"
    if metric.max is not None:
        p = proportions.above(candidate, metric.max)
        yield _between(candidate.value <= metric.max, p, alpha, f"{said}, at most {_percent(metric.max)} may")
    if metric.max_worse is not None:
        yield _too_few(metric, stable=stable.total) or _worse(metric.max_worse, candidate, stable, alpha)


def _worse(most: float, candidate: Share, stable: Share, alpha: float) -> Judgement:
    low, high = (f"{100 * end:+.2g}" for end in proportions.difference(candidate, stable))
    words = (
        f"{_percent(candidate.value)} of {candidate.total} requests failed and {_percent(stable.value)} of the stable version's "
        f"{stable.total} ({low} to {high} points), at most {100 * most:g} points more may"
    )
    return _between(candidate.value - stable.value <= most, proportions.exceeds(candidate, stable, most), alpha, words)


def _seconds(metric: Latency, q: float, reading: Reading, alpha: float) -> Iterator[Judgement]:
    candidate, stable = _histogram(reading.candidate.durations), _histogram(reading.stable.durations)
    few = _too_few(metric, candidate=candidate.total)
    if few:
        yield few
        return
    if metric.max is not None:
        found = histograms.quantile(candidate, q, 2 * alpha)  # two-sided, and one side matters
        words = f"{_at(found.value, candidate)} of {candidate.total} requests, at most {written(metric.max)}"
        yield _between(found.value <= metric.max, 0.0 if found.low > metric.max else 1.0, alpha, words)
    if metric.max_ratio is not None:
        yield _too_few(metric, stable=stable.total) or _slower(metric.max_ratio, q, (candidate, stable), alpha)


def _slower(most: float, q: float, pair: tuple[Histogram, Histogram], alpha: float) -> Judgement:
    found = histograms.ratio(*pair, q, 2 * alpha)
    own, other = (_at(histograms.quantile(one, q).value, one) for one in pair)
    words = f"{own} and {other} of the stable version, {found.value:.2f} times as long ({found.low:.2f} beyond chance), at most {most:g} times"
    return _between(found.value <= most, 0.0 if found.low > most else 1.0, alpha, words)


def _agreed(metric: Agreement, reading: Reading, alpha: float) -> Judgement:
    least = metric.min or 0.0
    few = _too_few(metric, mirror=reading.agreed + reading.differed)
    if few:
        return few
    share = Share(reading.agreed, reading.agreed + reading.differed)
    words = f"{_percent(share.value)} of {share.total} mirrored requests were answered alike, at least {_percent(least)} must"
    return _between(share.value >= least, proportions.below(share, least), alpha, words)


def _apart(metric: PredictionDistance, reading: Reading, alpha: float) -> Judgement:
    most = metric.max or 0.0
    sizes = [sum(tally.predictions.values()) for tally in (reading.candidate, reading.stable)]
    few = _too_few(metric, candidate=sizes[0], stable=sizes[1])
    if few:
        return few
    found = distances.total_variation(reading.candidate.predictions, reading.stable.predictions, alpha)
    words = f"predictions are {found.value:.3f} apart over {sizes[0]} and {sizes[1]} answers ({found.low:.3f} beyond chance), at most {most:g}"
    return _between(found.value <= most, 0.0 if found.low > most else 1.0, alpha, words)


def _number(metric: Number, value: float | None) -> Judgement:
    if value is None or isnan(value):
        return Judgement(metric.no_data, "no answer" if value is None else "the answer is NaN")
    least = metric.min is None or value >= metric.min
    most = metric.max is None or value <= metric.max
    limits = (
        f"at least {metric.min:g}" if metric.min is not None else "",
        f"at most {metric.max:g}" if metric.max is not None else "",
    )
    return Judgement(
        "pass" if least and most else "fail", f"{value:g}, wanted {' and '.join(limit for limit in limits if limit)}"
    )


def _histogram(durations: Durations) -> Histogram:
    return Histogram(durations.bounds, durations.counts)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _at(seconds: float, histogram: Histogram) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < float("inf") else f"over {written(histogram.bounds[-1])}"
