"""Wording: what the journal and the events of an apply say of a step; small, since there is one for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.core.executions import Outcome
    from mlops.core.plans import Change, Reason


def why(change: Change) -> dict[str, Any]:
    """Return what the journal keeps of the plan's reasons: the record has the values behind them."""
    kept: dict[str, Any] = {"reasons": [_brief(reason) for reason in change.reasons]}
    if change.fields:
        kept["fields"] = [[one.path, one.before, one.after] for one in change.fields]
    return kept


def _brief(reason: Reason) -> dict[str, Any]:
    """Return the reason without what an input was and is, which may be a line for each of a thousand files."""
    left_out = ("before", "after") if reason.code == "input" else ()
    return {"code": reason.code, **{name: part for name, part in reason.detail.items() if name not in left_out}}


def ending(outcome: Outcome) -> dict[str, Any]:
    """Return what the journal keeps of how a step ended."""
    body: dict[str, Any] = {"status": outcome.status.value, "seconds": round(outcome.seconds, 3)}
    if outcome.failure is not None:
        body["failure"] = {"code": outcome.failure.code, "message": outcome.failure.message}
    return body


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what an event tells of how a step ended."""
    data: dict[str, Any] = {
        "status": outcome.status.value,
        "seconds": outcome.seconds,
        "facts": dict(outcome.facts),
        "outputs": dict(outcome.outputs),
    }
    if outcome.failure is not None:
        failure = outcome.failure
        data["failure"] = {"code": failure.code, "message": failure.message, "hint": failure.hint, "trace": failure.trace}
    return data
