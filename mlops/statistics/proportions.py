"""Proportions: k of n, compared with a limit and with each other, and how many n it takes to see a difference.

Sources: exact binomial tail (Clopper and Pearson 1934); score test of a difference with a margin (Farrington and Manning, Statistics in
Medicine 9, 1990, formula of the restricted estimates in their appendix); interval of a difference (Newcombe, Statistics in Medicine 17,
1998, method 10); sample size (Fleiss, Statistical Methods for Rates and Proportions, unpooled normal form).
"""

from __future__ import annotations

from math import acos, ceil, copysign, cos, pi, sqrt
from typing import NamedTuple

ALPHA = 0.05
POWER = 0.8


class Share(NamedTuple):
    """`hits` of `total`, total at least 1."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.total


def above(share: Share, limit: float) -> float:
    """Return the p value of "the true share is at most `limit`": how often chance alone gives so many hits or more."""
    from scipy.special import bdtrc

    return 1.0 if share.hits == 0 else float(bdtrc(share.hits - 1, share.total, limit))


def below(share: Share, limit: float) -> float:
    """Return the p value of "the true share is at least `limit`": how often chance alone gives so few hits or fewer."""
    from scipy.special import bdtr

    return 1.0 if share.hits == share.total else float(bdtr(share.hits, share.total, limit))


def exceeds(first: Share, second: Share, margin: float = 0.0) -> float:
    """Return the p value of "`first` is at most `margin` above `second`", one-sided, by the score test.

    Args:
        first: the share that may be too great.
        second: what it is compared with.
        margin: a difference of shares, from 0 to below 1.
    """
    from scipy.special import ndtr

    restricted = _restricted(first, second, margin)
    variance = sum(rate * (1 - rate) / share.total for rate, share in zip(restricted, (first, second), strict=True))
    away = first.value - second.value - margin
    if variance <= 0:  # both shares are 0 or 1 under the hypothesis: any difference contradicts it
        return 1.0 if away <= 0 else 0.0
    return float(ndtr(-away / sqrt(variance)))


def _restricted(first: Share, second: Share, margin: float) -> tuple[float, float]:
    """Return the most likely two shares that are `margin` apart: the root of a cubic that lies between 0 and 1."""
    ratio = second.total / first.total
    one, two = first.value, second.value
    a = 1 + ratio
    b = -(1 + ratio + one + ratio * two + margin * (ratio + 2))
    c = margin**2 + margin * (2 * one + ratio + 1) + one + ratio * two
    d = -one * margin * (1 + margin)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = copysign(sqrt(max(0.0, b**2 / (3 * a) ** 2 - c / (3 * a))), v)
    turn = 0.0 if u == 0 else (pi + acos(max(-1.0, min(1.0, v / u**3)))) / 3
    root = min(1.0, max(margin, 2 * u * cos(turn) - b / (3 * a)))
    return root, root - margin


def interval(share: Share, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the two-sided interval of a share (Wilson 1927)."""
    from scipy.special import ndtri

    z, n, p = -float(ndtri(alpha / 2)), share.total, share.value
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def difference(first: Share, second: Share, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the two-sided interval of first minus second."""
    (low, high), (lower, upper) = interval(first, alpha), interval(second, alpha)
    away = first.value - second.value
    return (
        away - sqrt((first.value - low) ** 2 + (upper - second.value) ** 2),
        away + sqrt((high - first.value) ** 2 + (second.value - lower) ** 2),
    )


def requests_needed(usual: float, worse: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """Return how many requests each side needs, so that a rise from `usual` to `worse` is seen with this power, one-sided."""
    from scipy.special import ndtri

    z = -float(ndtri(alpha)) + float(ndtri(power))
    return ceil(z**2 * (usual * (1 - usual) + worse * (1 - worse)) / (worse - usual) ** 2)
