"""Histograms: quantiles of what was counted into buckets, with what chance makes of them, and how two compare.

Within a bucket values are taken to lie evenly, as Prometheus' `histogram_quantile` does; the interval is that of order statistics
(Conover, Practical Nonparametric Statistics, section 3.2): ranks from the binomial distribution, looked up in the buckets.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Histogram(NamedTuple):
    """`bounds`: upper ends of the buckets, ascending, positive; `counts`: one more than bounds, the last above all bounds."""

    bounds: Sequence[float]
    counts: Sequence[int]

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts)


class Estimate(NamedTuple):
    """A value with its two-sided interval."""

    value: float
    low: float
    high: float


def quantile(histogram: Histogram, q: float, alpha: float = 0.05) -> Estimate:
    """Return the quantile `q`, 0 < q < 1, of at least one value; infinity where it lies above all bounds."""
    from scipy.special import bdtr

    total = histogram.total
    low = _first(lambda rank: float(bdtr(rank, total, q)) >= alpha / 2, total)
    high = _first(lambda rank: float(bdtr(rank, total, q)) >= 1 - alpha / 2, total) + 1
    return Estimate(_at(histogram, q * total), _at(histogram, max(low, 0)), _at(histogram, high))


def _first(holds: Callable[[int], bool], most: int) -> int:
    """Return the least rank from 0 to `most` from which on it holds."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def ratio(first: Histogram, second: Histogram, q: float, alpha: float = 0.05) -> Estimate:
    """Return quantile of `first` / quantile of `second`; the interval has at least 1 - alpha, half of alpha for each side."""
    one, two = quantile(first, q, alpha / 2), quantile(second, q, alpha / 2)
    return Estimate(_divided(one.value, two.value), _divided(one.low, two.high), _divided(one.high, two.low))


def _divided(above: float, below: float) -> float:
    """Return the ratio; where both lie above all bounds nothing is known, which is 1 for the value and no finding in an interval."""
    if above == below == inf:
        return 1.0
    return inf if not below else above / below


def _at(histogram: Histogram, rank: float) -> float:
    """Return the value of this rank, from 0 to the total."""
    if rank > histogram.total:
        return inf
    ends = (0.0, *histogram.bounds, inf)
    reached = list(accumulate(histogram.counts, initial=0))
    for index, (before, after) in enumerate(pairwise(reached)):
        if rank <= after and after > before:
            low, high = ends[index], ends[index + 1]
            return inf if high == inf else low + (high - low) * max(0.0, rank - before) / (after - before)
    return inf
