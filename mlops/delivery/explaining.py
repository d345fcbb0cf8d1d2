"""Explaining: where a delivery stands and what it waits for, in words; for the log, `mlops rollout status` and `explain`, and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.delivery.deliveries import UNATTENDED
from mlops.delivery.durations import written
from mlops.delivery.stages import last, stage_of
from mlops.delivery.strategies import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.delivery.deliveries import Delivery, Replicas, Seen, Traffic
    from mlops.delivery.strategies import Step


def explain(delivery: Delivery, seen: Seen) -> tuple[str, ...]:
    """Return sentences: where it stands, what it waits for, until when, how each metric fares, what a person can do."""
    if delivery.result is not None:
        return (headline(delivery, seen),)
    return (f"{headline(delivery, seen)}.", *(f"{sentence}." for sentence in _more(delivery, seen)))


def headline(delivery: Delivery, seen: Seen) -> str:
    """Return one line: where the delivery stands and what it waits for."""
    if delivery.result is not None:
        return delivery.result + (f": {delivery.reason}" if delivery.reason else "")
    return f"{_place(delivery)}: {awaited(delivery, seen)}"


def awaited(delivery: Delivery, seen: Seen) -> str:
    """Return what the delivery waits for, as a phrase; what cannot be read comes with it."""
    trouble = f" ({seen.trouble})" if seen.trouble else ""
    return f"{_awaited(delivery, seen)}{trouble}"


def _place(delivery: Delivery) -> str:
    if delivery.phase == "aborting":
        return f"aborting, {delivery.reason}"
    if delivery.phase == "clearing":
        return "another delivery was on its way and goes back first"
    if delivery.phase == "retiring":
        return f"{delivery.candidate} answers everything"
    if delivery.stage == last(delivery):
        return f"the switch to {delivery.candidate}"
    step = stage_of(delivery).step
    return f"step {delivery.stage + 1} of {last(delivery)}" + (f", {_step(step)}" if step else "")


def _step(step: Step) -> str:
    value = getattr(step, step.verb)
    if step.verb in ("analyse", "pause") and isinstance(value, float):
        return f"{step.verb} {written(value)}"
    if step.header is not None:
        return f"header {step.header.name}: {step.header.value}"
    return (
        step.verb
        if step.verb in ("gate", "hook")
        else f"{step.verb} {value:g}"
        if isinstance(value, float)
        else f"{step.verb} {value}"
    )


def _awaited(delivery: Delivery, seen: Seen) -> str:
    if seen.blind:
        return "the replicas cannot be looked at"
    if delivery.part == "route":
        return _asked(delivery, seen)
    if delivery.part == "wait":
        return _waited(delivery, seen.now)
    goes_back = delivery.phase in ("aborting", "clearing")
    going, staying = (seen.candidate, seen.stable) if goes_back else (seen.stable, seen.candidate)
    if delivery.part == "clear" and going.version is not None:
        return f"replicas of {going.version} are to end"
    wanted = stage_of(delivery).candidate if delivery.phase == "stepping" else delivery.replicas
    return _ready(staying, (delivery.stable if goes_back else delivery.candidate) or "", wanted)


def _ready(found: Replicas, version: str, wanted: int) -> str:
    dead = "".join(f"; {death.replica} died: {death.how}" for death in found.dead[-1:])
    return f"{found.ready} of {wanted} {'replica' if wanted == 1 else 'replicas'} of {version} {'is' if found.ready == 1 else 'are'} ready{dead}"


def _asked(delivery: Delivery, seen: Seen) -> str:
    if delivery.stable and delivery.phase == "stepping" and delivery.traffic.weight < ALL and not seen.stable.ready:
        return f"nothing of {delivery.stable} is ready, which is to answer the rest; a person may promote the whole of {delivery.candidate}"
    asked = f"the data plane is to show {_traffic(delivery.traffic)}"
    answers = seen.answers if seen.answers and seen.answers.route == delivery.route else None
    if answers is None or not answers.stable + answers.candidate + answers.failed:
        return f"{asked}, nothing was seen yet"
    failed = f", {answers.failed} failed" if answers.failed else ""
    return f"{asked}, of {answers.stable + answers.candidate} answers {answers.candidate} came from the candidate{failed}"


def _traffic(traffic: Traffic) -> str:
    mirrored = f" and copies of {traffic.mirror:g} %" if traffic.mirror else ""
    named = f", and {traffic.header[0]}: {traffic.header[1]}" if traffic.header else ""
    return f"{traffic.weight:g} % of the requests at the candidate{mirrored}{named}"


def _waited(delivery: Delivery, now: float) -> str:
    if delivery.held:
        return f"{delivery.held}; `mlops rollout resume` goes on"
    if delivery.doubt:
        return f"the analysis is inconclusive: {delivery.doubt}; `promote`, `abort`, or `resume` to look anew"
    step, waited = stage_of(delivery).step, now - delivery.since
    if step is not None:
        return _stepped(step, waited, delivery.attempt)
    delay = delivery.strategy.chosen.scale_down_delay if delivery.stage == last(delivery) else 0.0
    return f"{delivery.stable} stays up for {written(max(0.0, delay - waited))} more" if delivery.stable else "it is done"


def _stepped(step: Step, waited: float, attempts: int) -> str:
    match step.verb:
        case "pause":
            rest = f"it pauses for {written(max(0.0, step.wait - waited))} more"
            return "it waits for `mlops rollout promote`" if step.pause == "promoted" else rest
        case "analyse":
            rest = f"it looks for {written(max(0.0, step.wait - waited))} more"
            return rest if waited < step.wait else "the last look was inconclusive, and it looks again"
        case "gate":
            return f"the gate is to say yes; it was asked {attempts} times"
        case "hook":
            return "the hook is to answer"
    return "it is done"


def _more(delivery: Delivery, seen: Seen) -> Iterator[str]:
    limits = delivery.strategy.chosen
    yield f"The candidate {delivery.candidate} has {delivery.traffic.weight:g} % of the requests; ready replicas: {_counted(delivery, seen)}"
    if delivery.phase in ("clearing", "stepping"):
        yield f"It aborts when it is not done in {written(max(0.0, delivery.started + limits.deadline - seen.now))}"
    if delivery.phase != "finished" and delivery.part != "wait":
        yield f"Without progress it gives up in {written(max(0.0, delivery.progressed + limits.progress_deadline - seen.now))}"
    if seen.now - delivery.looked > UNATTENDED:
        yield f"Unattended for {written(seen.now - delivery.looked)}: no apply runs, and weights stay as they are"
    elif delivery.unattended:
        yield f"It was unattended for {written(delivery.unattended)} in all"
    for metric, score in (delivery.window.scores if delivery.window else {}).items():
        yield f"{metric}: {score.last}, {score.words}"
    if delivery.traffic.weight < ALL and delivery.phase == "stepping":
        yield "`mlops rollout abort` goes back to the stable version at any time"


def _counted(delivery: Delivery, seen: Seen) -> str:
    if seen.blind:
        return f"unknown, {seen.trouble}"
    stable = f", {seen.stable.ready} of {delivery.stable}" if delivery.stable else ""
    return f"{seen.candidate.ready} of {delivery.candidate}{stable}"
