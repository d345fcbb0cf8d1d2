"""Verdicts as text: the checks of a test as a table, and the tests that are recorded as not passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.rendering import words
from mlops.rendering.looks import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlops.core.plans import Plan, Standing
    from mlops.rendering.looks import Look


def checks(found: Sequence[Any], look: Look) -> list[str]:
    """Return the table of a verdict's checks: check, severity, slice, expected, got, note."""
    columns = [
        name
        for name in ("check", "slice", "expected", "got", "severity", "note")
        if name in ("check", "expected", "got") or any(check.get(name) for check in found)
    ]
    if all(check.get("severity") == "error" for check in found) and "severity" in columns:
        columns.remove("severity")
    rows = [[words.fact(check.get(name)) for name in columns] for check in found]
    header, *lines = table([columns, *rows], "  ")
    return [look.paint(header, "dim"), *lines]


def of_plan(plan: Plan, look: Look) -> Iterator[str]:
    """Yield the lines of tests that stay failed, without those that a blocked change tells of already."""
    told = {test for change in plan.changes for test in change.blocked}
    yield from standing([verdict for verdict in plan.standing if verdict.address not in told], look)


def standing(found: Iterable[Standing], look: Look) -> Iterator[str]:
    """Yield the lines of tests that are recorded as not passed."""
    for verdict in found:
        yield f"{verdict.address} {look.paint('did not pass', 'bad')} (recorded {words.moment(verdict.at)})"
        yield from checks(verdict.checks, look) if verdict.checks else ()
