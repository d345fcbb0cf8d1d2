"""What a user writes in `conf/test/<name>.yaml`: a model, what it is compared with, and checks of three sorts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from mlops.core import specs
from mlops.core.addresses import Ref  # noqa: TC001 - pydantic reads the annotations
from mlops.core.specs import Description, To
from mlops.kinds.model.metrics import MetricName  # noqa: TC001 - pydantic reads the annotations
from mlops.kinds.model.specs import some

Scalar = bool | int | float | str
Severity = Literal["error", "warn"]
_SEVERITY: Any = Field(default="error", description="error: what requires the test is blocked; warn: it is only said")
SORTS = ("metric", "rows", "column")


class Bounds(specs.Spec):
    """From `min` to `max`, both included; one of them may be left out."""

    min: float | None = Field(default=None, description="Smallest that passes")
    max: float | None = Field(default=None, description="Greatest that passes")

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.min is None and self.max is None:
            message = "bounds need a `min`, a `max`, or both"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"`min` {self.min:g} is above `max` {self.max:g}: nothing can pass"
            raise ValueError(message)
        return self


def _ascending(edges: tuple[float, ...]) -> tuple[float, ...]:
    if list(edges) != sorted(set(edges)):
        message = "`edges` must ascend, for example [30, 50]"
        raise ValueError(message)
    return edges


class Slicing(specs.Spec):
    """A column whose values part the rows; `values` names the parts that matter, `edges` part numbers."""

    column: str = Field(description="The column whose values part the rows")
    values: Annotated[tuple[Scalar, ...], AfterValidator(some)] | None = Field(
        default=None, description="The values that matter; all where absent"
    )
    edges: Annotated[tuple[float, ...], AfterValidator(some), AfterValidator(_ascending)] | None = Field(
        default=None, description="Where one slice of numbers ends and the next begins, ascending"
    )

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.values is not None and self.edges is not None:
            message = "`values` and `edges` cannot both part the rows: keep one"
            raise ValueError(message)
        return self


def _named(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


Part = Annotated[Slicing, BeforeValidator(_named, json_schema_input_type=str | Slicing)]


class MetricCheck(specs.Spec):
    """A metric on the held-out rows: on all of them, and on each slice. `max_worse` is by how much it may be worse than what serves."""

    metric: MetricName = Field(description="What is measured")
    min: float | None = Field(default=None, description="Smallest that passes")
    max: float | None = Field(default=None, description="Greatest that passes")
    max_worse: float | None = Field(
        default=None, ge=0, description="By how much it may be worse than what serves, in its own unit"
    )
    slices: tuple[Part, ...] = Field(default=(), description="Columns whose parts must hold the condition, too")
    min_rows: int = Field(default=30, ge=1, description="A slice with fewer rows is skipped")
    severity: Severity = _SEVERITY

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if self.min is None and self.max is None and self.max_worse is None:
            message = f"the check of {self.metric} says nothing: give `min`, `max` or `max_worse`"
            raise ValueError(message)
        if self.min is not None and self.max is not None and self.min > self.max:
            message = f"`min` {self.min:g} is above `max` {self.max:g}: nothing can pass"
            raise ValueError(message)
        return self


class RowsCheck(specs.Spec):
    """How many rows there are."""

    rows: Bounds = Field(description="How many there may be")
    severity: Severity = _SEVERITY


class ColumnCheck(specs.Spec):
    """A column of the data: the share of missing values, its least and greatest value, its mean, what it may hold, no value twice."""

    column: str = Field(description="The column that is looked at")
    missing: Bounds | None = Field(default=None, description="The share of missing values, from 0 to 1")
    min: float | None = Field(default=None, description="No value is smaller")
    max: float | None = Field(default=None, description="No value is greater")
    mean: Bounds | None = Field(default=None, description="The mean of the values that are there")
    values: Annotated[tuple[Scalar, ...], AfterValidator(some)] | None = Field(default=None, description="No others occur")
    unique: Literal[True] | None = Field(default=None, description="No value occurs twice")
    severity: Severity = _SEVERITY

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if all(getattr(self, name) is None for name in ("missing", "min", "max", "mean", "values", "unique")):
            message = (
                f"the check of column '{self.column}' says nothing: give `missing`, `min`, `max`, `mean`, `values` or `unique`"
            )
            raise ValueError(message)
        return self


def _sort(value: Any) -> str | None:
    """Return which sort of check this is, by the field that it is about; None where it has none of them.

    A tag is no name of a field, so that nobody takes it for a part of an error's path.
    """
    return next((f"{name} check" for name in SORTS if (name in value if isinstance(value, dict) else hasattr(value, name))), None)


Check = Annotated[
    Annotated[MetricCheck, Tag("metric check")]
    | Annotated[RowsCheck, Tag("rows check")]
    | Annotated[ColumnCheck, Tag("column check")],
    Discriminator(
        _sort,
        custom_error_type="check",
        custom_error_message="Input should be a mapping with one of `metric`, `rows` and `column`",
    ),
]


class Spec(specs.Spec):
    """A test of a model, of data, or of both. Checks of data read `dataset`'s table; without one, the model's held-out rows."""

    model: Annotated[Ref, To("model")] | None = Field(default=None, description="The model that metrics are measured on")
    holdout: Annotated[Ref, To("dataset")] | None = Field(
        default=None, description="The rows that metrics are measured on; those that the model holds out where absent"
    )
    dataset: Annotated[Ref, To("dataset")] | None = Field(default=None, description="The rows that checks of data read")
    against: Annotated[Ref, To("rollout")] | None = Field(default=None, description="What serves there is compared with")
    checks: Annotated[tuple[Check, ...], AfterValidator(some)] = Field(description="What must hold; each is checked")
    description: Description = ""
