"""Shifting: a delivery at the beginning of a part of a shift, forward or back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.delivery.deliveries import Delivery, Part, Seen, Traffic


def enter(delivery: Delivery, part: Part, now: float) -> Delivery:
    """Return the delivery at the beginning of a part."""
    return replace(delivery, part=part, since=now, progressed=now, best=0, attempt=0)


def ways_back(delivery: Delivery) -> tuple[Part, ...]:
    """Return the parts of an abort in order: the stable version first, but where only one version can be there."""
    if delivery.stable is None:
        return ("clear",)
    return ("clear", "scale", "route") if delivery.strategy.recreate is not None else ("scale", "route", "clear")


def routed(delivery: Delivery, traffic: Traffic, seen: Seen) -> Delivery:
    """Return the delivery asking for this traffic; what was measured under another says nothing of it."""
    window = delivery.window if traffic == delivery.traffic else None
    maybe = tuple(sorted({*delivery.maybe, _before(delivery, traffic, seen)}))
    asked = replace(delivery, traffic=traffic, route=delivery.route + 1, maybe=maybe, window=window)
    return enter(asked, "route", seen.now)


def _before(delivery: Delivery, traffic: Traffic, seen: Seen) -> float:
    """Return the weight until now; where nobody knows it, one that is hard to tell from the one asked for."""
    if delivery.route:
        return delivery.traffic.weight
    return seen.traffic.weight if seen.traffic is not None else abs(traffic.weight - 1)
