"""Converging: plan and apply in rounds, for what cannot be planned before something else is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.errors import PlanError
from mlops.core.executions import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.core.executions import Result
    from mlops.core.plans import Plan

MOST = 5  # rounds


def converge(plan: Callable[[], Plan], apply: Callable[[Plan], Result | None], most: int = MOST) -> None:
    """Plan and apply until a plan is empty; `apply` returns None where no further round makes sense.

    Raises:
        PlanError: a round changed nothing, or the plan is still not empty after `most` rounds.
    """
    for number in range(1, most + 1):
        made = plan()
        if not made.steps and not made.deferred and number > 1:
            return
        result = apply(made)
        if result is None or (not made.steps and not made.deferred):
            return
        if not any(outcome.status in (Status.DONE, Status.REUSED) for outcome in result.outcomes):
            message = f"round {number} changed nothing, and is not the last: {_left(made)}"
            raise PlanError(message, "see what these wait for: mlops plan")
    message = f"after {most} rounds there is still something to do: {_left(plan())}"
    raise PlanError(message, "see what changes every time: mlops plan")


def _left(made: Plan) -> str:
    """Return the first of what a plan would do, or cannot plan yet."""
    names = [*(str(change.address) for change in made.changes), *made.deferred]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # noqa: PLR2004 - as many as are shown
