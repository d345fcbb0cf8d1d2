"""Judging: checks become findings; a finding is JSON that says what was expected, what was found, and where.

    check, slice      what was looked at; slice is empty for all rows
    expected, got     the condition in words; the number, or words where there is none
    severity, passed  a failed finding of severity error fails the test
    note              why a finding was skipped (it counts as passed), or what else to know

Imported inside the step only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops.core.diagnostics import did_you_mean
from mlops.core.errors import MlopsError
from mlops.kinds.model import asking, scoring
from mlops.kinds.model.metrics import METRICS
from mlops.kinds.test import columns
from mlops.kinds.test.findings import Finding, bounds, skipped
from mlops.kinds.test.specs import MetricCheck, RowsCheck
from mlops.statistics import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from mlops.core.worlds import World
    from mlops.kinds.model.scoring import Predictions
    from mlops.kinds.test import RunChecks
    from mlops.kinds.test.specs import Slicing

_MOST_SLICES = 50
_ROUNDING = 1e-12  # 0.81 - 0.80 is a little more than 0.01


def judge(op: RunChecks, world: World) -> list[dict[str, Any]]:
    """Return the findings of every check, in the order of the spec.

    Raises:
        ModelError: the model does not fit the held-out rows, or a metric does not fit the model.
    """
    data = world.tables.load(world.artifacts.file(op.data))
    candidate = _candidate(op, world) if any(isinstance(check, MetricCheck) for check in op.checks) else None
    findings: list[Finding] = []
    for check in op.checks:
        if isinstance(check, MetricCheck):
            findings += _metric(check, candidate)
        elif isinstance(check, RowsCheck):
            findings += bounds("rows", check.rows, len(data), check.severity)
        else:
            findings += columns.check(check, data)
    return [each.as_json() for each in findings]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What metric checks look at: the held-out rows, the model's answers, those of what serves, or why there are none."""

    frame: pd.DataFrame
    answers: Predictions
    serving: Predictions | None
    absent: str = ""

    def of(self, rows: npt.NDArray[np.bool_]) -> Candidate:
        """Return the candidate on the rows whose mask is true."""
        serving = None if self.serving is None else self.serving.of(rows)
        return Candidate(self.frame[rows], self.answers.of(rows), serving, self.absent)


def _candidate(op: RunChecks, world: World) -> Candidate:
    assert op.artifact is not None and op.holdout is not None  # noqa: S101, PT018 - `checking` wants a model where a metric is checked
    frame = world.tables.load(world.artifacts.file(op.holdout))
    world.report.progress(f"checking on {len(frame)} rows")
    model = asking.load(world.artifacts.folder(op.artifact))
    answers = asking.predictions(model, frame)
    if op.baseline is None:
        return Candidate(frame, answers, None, "nothing serves yet")
    try:
        serving = asking.load(world.artifacts.folder(op.baseline))
        if serving.lesson.label != model.lesson.label:
            return Candidate(frame, answers, None, f"what serves predicts '{serving.lesson.label}'")
        return Candidate(frame, answers, asking.predictions(serving, frame))
    except MlopsError as error:
        return Candidate(frame, answers, None, f"what serves cannot be asked: {error.message}")


def _metric(check: MetricCheck, candidate: Candidate | None) -> Iterator[Finding]:
    """Yield the findings on all rows, then on each slice."""
    assert candidate is not None  # noqa: S101 - made where there is a metric check
    yield from _conditions(check, candidate)
    for slicing in check.slices:
        parts = _parts(slicing, candidate.frame)
        if isinstance(parts, Finding):
            yield replace(parts, check=check.metric, severity=check.severity)
            continue
        for name, rows in parts:
            part = candidate.of(rows)
            where = f"{slicing.column} = {name}" if slicing.edges is None else f"{slicing.column} {name}"
            yield from _conditions(check, part, where)


def _parts(slicing: Slicing, frame: pd.DataFrame) -> list[slices.Slice] | Finding:
    """Return the parts of the rows; a failed finding where the column does not part them."""
    if slicing.column not in frame.columns:
        note = did_you_mean(slicing.column, map(str, frame.columns), "the columns")
        return Finding("", "error", "a column to slice by", "no such column", passed=False, slice=slicing.column, note=note)
    series = frame[slicing.column]
    if slicing.edges is not None:
        numbers = pd.to_numeric(series.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        return slices.by_edges(numbers, slicing.edges)
    plain = series.astype(object)
    return slices.by_value(plain.where(plain.notna(), None).to_numpy(), slicing.values, _MOST_SLICES)


def _conditions(check: MetricCheck, candidate: Candidate, where: str = "") -> Iterator[Finding]:
    """Yield a finding for `min`, `max` and `max_worse`, as far as they are asked for."""
    rows = len(candidate.frame)
    why = f"{rows} rows, fewer than {check.min_rows}" if where and rows < check.min_rows else ""
    got = float("nan") if why else scoring.score(check.metric, candidate.answers)
    if not why and where and not np.isfinite(got):
        why = "undefined on these rows, where a class is missing"
    for sign, limit in (("≥", check.min), ("≤", check.max)):
        if limit is None:
            continue
        expected = f"{sign} {limit:g}"
        if why:
            yield skipped(check.metric, check.severity, expected, why, where)
            continue
        note = "" if np.isfinite(got) else "undefined on these rows"
        passed = bool(got >= limit if sign == "≥" else got <= limit)
        yield Finding(check.metric, check.severity, expected, scoring.as_json(got), passed=passed, slice=where, note=note)
    if check.max_worse is not None:
        yield _comparison(check, candidate, got, why, where)


def _comparison(check: MetricCheck, candidate: Candidate, got: float, why: str, where: str) -> Finding:
    """Return the finding on `max_worse`."""
    expected = f"at most {check.max_worse:g} worse than what serves"
    why = why or candidate.absent
    if candidate.serving is None or why:
        return skipped(check.metric, check.severity, expected, why, where)
    before = scoring.score(check.metric, candidate.serving)
    if not np.isfinite(before):
        return skipped(check.metric, check.severity, expected, "undefined for what serves", where)
    worse = METRICS[check.metric].worse_by(got, before)
    passed = bool(worse <= (check.max_worse or 0) + _ROUNDING)
    expected = f"at most {check.max_worse:g} worse than {before:.6g}, which serves"
    return Finding(check.metric, check.severity, expected, scoring.as_json(got), passed=passed, slice=where)
