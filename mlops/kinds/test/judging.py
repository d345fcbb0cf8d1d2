"""Judging: checks become findings, in the order of the spec. Imported inside the step only; models are loaded where a metric is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.kinds.test import columns
from mlops.kinds.test.findings import Finding, bounds
from mlops.kinds.test.specs import MetricCheck, RowsCheck

if TYPE_CHECKING:
    from mlops.core.worlds import World
    from mlops.kinds.test import RunChecks


def judge(op: RunChecks, world: World) -> list[dict[str, Any]]:
    """Return the findings of every check, as JSON.

    Raises:
        ModelError: the model does not fit the held-out rows, or a metric does not fit the model.
    """
    data = world.tables.load(world.artifacts.file(op.data))
    measured = _measured(op, world)
    findings: list[Finding] = []
    for check in op.checks:
        if isinstance(check, MetricCheck):
            findings += measured.pop(0)
        elif isinstance(check, RowsCheck):
            findings += bounds("rows", check.rows, len(data), check.severity)
        else:
            findings += columns.check(check, data)
    return [each.as_json() for each in findings]


def _measured(op: RunChecks, world: World) -> list[list[Finding]]:
    """Return the findings of each metric check; scikit-learn is imported, for seconds, only where there is one."""
    checks = [check for check in op.checks if isinstance(check, MetricCheck)]
    if not checks or op.artifact is None or op.holdout is None:
        return []
    from mlops.kinds.test import measuring

    candidate = measuring.ask(op.artifact, op.holdout, op.baseline, world)
    return [list(measuring.check(each, candidate)) for each in checks]
