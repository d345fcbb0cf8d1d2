"""Watching: from the first traffic on, the analysis is measured at every interval; a failure aborts, an `analyse` step waits for a pass.

A window holds while the traffic stays as it is, and every look judges all that was counted since it began. It begins anew where nobody
looked for a while, or where the driver lost its first readings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.delivery.actions import Measure
from mlops.delivery.analyses import QUANTILES
from mlops.delivery.analysing import judge
from mlops.delivery.deliveries import Score, Window
from mlops.delivery.stages import stage_of

if TYPE_CHECKING:
    from mlops.delivery.analyses import Analysis
    from mlops.delivery.analysing import Finding
    from mlops.delivery.deliveries import Delivery, Reading, Seen

_LATE = 5.0  # seconds that a first reading may come after the window began
_SERVER = {"error_rate", "agreement", "prediction_distance", *QUANTILES}


def opened(delivery: Delivery, now: float) -> Delivery:
    """Return the delivery with a window, where there is something to watch and none is open."""
    traffic = delivery.traffic
    idle = not (traffic.weight or traffic.header or traffic.mirror)
    if delivery.window or delivery.direct or idle or delivery.strategy.analysis is None:
        return delivery
    return replace(delivery, window=Window(delivery.route, now))


def anew(delivery: Delivery, now: float) -> Delivery:
    """Return the delivery with its window, and the `analyse` step that waits for it, at their beginning."""
    if delivery.window is None:
        return delivery
    since = now if _duration(delivery) is not None else delivery.since
    return replace(delivery, window=Window(delivery.window.number, now), since=since)


def measure(delivery: Delivery, now: float) -> Measure | None:
    """Return what is to be measured now, if anything."""
    window, analysis = delivery.window, delivery.strategy.analysis
    if window is None or analysis is None:
        return None
    end = _end(delivery)
    if window.looks >= 0 and now < window.last + analysis.interval and not (end is not None and window.last < end <= now):
        return None
    names = set(analysis.metrics())
    number = window.looks + 1
    return Measure(window.number, number, bool(names & _SERVER), "proxy_error_rate" in names, analysis.queries, analysis.commands)


def watch(delivery: Delivery, seen: Seen) -> tuple[Delivery, str]:
    """Return the delivery after the readings of this look, and why it must abort; empty where it need not."""
    for reading in seen.readings:
        window, analysis = delivery.window, delivery.strategy.analysis
        if window is None or analysis is None or not _is_next(window, reading):
            continue
        if reading.number == 0 or reading.since > window.began + _LATE:
            delivery = anew(delivery, reading.since)
            delivery = replace(delivery, window=Window(window.number, reading.since, 0, reading.since))
            continue
        scores = _scored(window, judge(analysis, reading, reading.number))
        delivery = replace(delivery, window=replace(window, looks=reading.number, last=reading.until, scores=scores))
        why = _failed(analysis, delivery.window)
        if why:
            return delivery, why
        delivery = _ended(delivery, analysis, reading)
    return delivery, ""


def _is_next(window: Window, reading: Reading) -> bool:
    """Tell whether this is the answer that is waited for; the reading from which a window begins anew is none a second time."""
    return (reading.window, reading.number) == (window.number, window.looks + 1) and reading.until > window.last


def _scored(window: Window, findings: tuple[Finding, ...]) -> dict[str, Score]:
    scores = {}
    for finding in findings:
        before = window.scores.get(finding.metric, Score())
        scores[finding.metric] = Score(
            before.failures + (finding.outcome == "fail"),
            before.errors + 1 if finding.outcome == "error" else 0,
            finding.outcome,
            finding.words,
        )
    return scores


def _failed(analysis: Analysis, window: Window | None) -> str:
    for metric, score in (window.scores if window else {}).items():
        if score.failures > analysis.max_failures:
            return f"{metric} failed: {score.words}"
        if score.errors > analysis.max_errors:
            return f"{metric} could not be measured {score.errors} times in a row: {score.words}"
    return ""


def _ended(delivery: Delivery, analysis: Analysis, reading: Reading) -> Delivery:
    """At the end of an `analyse` step: go on where all pass, look a few times more, then leave it to a person."""
    end = _end(delivery)
    if end is None or reading.until < end or delivery.window is None:
        return delivery
    unclear = [f"{metric}: {score.words}" for metric, score in delivery.window.scores.items() if score.last != "pass"]
    if not unclear:
        return replace(delivery, over=delivery.stage)
    more = (reading.until - end) / analysis.interval
    return replace(delivery, doubt="; ".join(unclear)) if more >= analysis.max_inconclusive else delivery


def _duration(delivery: Delivery) -> float | None:
    step = stage_of(delivery).step
    return step.analyse if step is not None and delivery.part == "wait" and delivery.phase == "stepping" else None


def _end(delivery: Delivery) -> float | None:
    """Return when the `analyse` step is over that the delivery waits for."""
    duration = _duration(delivery)
    return None if duration is None or delivery.over == delivery.stage or delivery.doubt else delivery.since + duration
