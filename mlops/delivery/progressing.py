"""Progressing: from a delivery and one look at the world to the delivery as it is then, and what is to be done.

    heed       persons, deaths, deadlines: before everything else, whatever the route does
    watch      what was measured
    _moved     one part further, where what it waits for is seen; again, until nothing moves
    wanted     what is to be done in the part that it is in now

The parts of every shift: `scale` until the target is ready, `route` until the data plane shows it, and only in `wait` the old one is scaled
down. The way back: the stable version whole, the route back, seen, and only then the candidate ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.delivery.actions import Say
from mlops.delivery.deliveries import Delivery, Traffic
from mlops.delivery.explaining import headline
from mlops.delivery.heeding import abort, heed
from mlops.delivery.proving import is_contradicted, is_proven
from mlops.delivery.shifting import enter, routed, ways_back
from mlops.delivery.stages import last, stage_of
from mlops.delivery.wanting import answer_of, wanted
from mlops.delivery.watching import opened, watch

if TYPE_CHECKING:
    from mlops.delivery.actions import Action
    from mlops.delivery.deliveries import Seen
    from mlops.delivery.stages import Stage
    from mlops.delivery.strategies import Strategy

ROLLBACK_WINDOW = 3


def begin(
    strategy: Strategy, versions: tuple[str | None, str], replicas: int, now: float, former: tuple[str, ...] = ()
) -> Delivery:
    """Return a new delivery of `versions` = (stable, candidate); `stable` None: nothing serves yet.

    Both the same: whatever else is on its way goes, and the stable version serves alone, with so many replicas.

    Args:
        strategy: how.
        versions: what serves, and what is to serve.
        replicas: how many of them in the end.
        now: UTC, seconds.
        former: versions that served before, newest first; the way back to one of the last three has no steps and no analysis.
    """
    stable, candidate = versions
    direct = stable is None or candidate in former[:ROLLBACK_WINDOW]
    new = Delivery(candidate, stable, replicas, strategy, started=now, looked=now, progressed=now, direct=direct, kept=replicas)
    if candidate == stable:
        return enter(replace(new, phase="clearing"), ways_back(new)[0], now)
    return _staged(new, last(new) if direct else 0, now)


def next(delivery: Delivery, seen: Seen) -> tuple[Delivery, tuple[Action, ...]]:  # noqa: A001 - the issue's word
    """Return the delivery after this look, which is to be made durable before the actions are done.

    Pure. Asked again with what it returned and the same look, it returns the same, but for what is only said.
    """
    if delivery.phase == "finished":
        return delivery, wanted(delivery, seen)
    now = heed(delivery, seen)
    if not seen.blind:
        now, why = watch(now, seen)
        now = abort(now, seen.now, why) if why else now
        now = _noticed(_settled(now, seen), seen)
    return now, (*_said(delivery, now, seen), *wanted(now, seen))


def _settled(delivery: Delivery, seen: Seen) -> Delivery:
    while (moved := _moved(delivery, seen)) != delivery:
        delivery = moved
    return delivery


def _moved(delivery: Delivery, seen: Seen) -> Delivery:
    if delivery.part == "route" and is_contradicted(delivery, seen):
        return replace(delivery, route=delivery.route + 1, attempt=delivery.attempt + 1)
    if delivery.phase == "stepping":
        return _stepped(delivery, seen)
    if delivery.phase == "retiring":
        is_alone = seen.stable.version is None and seen.candidate.ready >= delivery.replicas
        return replace(delivery, phase="finished", result="delivered") if is_alone else delivery
    return delivery if delivery.phase == "finished" else _restored(delivery, seen)


def _staged(delivery: Delivery, stage: int, now: float) -> Delivery:
    """Return the delivery at the beginning of a stage."""
    ends_first = delivery.strategy.recreate is not None and delivery.stable is not None
    return enter(replace(delivery, phase="stepping", stage=stage), "clear" if ends_first else "scale", now)


def _shown(delivery: Delivery) -> Delivery:
    return replace(delivery, maybe=(delivery.traffic.weight,))


def _stepped(delivery: Delivery, seen: Seen) -> Delivery:
    stage = stage_of(delivery)
    ready = seen.candidate.ready >= stage.candidate
    match delivery.part:
        case "clear":
            return delivery if seen.stable.version else enter(delivery, "scale", seen.now)
        case "scale" if ready:
            same = delivery.route and stage.traffic == delivery.traffic
            return _waiting(delivery, seen.now) if same else routed(delivery, stage.traffic, seen)
        case "route" if ready and is_proven(delivery, seen):
            return _waiting(_shown(delivery), seen.now)
        case "wait" if ready:
            return _waited(_answered(delivery, stage, seen), stage, seen.now)
    return delivery


def _waiting(delivery: Delivery, now: float) -> Delivery:
    kept = delivery.kept if delivery.stage == last(delivery) else stage_of(delivery).stable
    return opened(enter(replace(delivery, kept=kept), "wait", now), now)


def _waited(delivery: Delivery, stage: Stage, now: float) -> Delivery:
    """Return the delivery in its next stage, or in this one where its wait is not over."""
    if delivery.phase != "stepping" or delivery.held or not _is_over(delivery, stage, now):
        return delivery
    if delivery.stage < last(delivery):
        return _staged(delivery, delivery.stage + 1, now)
    return enter(replace(delivery, phase="retiring", window=None), "clear", now)


def _is_over(delivery: Delivery, stage: Stage, now: float) -> bool:
    if delivery.over == delivery.stage:
        return True
    waited, step = now - delivery.since, stage.step
    if step is None:
        is_last = delivery.stage == last(delivery)
        return not is_last or delivery.stable is None or waited >= delivery.strategy.chosen.scale_down_delay
    if step.pause is not None:
        return isinstance(step.pause, float) and waited >= step.pause
    return step.analyse is None and step.gate is None and step.hook is None


def _answered(delivery: Delivery, stage: Stage, seen: Seen) -> Delivery:
    """Return the delivery after what its gate or hook said."""
    call = stage.step and (stage.step.gate or stage.step.hook)
    answer = answer_of(delivery, seen) if call and delivery.over != delivery.stage else None
    if answer is None or stage.step is None:
        return delivery
    hook = stage.step.hook
    if answer.passed or (hook is not None and not hook.required):
        return replace(delivery, over=delivery.stage)
    if hook is not None:
        return abort(delivery, seen.now, f"the hook of step {delivery.stage + 1} said no: {answer.said}")
    return replace(delivery, attempt=delivery.attempt + 1, asked=seen.now)


def _restored(delivery: Delivery, seen: Seen) -> Delivery:
    """Return the delivery one part further on the way back."""
    if not _is_back(delivery, seen):
        return delivery
    delivery = _shown(delivery) if delivery.part == "route" else delivery
    parts = ways_back(delivery)
    if delivery.part != parts[-1]:
        following = parts[parts.index(delivery.part) + 1]
        return routed(delivery, Traffic(), seen) if following == "route" else enter(delivery, following, seen.now)
    if delivery.phase == "aborting":
        return replace(delivery, phase="finished", result="aborted")
    if delivery.candidate == delivery.stable:
        return replace(delivery, phase="finished", result="delivered")
    return _staged(delivery, last(delivery) if delivery.direct else 0, seen.now)


def _is_back(delivery: Delivery, seen: Seen) -> bool:
    """Tell whether this part of the way back is done; the last one is only once the stable version is whole."""
    whole = delivery.stable is None or seen.stable.ready >= delivery.replicas
    is_last = delivery.part == ways_back(delivery)[-1]
    if delivery.part == "scale":
        return whole or (seen.stable.ready > 0 and not seen.candidate.ready)
    done = is_proven(delivery, seen) if delivery.part == "route" else seen.candidate.version is None
    return done and (whole or not is_last)


def _noticed(delivery: Delivery, seen: Seen) -> Delivery:
    """Return the delivery with its progress: more replicas are ready than ever in this part."""
    ready = seen.candidate.ready if delivery.phase in ("stepping", "retiring") else seen.stable.ready
    return delivery if ready <= delivery.best else replace(delivery, best=ready, progressed=seen.now)


def _said(before: Delivery, now: Delivery, seen: Seen) -> tuple[Say, ...]:
    """Return what is new, in words."""
    places = [(one.phase, one.stage, one.part, one.held, one.doubt) for one in (before, now)]
    is_new = places[0] != places[1] and now.phase != "finished"
    return (Say(headline(now, seen)),) if is_new else ()
