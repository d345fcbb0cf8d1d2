"""Output for machines: one JSON object a line, by schemas/events.json; a plan alone is by schemas/plan.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mlops.core import plans, streams
from mlops.core.errors import PolicyDenied, SpecError
from mlops.core.events import Event

if TYPE_CHECKING:
    from mlops.core.errors import MlopsError
    from mlops.core.executions import Outcome, Result
    from mlops.core.plans import Plan
    from mlops.core.rulings import Ruling


def dump(data: Any) -> str:
    """Return a JSON value in one line."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def line(event: Event, at: str) -> str:
    """Return `{"event": name, "at": UTC, "address": …, "step": …, …}`; what an event is not about is left out."""
    where = {name: text for name, text in (("address", event.address), ("step", event.step)) if text}
    return dump({"event": event.name, "at": at, **where, **event.data})


def plan(made: Plan) -> str:
    """Return the plan, by schemas/plan.json."""
    return plans.to_bytes(made).decode().rstrip()


# -- the lines of a stream that are no events of an apply --------------------------------------------------------------------


def opening(command: str) -> Event:
    """Return the first line: which format follows, of which mlops, for which command."""
    return Event("version", data={"format": streams.FORMAT, "mlops": version("mlops"), "command": command})


def planned(made: Plan) -> Event:
    """Return the line that holds a plan."""
    return Event("plan", data={"plan": plans.to_json(made)})


def ruling(found: Ruling) -> Event:
    """Return what a policy says."""
    return Event("ruling", found.address, data={"policy": found.policy, "effect": found.effect, "message": found.message})


def result(found: Result, made: Plan) -> Event:
    """Return how all steps ended."""
    return Event(
        "result",
        data={
            "plan": made.id,
            "seconds": found.seconds,
            "interrupted": found.interrupted,
            "outcomes": [_outcome(outcome) for outcome in found.outcomes],
            "standing": [asdict(verdict) for verdict in made.standing],
        },
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    data = {"step": outcome.step, "status": outcome.status.value, "seconds": outcome.seconds}
    made = {"outputs": dict(outcome.outputs), "facts": dict(outcome.facts)}
    return {**data, **made, "failure": asdict(outcome.failure) if outcome.failure is not None else None}


def error(problem: MlopsError) -> Event:
    """Return an error that ends the command."""
    diagnostics = problem.diagnostics if isinstance(problem, SpecError) else ()
    denials = problem.denials if isinstance(problem, PolicyDenied) else ()
    return failure(problem.code, problem.message, problem.hint, diagnostics, denials)


def failure(code: str, message: str, hint: str | None = None, diagnostics: Any = (), denials: Any = ()) -> Event:
    """Return any other end with an error: wrong usage, a bug."""
    told = {"diagnostics": [asdict(one) for one in diagnostics], "denials": [asdict(one) for one in denials]}
    return Event("error", data={"code": code, "message": message, "hint": hint, **told})


def closing(code: int) -> Event:
    """Return the last line: the exit code."""
    return Event("exit", data={"code": code})
