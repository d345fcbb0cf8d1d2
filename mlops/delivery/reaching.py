"""Reaching: the weights that whole replicas give where no proxy parts requests, each replica getting as many as any other.

The rules are those of Argo Rollouts (docs/features/canary, "Mimicking rolling update" and basic canary): the nearest whole number, ties in
favour of the candidate, never none of either version between 1 and 99 %, one replica more than asked for where that comes closer.
"""

from __future__ import annotations

from typing import NamedTuple

_ALL = 100.0


class Split(NamedTuple):
    """So many replicas of each version."""

    candidate: int
    stable: int

    @property
    def weight(self) -> float:
        """Percent of the requests that the candidate gets."""
        return _ALL * self.candidate / (self.candidate + self.stable)


def nearest(replicas: int, weight: float, *, surge: bool = False) -> Split:
    """Return the split that comes closest to `weight` percent; `surge`: there may be one replica more."""
    return min(
        _splits(replicas, weight, surge=surge),
        key=lambda split: (round(abs(split.weight - weight), 9), sum(split), -split.candidate),
    )


def reachable(replicas: int, *, surge: bool = False) -> tuple[float, ...]:
    """Return the weights that one gets by asking for whole percents, ascending, 0 and 100 included."""
    return tuple(sorted({nearest(replicas, percent, surge=surge).weight for percent in range(101)}))


def _splits(replicas: int, weight: float, *, surge: bool) -> list[Split]:
    if weight in (0.0, _ALL):
        return [Split(round(replicas * weight / _ALL), round(replicas * (1 - weight / _ALL)))]
    totals = (replicas, replicas + 1) if surge else (replicas,)
    both = [Split(count, total - count) for total in totals for count in range(1, total)]
    return both or [Split(0, replicas), Split(replicas, 0)]
