"""Specs: what a user writes, typed and frozen; marks say what a change of a field means; references make the edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict

from mlops.core.addresses import NAME, Ref
from mlops.core.digests import digest

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema


class Mark(Enum):
    """What a change of the marked field means; used as `Annotated[int, REPLACES]`."""

    REPLACES = "replaces"
    COSMETIC = "cosmetic"
    SECRET = "secret"  # noqa: S105 - a mark, not a password


REPLACES = Mark.REPLACES  # a thing that is kept is undone and made anew
COSMETIC = Mark.COSMETIC  # only recorded; no step runs, so no op may carry the field
SECRET = Mark.SECRET  # a name that the world resolves inside a step; the value is in no plan, state, key or log


@dataclass(frozen=True)
class To:
    """Marks a `Ref` field with the kinds that it may point at: `Annotated[Ref, To("dataset")]`."""

    kinds: tuple[str, ...]

    def __init__(self, *kinds: str) -> None:
        object.__setattr__(self, "kinds", kinds)

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Give editors the pattern of the reference."""
        return {**handler(schema), "pattern": rf"^({'|'.join(self.kinds)})\.{NAME}(/[a-z][a-z0-9_]*)?$"}


class Spec(BaseModel):
    """Base of every spec and of every part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, ser_json_inf_nan="constants", defer_build=True)


Description = Annotated[str, COSMETIC]
"""Free text for people; a change of it runs nothing."""


def body(spec: Spec) -> dict[str, Any]:
    """Return the spec as plain JSON without the values that equal their default: the form that is recorded and compared."""
    return spec.model_dump(mode="json", exclude_defaults=True)


def body_digest(spec: Spec) -> str:
    """Return the digest of `body(spec)`, cosmetic fields included."""
    return digest(body(spec))


def walk(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted path, leaf) for every leaf of a spec, through models, mappings and sequences."""
    if isinstance(value, str | int | float | None):  # first, since most leaves are; checks of abstract classes are slow
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from walk(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for index, item in enumerate(value):
            yield from walk(item, f"{path}.{index}" if path else str(index))
    else:
        yield path, value


def refs(spec: Spec) -> tuple[tuple[str, Ref], ...]:
    """Return every reference in the spec with the path of its field."""
    return tuple((path, leaf) for path, leaf in walk(spec) if isinstance(leaf, Ref))


@cache
def marked(model: type[BaseModel], mark: Mark) -> frozenset[str]:
    """Return the dotted paths of the fields of `model` that carry `mark`; `*` stands for any key or index."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        if mark in field.metadata:
            found.add(name)
        for nested, steps in _models_in(field.annotation):
            found.update(".".join([name, *steps, path]) for path in marked(nested, mark))
    return frozenset(found)


def _models_in(annotation: object, steps: tuple[str, ...] = ()) -> Iterator[tuple[type[BaseModel], tuple[str, ...]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, steps
        return
    arguments = get_args(annotation)
    origin = getattr(annotation, "__origin__", None)
    inside = (*steps, "*") if isinstance(origin, type) and issubclass(origin, Mapping | Sequence) else steps
    for argument in arguments:
        yield from _models_in(argument, inside)


def is_marked(path: str, patterns: frozenset[str]) -> bool:
    """Tell whether the dotted `path`, or a field above it, is one of `patterns`."""
    parts = path.split(".")
    return any(
        len(wanted) <= len(parts) and all(want in ("*", part) for want, part in zip(wanted, parts, strict=False))
        for wanted in (pattern.split(".") for pattern in patterns)
    )
