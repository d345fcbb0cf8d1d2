"""Findings: one condition each, on all rows or on one slice.

check, slice      what was looked at; slice is empty for all rows
expected, got     the condition in words; the number, or words where there is none
severity, passed  a finding of severity error that is not passed fails the test
note              why it was skipped (it counts as passed), or what else to know
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.kinds.test.specs import Bounds, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition on all rows, or on one slice."""

    check: str
    severity: Severity
    expected: str
    got: float | str | None
    passed: bool
    slice: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        return asdict(self)


def skipped(check: str, severity: Severity, expected: str, why: str, where: str = "") -> Finding:
    """Return a condition that could not be looked at, and counts as passed."""
    return Finding(check, severity, expected, None, passed=True, slice=where, note=f"skipped: {why}")


def bounds(check: str, limits: Bounds, got: float, severity: Severity) -> list[Finding]:
    """Return one finding for each of the bounds that is given."""
    found = []
    if limits.min is not None:
        found.append(Finding(check, severity, f"≥ {limits.min:g}", got, passed=got >= limits.min))
    if limits.max is not None:
        found.append(Finding(check, severity, f"≤ {limits.max:g}", got, passed=got <= limits.max))
    return found
