"""Heeding: what comes before everything else at each look, and asks nothing of the route: persons, deaths, deadlines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.delivery.deliveries import UNATTENDED, Traffic
from mlops.delivery.durations import written
from mlops.delivery.explaining import awaited
from mlops.delivery.shifting import enter, routed, ways_back
from mlops.delivery.stages import last
from mlops.delivery.watching import anew

if TYPE_CHECKING:
    from mlops.delivery.deliveries import Delivery, Seen, Wish


def heed(delivery: Delivery, seen: Seen) -> Delivery:
    """Return the delivery as persons, deaths and deadlines leave it."""
    delivery = _returned(delivery, seen)
    delivery = _wished(delivery, seen)
    if not seen.blind:
        delivery = _cleared(delivery, seen)
        delivery = _bereaved(delivery, seen)
    return _overdue(replace(delivery, looked=seen.now), seen)


def abort(delivery: Delivery, now: float, reason: str) -> Delivery:
    """Return the delivery on its way back; the first reason stays."""
    if delivery.phase in ("aborting", "finished"):
        return delivery
    restored = replace(delivery, phase="aborting", reason=reason, window=None, held="", doubt="", kept=delivery.replicas)
    return enter(restored, ways_back(delivery)[0], now)


def _returned(delivery: Delivery, seen: Seen) -> Delivery:
    """Where nobody looked for a while: that time is no lack of progress, and measurements of before say nothing of now."""
    gap = seen.now - delivery.looked
    if gap <= UNATTENDED:
        return delivery
    return replace(anew(delivery, seen.now), unattended=delivery.unattended + gap, progressed=delivery.progressed + gap)


def _wished(delivery: Delivery, seen: Seen) -> Delivery:
    """An abort wins over every other wish, whichever came first."""
    wishes = sorted((wish for wish in seen.wishes if wish.seq > delivery.heard), key=lambda wish: wish.seq)
    if not wishes:
        return delivery
    delivery = replace(delivery, heard=wishes[-1].seq)
    for wish in wishes:
        if wish.verb == "abort":
            return abort(delivery, seen.now, _by("aborted", wish))
    if delivery.phase in ("stepping", "clearing"):
        for wish in wishes:
            delivery = _granted(delivery, wish, seen.now)
    return delivery


def _granted(delivery: Delivery, wish: Wish, now: float) -> Delivery:
    if wish.verb == "pause":
        return replace(delivery, held=_by("paused", wish))
    if wish.verb == "resume":
        return replace(anew(delivery, now) if delivery.doubt else delivery, held="", doubt="")
    if wish.verb == "promote":
        return replace(delivery, held="", doubt="", over=delivery.stage)
    full = replace(delivery, held="", doubt="", direct=True, window=None)
    return (
        full
        if delivery.phase == "clearing" or delivery.stage == last(full)
        else enter(replace(full, stage=last(full)), "scale", now)
    )


def _by(done: str, wish: Wish) -> str:
    by = f" by {wish.by}" if wish.by else ""
    return f"{done}{by}: {wish.reason}" if wish.reason else f"{done}{by}"


def _cleared(delivery: Delivery, seen: Seen) -> Delivery:
    """Where another delivery was on its way, its candidate goes first, as in an abort; this one begins at its first step then."""
    there = seen.candidate.version
    if delivery.phase != "stepping" or there in (None, delivery.candidate):
        return delivery
    return enter(
        replace(delivery, phase="clearing", window=None, over=-1, kept=delivery.replicas), ways_back(delivery)[0], seen.now
    )


def _bereaved(delivery: Delivery, seen: Seen) -> Delivery:
    if delivery.phase != "stepping" or seen.candidate.version != delivery.candidate:
        return delivery
    new = [death for death in seen.candidate.dead if death.replica not in delivery.died]
    delivery = replace(delivery, died=(*delivery.died, *(death.replica for death in new)))
    most = delivery.strategy.chosen.max_deaths
    if not new or len(delivery.died) <= most:
        return _abandoned(delivery, seen)
    counted = f"; {len(delivery.died)} died and {most} may" if most else ""
    return abort(delivery, seen.now, f"{new[-1].replica} of {delivery.candidate} died: {new[-1].how}{counted}")


def _abandoned(delivery: Delivery, seen: Seen) -> Delivery:
    """Users must not be sent where nothing answers."""
    asked = delivery.traffic.weight or delivery.traffic.header
    if delivery.stable is None or not asked or seen.candidate.ready:
        return delivery
    return abort(delivery, seen.now, f"no replica of {delivery.candidate} is ready any more, and requests go there")


def _overdue(delivery: Delivery, seen: Seen) -> Delivery:
    limits = delivery.strategy.chosen
    if delivery.phase in ("clearing", "stepping") and seen.now - delivery.started > limits.deadline:
        return abort(delivery, seen.now, f"not done within the deadline of {written(limits.deadline)}: {awaited(delivery, seen)}")
    if delivery.part == "wait" or seen.now - delivery.progressed <= limits.progress_deadline:
        return delivery
    why = f"no progress for {written(limits.progress_deadline)}: {awaited(delivery, seen)}"
    if delivery.phase in ("clearing", "stepping"):
        return abort(delivery, seen.now, why)
    return _stuck(delivery, seen, why)


def _stuck(delivery: Delivery, seen: Seen, why: str) -> Delivery:
    """The way itself does not move on: what serves stays, and what can be said is said."""
    if delivery.phase == "retiring":
        return replace(delivery, phase="finished", result="delivered", reason=why)
    if delivery.phase != "aborting":
        return delivery
    if delivery.part == "scale" and seen.stable.ready:
        return routed(delivery, Traffic(), seen)
    return replace(delivery, phase="finished", result="stranded", reason=f"{delivery.reason}; then {why}")
