"""Progress as plain lines: one when a step ends, and one when a long step says how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.executions import Status
from mlops.rendering import words
from mlops.rendering.looks import clean
from mlops.rendering.results import title

if TYPE_CHECKING:
    from mlops.core.events import Event
    from mlops.rendering.looks import Look

_STYLES = {
    Status.DONE: "good",
    Status.REUSED: "reuse",
    Status.SKIPPED: "dim",
    Status.FAILED: "bad",
}


def line(event: Event, look: Look) -> str | None:
    """Return the line that tells of the event, or None where a reader needs none."""
    data = event.data
    match event.name:
        case "step-ended" if data["status"] in (Status.BLOCKED, Status.DROPPED):
            return None  # nothing happened; the result says why
        case "step-ended":
            return f"{title(event.step)} … {ending(event, look)}"
        case "step-progress":
            share = f" ({data['done']:.0%})" if data.get("done") is not None else ""
            return f"{title(event.step)} … {clean(data['message'])}{share}"
        case "step-heartbeat":
            again = data.get("retry_in")
            told = f"{words.seconds(data['seconds'])} so far" if again is None else f"attempted again in {words.seconds(again)}"
            return f"{title(event.step)} … {told}"
        case "warning":
            subject = f"{event.address}: " if event.address else ""
            return f"{look.paint('warning:', 'change')} {subject}{clean(data['message'])}"
        case _:
            return None


def ending(event: Event, look: Look) -> str:
    """Return how a step ended, `done in 3.2 s (rows 4,454)`; only a step that ran took time."""
    status = Status(event.data["status"])
    text = look.paint(status.value, _STYLES[status])
    if status in (Status.DONE, Status.FAILED):
        text += f" in {words.seconds(event.data['seconds'])}"
    facts = event.data.get("facts") or {}
    if "passed" in facts:
        return f"{text}: {look.paint('passed', 'good') if facts['passed'] else look.paint('not passed', 'bad')}"
    told = words.facts(facts)
    return f"{text} ({told})" if told and status is Status.DONE else text
