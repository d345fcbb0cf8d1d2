"""Quantiles of histograms, against the samples that were counted, published ranks and Prometheus' example."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from mlops.statistics.histograms import Histogram, quantile, ratio

ONES = Histogram(tuple(range(1, 101)), (*[1] * 100, 0))  # the k-th of 100 values lies at k


def test_the_interval_of_a_median_has_the_published_ranks():
    """Conover's table for n = 100, 95 %: the 40th to the 61st value."""
    found = quantile(ONES, 0.5)
    assert (found.value, found.low, found.high) == (50, 40, 61)


def test_within_a_bucket_values_lie_evenly():
    """90 of 100 up to 0.1 s, 10 in (0.1, 0.2]: the 95th is in the middle of it."""
    assert quantile(Histogram((0.1, 0.2), (90, 10, 0)), 0.95).value == pytest.approx(0.15)


def test_above_all_bounds_nothing_is_known():
    found = quantile(Histogram((1.0,), (50, 50)), 0.99)
    assert (found.value, found.high) == (inf, inf)
    assert ratio(Histogram((1.0,), (50, 50)), Histogram((1.0,), (50, 50)), 0.99).value == 1.0


def test_the_interval_holds_the_true_quantile_as_often_as_it_says():
    dice, edges, held = np.random.default_rng(7), np.linspace(0.05, 8, 160), 0
    for _ in range(400):
        counts = np.bincount(np.searchsorted(edges, dice.exponential(size=500)), minlength=161)
        found = quantile(Histogram(tuple(edges), tuple(counts.tolist())), 0.9)
        held += found.low <= -np.log(0.1) <= found.high
    assert 0.93 <= held / 400 <= 1.0


def test_three_times_slower_is_seen_and_alike_is_not():
    dice, edges = np.random.default_rng(1), (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)

    def counted(scale):
        seconds = dice.gamma(4, scale / 4, size=2000)
        return Histogram(edges, tuple(np.bincount(np.searchsorted(edges, seconds), minlength=9).tolist()))

    slow, quick, other = counted(0.006), counted(0.002), counted(0.002)
    assert ratio(slow, quick, 0.99).low > 1.2
    assert ratio(other, quick, 0.99).low < 1.2
