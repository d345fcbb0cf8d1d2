"""Output for machines: one JSON object a line; events while something runs, the plan or the result at the end."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.core import plans
from mlops.core.errors import SpecError

if TYPE_CHECKING:
    from mlops.core.errors import MlopsError
    from mlops.core.events import Event
    from mlops.core.executions import Result
    from mlops.core.plans import Plan


def line(data: Any) -> str:
    """Return a JSON value in one line."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def event(found: Event) -> str:
    """Return `{"event": name, "address": …, "step": …, …}`."""
    where = {name: text for name, text in (("address", found.address), ("step", found.step)) if text}
    return line({"event": found.name, **where, **found.data})


def plan(made: Plan) -> str:
    """Return the plan, by schemas/plan.json."""
    return line(plans.to_json(made))


def result(found: Result, made: Plan) -> str:
    """Return `{"event": "result", "plan": id, "outcomes": […], …}`."""
    outcomes = [asdict(outcome) for outcome in found.outcomes]
    return line(
        {
            "event": "result",
            "plan": made.id,
            "seconds": found.seconds,
            "interrupted": found.interrupted,
            "outcomes": outcomes,
        }
    )


def error(problem: MlopsError) -> str:
    """Return `{"event": "error", "code": …, "message": …, "hint": …, "diagnostics": […]}`."""
    found = problem.diagnostics if isinstance(problem, SpecError) else ()
    return line(
        {
            "event": "error",
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
            "diagnostics": [asdict(one) for one in found],
        }
    )
