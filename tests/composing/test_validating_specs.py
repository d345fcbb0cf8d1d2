"""Errors of pydantic become diagnostics at the path that the user wrote, one for each mistake."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from mlops.composing.validating import validate
from mlops.core.specs import Spec


class Dog(Spec):
    """One of three."""

    type: Literal["dog"]
    legs: int = 4


class Bird(Spec):
    """One of three."""

    type: Literal["bird"]
    wings: int = 2


class Rock(Spec):
    """Told apart by its fields only."""

    weight: float


class Zoo(Spec):
    """Unions of all sorts."""

    tagged: Annotated[Dog | Bird, Field(discriminator="type")] | None = None
    plain: Rock | Dog | None = None
    many: tuple[Rock | str, ...] = ()
    named: dict[str, int | list[int]] = Field(default_factory=dict)
    size: Literal["small", "large"] = "small"
    code: str = Field(default="a", pattern="^[a-z]$")


@pytest.mark.parametrize(
    ("data", "code", "path", "summary"),
    [
        ({"tagged": {"type": "dog", "legz": 3}}, "unknown-field", "tagged.legz", "unknown field 'legz'"),
        ({"tagged": {"type": "bird", "wings": "x"}}, "type", "tagged.wings", "expected a whole number"),
        ({"plain": {"weight": "heavy"}}, "type", "plain.weight", "expected a number"),
        ({"plain": {"wieght": 1}}, "unknown-field", "plain.wieght", "unknown field 'wieght'"),
        ({"plain": 5}, "type", "plain", "expected a mapping of fields, got 5"),
        ({"many": ["a", {"weight": []}]}, "type", "many.1.weight", "expected a number, got []"),
        ({"many": "a"}, "type", "many", 'expected a list, got "a"'),
        ({"named": {"a": [1, "x"]}}, "type", "named.a.1", "expected a whole number"),
        ({"named": {3: 1}}, "type", "named.3", "expected text, got 3"),
        ({"size": "smal"}, "value", "size", "expected 'small' or 'large', got \"smal\""),
        ({"code": "AB"}, "value", "code", 'expected text of the form ^[a-z]$, got "AB"'),
        ({"size": "x" * 100}, "value", "size", f"expected 'small' or 'large', got \"{'x' * 58}…"),
    ],
)
def test_a_mistake_is_one_diagnostic_at_its_path(data, code, path, summary):
    """Names of union branches and pydantic's own words stay out of it."""
    model, problems = validate(Zoo, data)
    assert model is None
    assert [(it.code, it.path) for it in problems if it.path == path] == [(code, path)]
    assert problems[0].summary.startswith(summary)


def test_several_mistakes_are_several_diagnostics():
    """Nothing hides anything."""
    _, problems = validate(Zoo, {"size": 3, "code": 4, "extra": 1})
    assert sorted(it.path for it in problems) == ["code", "extra", "size"]


def test_a_near_choice_is_proposed():
    """A mistyped choice of a closed list gets the nearest one."""
    _, problems = validate(Zoo, {"size": "larg"})
    assert problems[0].hint == "did you mean 'large'?"
