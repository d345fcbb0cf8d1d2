"""Metrics: by name, what each is for, what it needs, and which way is better; `scoring` computes them.

Names are checked while composing, therefore nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, WithJsonSchema

from mlops.core.diagnostics import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

Purpose = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, in the unit of its own; `name` is also its scorer's in `scoring`."""

    purpose: Purpose
    greater_is_better: bool = True
    needs_probabilities: bool = False

    def worse_by(self, candidate: float, baseline: float) -> float:
        """Return by how much the candidate is worse; negative where it is better."""
        return baseline - candidate if self.greater_is_better else candidate - baseline


METRICS: Mapping[str, Metric] = {
    "roc_auc": Metric("classification", needs_probabilities=True),
    "pr_auc": Metric("classification", needs_probabilities=True),
    "accuracy": Metric("classification"),
    "balanced_accuracy": Metric("classification"),
    "f1": Metric("classification"),
    "precision": Metric("classification"),
    "recall": Metric("classification"),
    "log_loss": Metric("classification", greater_is_better=False, needs_probabilities=True),
    "brier": Metric("classification", greater_is_better=False, needs_probabilities=True),
    "mae": Metric("regression", greater_is_better=False),
    "median_ae": Metric("regression", greater_is_better=False),
    "rmse": Metric("regression", greater_is_better=False),
    "mape": Metric("regression", greater_is_better=False),
    "r2": Metric("regression"),
}


def _check_name(name: str) -> str:
    if name not in METRICS:
        message = f"'{name}' is no metric: {did_you_mean(name, METRICS, 'known are')}"
        raise ValueError(message)
    return name


MetricName = Annotated[str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "enum": list(METRICS)})]
