"""Verdicts: what a record says of a test that did not pass; one reading for plan, apply and status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.plans import Standing

if TYPE_CHECKING:
    from mlops.core.states import Record


def standing(record: Record | None) -> Standing | None:
    """Return the recorded verdict where it is not passed, with the checks that failed; else None."""
    if record is None or record.facts.get("passed") is not False:
        return None
    at = max(step.at for step in record.steps.values() if "passed" in step.facts)
    checks = tuple(check for check in record.facts.get("checks", ()) if check.get("passed") is False)
    return Standing(record.address, at, checks)
