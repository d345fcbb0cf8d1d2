"""Wanting: what is to be done where a delivery stands, compared with what is seen. Nothing is decided here but the order of the actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.delivery.actions import Finish, Probe, Retire, Route, Run, Scale
from mlops.delivery.proving import is_proven, probes
from mlops.delivery.stages import last, stage_of
from mlops.delivery.strategies import ALL
from mlops.delivery.watching import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.actions import Action
    from mlops.delivery.deliveries import Delivery, Ran, Seen, Track


def wanted(delivery: Delivery, seen: Seen) -> tuple[Action, ...]:
    """Return the actions in their order: replicas that must be there, the route, what must be known, and what may go."""
    if delivery.result is not None:
        return (Finish(delivery.result, delivery.reason),)
    if seen.blind:
        return ()
    return (*_replicas(delivery, seen), *_route(delivery, seen), *_questions(delivery, seen), *_gone(delivery, seen))


def answer_of(delivery: Delivery, seen: Seen) -> Ran | None:
    """Return the answer to the gate or hook that was asked last, if it came."""
    return next((ran for ran in seen.ran if ran.id == _id(delivery)), None)


def _replicas(delivery: Delivery, seen: Seen) -> Iterator[Action]:
    if delivery.phase == "retiring":
        yield from _scale("candidate", delivery.candidate, delivery.replicas, seen)
    elif delivery.phase != "stepping":
        if delivery.stable is not None and not (delivery.part == "clear" and _ends_first(delivery)):
            yield from _scale("stable", delivery.stable, delivery.replicas, seen)
    else:
        if delivery.part != "clear":
            yield from _scale("candidate", delivery.candidate, stage_of(delivery).candidate, seen)
        if delivery.stable is not None:
            yield from _scale("stable", delivery.stable, 0 if _ends_first(delivery) else delivery.kept, seen)


def _ends_first(delivery: Delivery) -> bool:
    return delivery.strategy.recreate is not None


def _scale(track: Track, version: str, replicas: int, seen: Seen) -> Iterator[Action]:
    found = seen.of(track)
    if found.count != replicas or found.dead:
        yield Scale(track, version, replicas)


def _route(delivery: Delivery, seen: Seen) -> Iterator[Action]:
    """Never towards a track of which nothing is ready."""
    if not delivery.route or not _has_answers(delivery, seen):
        return
    if seen.traffic != delivery.traffic:
        yield Route(delivery.route, delivery.traffic)
    if delivery.part == "route" and not is_proven(delivery, seen):
        yield Probe(delivery.route, probes(delivery))


def _has_answers(delivery: Delivery, seen: Seen) -> bool:
    traffic = delivery.traffic
    towards = traffic.weight or traffic.header or traffic.mirror
    return (not towards or seen.candidate.ready > 0) and (traffic.weight == ALL or seen.stable.ready > 0)


def _questions(delivery: Delivery, seen: Seen) -> Iterator[Action]:
    if delivery.phase != "stepping":
        return
    measured = measure(delivery, seen.now)
    if measured is not None:
        yield measured
    step = stage_of(delivery).step
    if step is None or delivery.part != "wait" or delivery.over == delivery.stage or delivery.held:
        return
    call = step.gate or step.hook
    pause = step.gate.interval if step.gate is not None and delivery.attempt else 0.0
    if call is not None and seen.now >= delivery.asked + pause:
        yield Run(_id(delivery), call, _told(delivery))


def _id(delivery: Delivery) -> str:
    return f"{delivery.stage}.{delivery.attempt}"


def _told(delivery: Delivery) -> dict[str, str]:
    step = f"{delivery.stage + 1} of {last(delivery)}"
    weight = f"{delivery.traffic.weight:g}"
    return {"stable": delivery.stable or "", "candidate": delivery.candidate, "step": step, "weight": weight}


def _gone(delivery: Delivery, seen: Seen) -> Iterator[Action]:
    """What may go comes last: everything else was seen before."""
    if delivery.phase == "retiring" and seen.stable.version is not None:
        yield Retire("stable")
    if delivery.phase in ("aborting", "clearing") and delivery.part == "clear" and seen.candidate.version is not None:
        yield Retire("candidate")
