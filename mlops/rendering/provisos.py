"""Provisos: what a plan is not: applicable, because of problems; complete, because of what was asked or cannot be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.rendering import words
from mlops.rendering.looks import clean, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.plans import Plan
    from mlops.rendering.looks import Look

_NAMED = 5  # steps that one line tells


def lines(plan: Plan, look: Look) -> Iterator[str]:
    """Yield what stands below the plan's last line; nothing where it is complete and can be applied."""
    if plan.interrupted:
        yield ""
        begun = words.listed(plan.interrupted[:_NAMED] + (("…",) if len(plan.interrupted) > _NAMED else ()))
        yield look.paint(f"The last run was interrupted: it had begun {begun}.", "change")
    if plan.deferred:
        yield ""
        yield look.paint("Not planned before this is applied:", "change")
        yield from table([[address, clean(why)] for address, why in plan.deferred.items()], "  ")
    if not plan.complete and plan.steps:
        yield ""
        yield f"This plan is not complete{_asked(plan)}: plan again after it is applied."
    if plan.problems:
        yield ""
        yield look.paint("This plan cannot be applied:", "bad")
        yield from _problems(plan, look)


def _asked(plan: Plan) -> str:
    parts = [
        f"{word} {words.listed(plan.options[name])}"
        for name, word in (("targets", "only"), ("exclude", "without"))
        if plan.options.get(name)
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _problems(plan: Plan, look: Look) -> Iterator[str]:
    for problem in plan.problems:
        where = f"  {look.paint(str(problem.origin), 'dim')}" if problem.origin is not None else ""
        yield f"  {f'{problem.address}: ' if problem.address else ''}{clean(problem.summary)}{where}"
        if problem.hint:
            yield f"    {look.paint('hint:', 'reuse')} {clean(problem.hint)}"
