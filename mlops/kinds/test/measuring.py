"""Measuring: the conditions that a check puts on a metric, on all held-out rows and on each slice; imported inside the step only.

The candidate and what serves answer once for all rows; slices are masks over their answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops.core.diagnostics import did_you_mean
from mlops.core.errors import MlopsError
from mlops.kinds.model import asking, scoring
from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.metrics import METRICS
from mlops.kinds.model.pinning import pinned
from mlops.kinds.test.findings import Finding, skipped
from mlops.statistics import slices

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from mlops.core.worlds import World
    from mlops.kinds.model.scoring import Predictions
    from mlops.kinds.test.specs import MetricCheck, Slicing

_MOST_SLICES = 50
_ROUNDING = 1e-12  # 0.81 - 0.80 is a little more than 0.01


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


def ask(artifact: str, holdout: str, baseline: str | None, world: World) -> Candidate:
    """Let the model, and what serves, answer for the held-out rows; arguments are digests.

    Raises:
        ModelError: the model cannot be loaded, or does not fit the rows. Where that is so of what serves, it is only not compared.
    """
    with pinned(1):
        return _ask(artifact, holdout, baseline, world)


def _ask(artifact: str, holdout: str, baseline: str | None, world: World) -> Candidate:
    frame = world.tables.load(world.artifacts.file(holdout))
    world.report.progress(f"checking on {len(frame)} rows")
    model = asking.load(world.artifacts.folder(artifact))
    answers = asking.predictions(model, frame)
    if baseline is None:
        return Candidate(frame, answers, None, "nothing serves yet")
    try:
        serving = asking.load(world.artifacts.folder(baseline))
        if serving.lesson.label != model.lesson.label:
            return Candidate(frame, answers, None, f"what serves predicts '{serving.lesson.label}'")
        return Candidate(frame, answers, asking.predictions(serving, frame))
    except MlopsError as error:
        return Candidate(frame, answers, None, f"what serves cannot be asked: {error.message}")


def check(wanted: MetricCheck, candidate: Candidate) -> Iterator[Finding]:
    """Yield the findings on all rows, then on each slice.

    Raises:
        ModelError: the metric does not fit the model.
    """
    yield from _conditions(wanted, candidate)
    for slicing in wanted.slices:
        parts = _parts(slicing, candidate.frame)
        if isinstance(parts, Finding):
            yield replace(parts, check=wanted.metric, severity=wanted.severity)
            continue
        for name, rows in parts:
            part = candidate.of(rows)
            where = f"{slicing.column} = {name}" if slicing.edges is None else f"{slicing.column} {name}"
            yield from _conditions(wanted, part, where)


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
    if check.max_worse is not None and not (where and candidate.serving is None):  # that nothing serves is said once
        yield _comparison(check, candidate, got, why, where)


def _comparison(check: MetricCheck, candidate: Candidate, got: float, why: str, where: str) -> Finding:
    """Return the finding on `max_worse`."""
    expected = f"at most {check.max_worse:g} worse than what serves"
    why = why or candidate.absent
    if candidate.serving is None or why:
        return skipped(check.metric, check.severity, expected, why, where)
    try:
        before = scoring.score(check.metric, candidate.serving)
    except ModelError as error:
        return skipped(check.metric, check.severity, expected, f"for what serves, {error.message}", where)
    if not np.isfinite(before):
        return skipped(check.metric, check.severity, expected, "undefined for what serves", where)
    worse = METRICS[check.metric].worse_by(got, before)
    passed = bool(worse <= (check.max_worse or 0) + _ROUNDING)
    expected = f"at most {check.max_worse:g} worse than {before:.6g}, which serves"
    return Finding(check.metric, check.severity, expected, scoring.as_json(got), passed=passed, slice=where)
