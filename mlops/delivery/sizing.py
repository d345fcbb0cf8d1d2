"""Sizing: how many requests it takes to see what the analysis is to see, for the plan to say before anything is sent anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.delivery.analyses import Agreement, ErrorRate
from mlops.delivery.analysing import alpha_of
from mlops.delivery.durations import written
from mlops.statistics.proportions import POWER, requests_needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.analyses import Analysis, Metric
    from mlops.delivery.strategies import Step, Strategy

_LEAST = 0.01  # what is to be seen where nothing is allowed


def sizes(strategy: Strategy) -> tuple[str, ...]:
    """Return a sentence for each metric that is a share, with the requests that the candidate needs in the shortest `analyse` step."""
    analysis = strategy.analysis
    steps = [step for step in strategy.steps if step.analyse is not None]
    if analysis is None or not steps:
        return ()
    shortest = min(steps, key=lambda step: step.wait)
    return tuple(_sentences(analysis, shortest))


def _sentences(analysis: Analysis, step: Step) -> Iterator[str]:
    looks = max(1, int(step.wait // analysis.interval))
    for name, metric in analysis.metrics().items():
        shares = _shares(metric)
        if shares is None:
            continue
        allowed, worse = shares
        once, last = requests_needed(allowed, worse), requests_needed(allowed, worse, alpha_of(looks))
        rate = last / step.wait
        yield (
            f"{name}: to see {100 * worse:.3g} % where {100 * allowed:.3g} % is allowed takes {once:,} requests at the candidate in one look, "
            f"{last:,} in {looks} looks within {written(step.wait)} ({rate:.3g} a second), seen {100 * POWER:.0f} times in 100"
        )


def _shares(metric: Metric) -> tuple[float, float] | None:
    """Return the share that is allowed and the one that must be seen; of an agreement, that of differing answers."""
    if isinstance(metric, ErrorRate):
        allowed = metric.max if metric.max is not None else metric.max_worse or 0.0
        worse = metric.detect if metric.detect is not None else min(1.0, 2 * allowed) or _LEAST
    elif isinstance(metric, Agreement):
        allowed = 1 - (metric.min or 0.0)
        worse = min(1.0, 2 * allowed) or _LEAST
    else:
        return None
    return (allowed, worse) if worse > allowed else None
