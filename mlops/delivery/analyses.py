"""What a user writes under `analysis:`: metrics with stated inequalities, and how often they are looked at.

Every metric is a limit that must hold. A limit on what was counted (rates, quantiles, distances) is judged with its noise, see
`analysing`; one on a number that a query or a command answers is compared as it is.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mlops.core.addresses import NAME
from mlops.core.specs import Spec
from mlops.delivery.durations import Duration  # noqa: TC001 - pydantic reads the annotations

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
Rate = Annotated[float, Field(ge=0, le=1)]


class Metric(Spec):
    """What every metric has; subclasses say which limits there are, in `limits`."""

    limits: ClassVar[tuple[str, ...]]

    min_samples: int = Field(default=50, ge=1, description="Fewer requests of the candidate are inconclusive")
    no_data: Literal["inconclusive", "pass", "fail"] = Field(
        default="inconclusive", description="What no traffic, no answer to a query, and NaN count as"
    )

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if all(getattr(self, name) is None for name in self.limits):
            message = f"the metric says nothing: give {' or '.join(f'`{name}`' for name in self.limits)}"
            raise ValueError(message)
        return self


class ErrorRate(Metric):
    """The share of requests that failed: answers with 500 or more, and of the proxy's those that never came."""

    limits = ("max", "max_worse")

    max: Rate | None = Field(default=None, description="Greatest share that passes; fails when the candidate's is above it")
    max_worse: Rate | None = Field(
        default=None, description="By how much it may be above that of the stable version at the same time"
    )
    detect: Rate | None = Field(
        default=None,
        description="The share that must be seen; the plan says how many requests that takes; twice the limit if absent",
    )

    @model_validator(mode="after")
    def _detects_more(self) -> Self:
        limit = max(self.max or 0.0, self.max_worse or 0.0)
        if self.detect is not None and self.detect <= limit:
            message = f"`detect` {self.detect:g} is within what is allowed ({limit:g}): it must be above"
            raise ValueError(message)
        return self


class Latency(Metric):
    """A quantile of the seconds that requests take."""

    limits = ("max", "max_ratio")

    max: Duration | None = Field(default=None, description="Greatest that passes, such as 0.2s")
    max_ratio: float | None = Field(
        default=None, ge=1, le=1000, description="How many times that of the stable version at the same time it may be"
    )


class Agreement(Metric):
    """The share of mirrored requests that both versions answered alike."""

    limits = ("min",)

    min: Rate | None = Field(default=None, description="Smallest share that passes")


class PredictionDistance(Metric):
    """The total variation distance between the two versions' predictions: 0 alike, 1 nothing in common."""

    limits = ("max",)

    max: Rate | None = Field(default=None, description="Greatest distance that passes")


class Number(Metric):
    """A number from elsewhere, compared as it is."""

    limits = ("min", "max")

    min: float | None = Field(default=None, description="Smallest that passes")
    max: float | None = Field(default=None, description="Greatest that passes")

    @model_validator(mode="after")
    def _can_pass(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"`min` {self.min:g} is above `max` {self.max:g}: nothing can pass"
            raise ValueError(message)
        return self


class Query(Number):
    """What Prometheus answers to an instant query; `{version}` and `{stable}` in it become the two versions."""

    url: str = Field(pattern=r"^https?://\S+$", description="Prometheus, such as http://prometheus:9090")
    query: str = Field(min_length=1, description="PromQL with one number as its answer")


class Command(Number):
    """What a command prints; it finds MLOPS_VERSION and MLOPS_STABLE in its environment."""

    command: tuple[str, ...] = Field(min_length=1, description="The program and its arguments; no shell reads them")


class Analysis(Spec):
    """Metrics that are looked at from the first traffic on; a failure aborts at any time, an `analyse` step waits until all pass."""

    error_rate: ErrorRate | None = Field(default=None, description="As the servers count it")
    proxy_error_rate: ErrorRate | None = Field(default=None, description="As the proxy counts it: deaths and timeouts, too")
    p50: Latency | None = Field(default=None, description="The median of the servers' seconds")
    p90: Latency | None = Field(default=None, description="Nine of ten requests take less")
    p95: Latency | None = Field(default=None, description="19 of 20 requests take less")
    p99: Latency | None = Field(default=None, description="99 of 100 requests take less")
    agreement: Agreement | None = Field(default=None, description="Of the two versions' answers to mirrored requests")
    prediction_distance: PredictionDistance | None = Field(default=None, description="Between the two versions' predictions")
    queries: dict[Annotated[str, Field(pattern=f"^{NAME}$")], Query] = Field(
        default={}, description="Prometheus, by names of yours"
    )
    commands: dict[Annotated[str, Field(pattern=f"^{NAME}$")], Command] = Field(
        default={}, description="Programs, by names of yours"
    )
    interval: Annotated[Duration, Field(ge=1)] = Field(default=30.0, description="Between two looks")
    max_failures: int = Field(default=0, ge=0, description="Aborts when more looks than this failed a metric")
    max_inconclusive: int = Field(
        default=4, ge=0, description="An `analyse` step that ends inconclusive looks so many times more, then it waits for you"
    )
    max_errors: int = Field(default=4, ge=0, description="Aborts when more looks than this in a row could not measure")

    @model_validator(mode="after")
    def _has_metrics(self) -> Self:
        if not self.metrics():
            message = "the analysis has no metrics: give `error_rate`, `p99`, `agreement`, …"
            raise ValueError(message)
        twice = self.queries.keys() & self.commands.keys()
        if twice:
            message = f"'{min(twice)}' is the name of a query and of a command: rename one"
            raise ValueError(message)
        return self

    def metrics(self) -> dict[str, Metric]:
        """Return every metric by its path: `p99`, `queries.refunds`."""
        named = ((name, getattr(self, name)) for name in type(self).model_fields)
        fixed = {name: metric for name, metric in named if isinstance(metric, Metric)}
        queries = {f"queries.{name}": query for name, query in self.queries.items()}
        return fixed | queries | {f"commands.{name}": command for name, command in self.commands.items()}

    def compares(self) -> tuple[str, ...]:
        """Return the paths of limits that need the stable version to have traffic of its own at the same time."""
        found = self.metrics()
        limits = [
            (name, limit)
            for name in found
            for limit in ("max_worse", "max_ratio")
            if getattr(found[name], limit, None) is not None
        ]
        apart = [("prediction_distance", "max")] if self.prediction_distance else []
        return tuple(f"{name}.{limit}" for name, limit in (*limits, *apart))
