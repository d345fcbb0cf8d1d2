"""Columns: the conditions that a check puts on one column of the data. Missing values count for `missing` and for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from mlops.core.diagnostics import did_you_mean
from mlops.kinds.test.findings import Finding, bounds, skipped
from mlops.kinds.test.specs import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.kinds.test.specs import ColumnCheck

_SHOWN = 5


def check(wanted: ColumnCheck, data: pd.DataFrame) -> list[Finding]:
    """Return a finding for each condition; a column that is not there fails as one."""
    if wanted.column not in data.columns:
        note = did_you_mean(wanted.column, map(str, data.columns), "the columns")
        return [Finding(wanted.column, wanted.severity, "a column", "no such column", passed=False, note=note)]
    series = data[wanted.column]
    present = series.dropna()
    found: list[Finding] = []
    if wanted.missing is not None:
        share = float(series.isna().mean()) if len(series) else 0.0
        found += bounds(f"{wanted.column} missing", wanted.missing, share, wanted.severity)
    found += _numbers(wanted, present)
    if wanted.values is not None:  # noqa: PD011 - a field of the spec, no pandas
        found.append(_values(wanted, present))
    if wanted.unique:
        twice = int(series.duplicated(keep=False).sum())
        name = f"{wanted.column} unique"
        found.append(Finding(name, wanted.severity, "no value twice", f"{twice} rows share theirs", passed=twice == 0))
    return found


def _numbers(wanted: ColumnCheck, present: pd.Series[Any]) -> Iterator[Finding]:
    conditions = [
        ("min", None if wanted.min is None else Bounds(min=wanted.min)),
        ("max", None if wanted.max is None else Bounds(max=wanted.max)),
        ("mean", wanted.mean),
    ]
    for name, limits in conditions:
        if limits is None:
            continue
        title = f"{wanted.column} {name}"
        numbers = pd.to_numeric(present.astype(object), errors="coerce").astype("float64")
        if present.empty:
            yield skipped(title, wanted.severity, _expected(limits), "the column has no values")
        elif numbers.isna().any():
            yield Finding(
                title, wanted.severity, _expected(limits), "no numbers", passed=False, note="the column holds text or dates"
            )
        else:
            yield from bounds(title, limits, float(getattr(numbers, name)()), wanted.severity)


def _expected(limits: Bounds) -> str:
    parts = [f"≥ {limits.min:g}"] if limits.min is not None else []
    return " and ".join(parts + ([f"≤ {limits.max:g}"] if limits.max is not None else []))


def _values(wanted: ColumnCheck, present: pd.Series[Any]) -> Finding:
    allowed = list(wanted.values or ())  # noqa: PD011 - a field of the spec, no pandas
    strangers = list(dict.fromkeys(value for value in present.astype(object).tolist() if value not in allowed))
    shown = ", ".join(map(str, strangers[:_SHOWN])) + (", …" if len(strangers) > _SHOWN else "")
    expected = f"one of {', '.join(map(str, allowed))}"
    return Finding(f"{wanted.column} values", wanted.severity, expected, shown or "no others", passed=not strangers)
