"""Checking: what is wrong between the fields of a strategy, every problem with its place; for the kind's `check`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic
from mlops.delivery.durations import written
from mlops.delivery.strategies import ALL, Stepwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.analyses import Analysis
    from mlops.delivery.strategies import Common, Step, Strategy

CODE = "strategy"


def check(strategy: Strategy, at: str = "strategy") -> Iterator[Diagnostic]:
    """Yield what cannot be, whatever the target; paths begin with `at`."""
    for path, summary, hint in _problems(strategy):
        yield Diagnostic(CODE, summary, path=".".join((at, strategy.name, *path)), hint=hint)


Problem = tuple[tuple[str, ...], str, str | None]  # where below the strategy, what, what to do


def _problems(strategy: Strategy) -> Iterator[Problem]:
    chosen = strategy.chosen
    yield from _time(strategy, chosen)
    if not isinstance(chosen, Stepwise):
        return
    yield from _order(strategy)
    yield from _analyses(chosen.steps, chosen.analysis)
    if strategy.canary is not None and not any(_gives_traffic(step) for step in chosen.steps):
        yield ("steps",), "no step gives the candidate any traffic", "add {weight: 5}"
    if strategy.shadow is not None and not any(step.mirror for step in chosen.steps):
        yield ("steps",), "a shadow copies requests, and no step says how many", "add {mirror: 10}"


def _time(strategy: Strategy, chosen: Common) -> Iterator[Problem]:
    needed = sum(step.wait for step in strategy.steps) + chosen.scale_down_delay
    if needed >= chosen.deadline:
        summary = f"the delivery takes {written(needed)} at least, and its deadline is {written(chosen.deadline)}"
        yield ("deadline",), summary, "raise `deadline`, or wait less"


def _order(strategy: Strategy) -> Iterator[Problem]:
    weights = [(str(index), step.weight) for index, step in enumerate(strategy.steps) if step.weight is not None]
    if strategy.canary is None:
        for index, weight in weights:
            if weight != ALL:
                summary = f"{weight:g} is a weight of a canary: here everything is switched at once"
                yield ("steps", index, "weight"), summary, "write 100, or take `canary`"
    for (_, before), (index, weight) in pairwise(weights):
        if weight <= before:
            yield ("steps", index, "weight"), f"{weight:g} comes after {before:g}: weights must rise", None


def _gives_traffic(step: Step) -> bool:
    return bool(step.weight or step.mirror or step.header)


def _analyses(steps: tuple[Step, ...], analysis: Analysis | None) -> Iterator[Problem]:
    weight, traffic = 0.0, False
    for index, step in enumerate(steps):
        weight = weight if step.weight is None else step.weight
        traffic = traffic or _gives_traffic(step)
        if step.analyse is None:
            continue
        for summary, hint in _looks(step.analyse, analysis, weight, traffic):
            yield ("steps", str(index), "analyse"), summary, hint
    if analysis and analysis.agreement and not any(step.mirror for step in steps):
        yield ("analysis", "agreement"), "only mirrored requests are answered by both versions", "add a step {mirror: 10}"
    if analysis and not any(_gives_traffic(step) for step in steps):
        yield ("analysis",), "no step gives the candidate traffic that could be looked at", "add {mirror: 10} or {weight: 5}"


def _looks(duration: float, analysis: Analysis | None, weight: float, traffic: bool) -> Iterator[tuple[str, str]]:  # noqa: FBT001 - what came before
    if analysis is None:
        yield "there is nothing to look at", "give `analysis` with metrics"
        return
    if not traffic:
        yield "the candidate has no traffic yet", "put a `weight`, `mirror` or `header` step before it"
    if duration < analysis.interval:
        interval = written(analysis.interval)
        yield f"{written(duration)} is less than the interval of {interval}: there would be no look", "lower `interval`"
    compared = analysis.compares()
    if weight == ALL and compared:
        summary = f"at weight 100 the stable version answers nothing that could be compared, as {compared[0]} wants"
        yield summary, "analyse at a lower weight, or give limits without it"
