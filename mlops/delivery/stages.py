"""Stages: what a strategy means, as a list of states of the world that follow each other; the last one is the same for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

from mlops.delivery.deliveries import Traffic
from mlops.delivery.strategies import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.deliveries import Delivery
    from mlops.delivery.strategies import Step, Strategy


@dataclass(frozen=True, slots=True)
class Stage:
    """So many ready replicas of the candidate, then this traffic, then so many of the stable version; then the wait of the step."""

    candidate: int
    stable: int
    traffic: Traffic
    step: Step | None = None


def stages(strategy: Strategy, replicas: int) -> tuple[Stage, ...]:
    """Return the stages in order; at the end of the last the candidate answers everything, and the stable version still stands."""
    if strategy.recreate is not None:
        return (Stage(replicas, 0, Traffic(ALL)),)
    before = tuple(_rolling(strategy.rolling.batch, replicas) if strategy.rolling is not None else _stepwise(strategy, replicas))
    return (*before, Stage(replicas, before[-1].stable if before else replicas, Traffic(ALL)))


def stage_of(delivery: Delivery) -> Stage:
    """Return the stage that the delivery is in."""
    return stages(delivery.strategy, delivery.replicas)[delivery.stage]


def last(delivery: Delivery) -> int:
    """Return the number of the last stage."""
    return len(stages(delivery.strategy, delivery.replicas)) - 1


def _rolling(batch: int, replicas: int) -> Iterator[Stage]:
    for count in range(batch, replicas, batch):
        yield Stage(count, replicas - count, Traffic(round(ALL * count / replicas, 2)))


def _stepwise(strategy: Strategy, replicas: int) -> Iterator[Stage]:
    traffic, scale = Traffic(), None
    for step in strategy.steps:
        traffic = _changed(traffic, step)
        if step.scale is not None:
            scale = step.scale if isinstance(step.scale, int) else None
        whole = traffic.weight == ALL or (scale is None and strategy.blue_green is not None)
        needed = ceil(replicas * max(traffic.weight, traffic.mirror) / ALL)
        yield Stage(replicas if whole else scale or max(1, needed), replicas, traffic, step)


def _changed(traffic: Traffic, step: Step) -> Traffic:
    if step.weight is not None:
        return replace(traffic, weight=step.weight)
    if step.mirror is not None:
        return replace(traffic, mirror=step.mirror)
    return traffic if step.header is None else replace(traffic, header=(step.header.name, step.header.value))
