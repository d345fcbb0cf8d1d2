"""Distances between two distributions that were counted, and how much of one chance explains.

The total variation distance is half the sum of differences of shares. Two samples of one distribution are some way apart, too: by
E|p - P| <= sqrt(P(1-P)/n) for each bucket, and no further beyond that than McDiarmid's inequality (1989) allows, since one more answer
moves the distance by 1/n at most.
"""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Distance(NamedTuple):
    """A distance from 0 to 1, and what is left of it without what chance may have added."""

    value: float
    low: float


def total_variation(first: Mapping[str, int], second: Mapping[str, int], alpha: float = 0.05) -> Distance:
    """Return the distance of two counts by bucket, each of at least one; the true one is above `low` but once in 1/alpha times."""
    ones, twos = sum(first.values()), sum(second.values())
    value, chance = 0.0, 0.0
    for bucket in sorted(first.keys() | second.keys()):
        one, two = first.get(bucket, 0), second.get(bucket, 0)
        value += abs(one / ones - two / twos) / 2
        pooled = (one + two) / (ones + twos)
        chance += sqrt(pooled * (1 - pooled) * (1 / ones + 1 / twos)) / 2
    beyond = sqrt((1 / ones + 1 / twos) * log(1 / alpha) / 2)
    return Distance(value, max(0.0, value - chance - beyond))
