"""Validating: plain data becomes a kind's typed spec; pydantic's errors become diagnostics that a user can act on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from mlops.composing.sources import NAMING
from mlops.core.addresses import NAME
from mlops.core.diagnostics import Diagnostic, did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

LONGEST = 60
_WANTED = "Input should be "  # how most of pydantic's messages begin

_SHAPES = {
    sort: shape
    for shape, sorts in {
        "a mapping of fields": ("model_type", "model_attributes_type", "dict_type"),
        "a list": ("list_type", "tuple_type", "set_type", "frozen_set_type"),
        "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        "a number": ("float_type", "float_parsing"),
        "true or false": ("bool_type", "bool_parsing"),
        "text": ("string_type",),
        "a number of bytes, such as 500MB or 2GiB": ("byte_size", "byte_size_unit"),
    }.items()
    for sort in sorts
}
_NAME = f"^{NAME.replace('(?:', '(')}$"
_LIMITS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_pattern_mismatch": "text of the form {pattern}",
}


def validate(model: type[Model], data: Any) -> tuple[Model | None, list[Diagnostic]]:
    """Return the validated model, or None and what is wrong (paths, no origins)."""
    if not isinstance(data, dict):
        return None, [Diagnostic("type", f"expected a mapping of fields, got {shown(data)}", path="")]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = [_Found(detail, data) for detail in error.errors(include_url=False) if not _is_echo(detail)]
        return None, [_explain(item, model) for item in _without_typos_twice(list(_joined(found)), model)]
    except RecursionError:
        return None, [Diagnostic("type", "the values are nested too deeply, or contain themselves", path="")]


def _is_echo(detail: ErrorDetails) -> bool:
    """Tell whether a list is called too short only because its items are wrong, each of which is told."""
    return detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]


def shown(value: Any) -> str:
    """Return the value as a user would write it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


class _Found:
    """One of pydantic's errors, with the parts of its place that are in the data and those that name a union's branch."""

    def __init__(self, detail: ErrorDetails, data: Any) -> None:
        detail = _of_the_tag(detail)
        self.type, self.value = detail["type"], detail["input"]
        self.message = _told(detail)
        self.parts: list[str] = []
        self.branches: list[tuple[int, str]] = []  # (how deep, name of the branch)
        place, last = data, len(detail["loc"]) - 1
        for index, part in enumerate(detail["loc"]):
            if index == last and self.type == "missing":
                self.parts.append(str(part))
            elif part == "[key]":
                continue
            elif (isinstance(place, dict) and part in place) or (isinstance(place, list) and isinstance(part, int)):
                self.parts.append(str(part))
                place = place[part]  # type: ignore[index]
            else:
                self.branches.append((len(self.parts), str(part)))

    @property
    def path(self) -> str:
        return ".".join(self.parts)


def _of_the_tag(detail: ErrorDetails) -> ErrorDetails:
    """Return an error about the field that says which of several mappings is meant as one of that field, others as they are."""
    if detail["type"] not in ("union_tag_invalid", "union_tag_not_found"):
        return detail
    field = detail["ctx"]["discriminator"].strip("'")
    place = (*detail["loc"], field)
    if detail["type"] == "union_tag_not_found":
        return {**detail, "type": "missing", "loc": place}
    wanted = " or ".join(detail["ctx"]["expected_tags"].split(", "))
    return {**detail, "type": "literal_error", "loc": place, "input": detail["ctx"]["tag"], "msg": f"{_WANTED}{wanted}"}


def _told(detail: ErrorDetails) -> str:
    """Return pydantic's message in words for people."""
    if detail["type"] in _SHAPES:
        return f"{_WANTED}{_SHAPES[detail['type']]}"
    if detail["type"] in _LIMITS:
        limits = {name: str(limit).removesuffix(".0") for name, limit in detail["ctx"].items()}
        return f"{_WANTED}{_LIMITS[detail['type']].format_map(limits)}"
    return detail["msg"]


def _joined(found: Sequence[_Found]) -> Iterable[_Found]:
    """Yield one story for each union: the branch that fits best, or all that was expected in one sentence."""
    unions: dict[str, dict[str, list[_Found]]] = {}
    for item in found:
        if not item.branches:
            yield item
            continue
        depth, branch = item.branches[0]
        unions.setdefault(".".join(item.parts[:depth]), {}).setdefault(branch, []).append(item)
    for path, branches in unions.items():
        deeper = [items for items in branches.values() if any(item.path != path or _is_late(item) for item in items)]
        if deeper:
            for item in min(deeper, key=_misfit):
                item.branches.pop(0)
            yield from _joined(min(deeper, key=_misfit))
        else:
            first = next(iter(branches.values()))[0]
            wanted = dict.fromkeys(item.message.removeprefix(_WANTED) for items in branches.values() for item in items)
            first.message = f"{_WANTED}{' or '.join(wanted)}"
            yield first


def _without_typos_twice(found: Sequence[_Found], model: type[BaseModel]) -> list[_Found]:
    """Leave out the missing field where an unknown one beside it is that field mistyped: one mistake, one diagnostic."""
    typos = {
        (*item.parts[:-1], nearest(item.parts[-1], _fields_at(model, item.parts[:-1])))
        for item in found
        if item.type == "extra_forbidden"
    }
    return [item for item in found if item.type != "missing" or tuple(item.parts) not in typos]


def _is_late(item: _Found) -> bool:
    """Tell whether the value had the branch's type already, and failed a later check."""
    return item.type in ("value_error", "reference")


def _misfit(items: Sequence[_Found]) -> tuple[int, int]:
    strangers = sum(item.type in ("extra_forbidden", "missing") or item.type.endswith("_type") for item in items)
    return strangers, len(items)


def _explain(item: _Found, model: type[BaseModel]) -> Diagnostic:
    if item.type == "missing":
        name, above = item.parts[-1], item.parts[:-1]
        return Diagnostic(
            "missing-field", f"the field '{name}' is missing", path=".".join(above), hint=_about(model, above, name)
        )
    if item.type == "extra_forbidden":
        name = item.parts[-1]
        known = _fields_at(model, item.parts[:-1])
        return Diagnostic("unknown-field", f"unknown field '{name}'", path=item.path, hint=did_you_mean(name, known, "fields"))
    if _is_late(item):
        return Diagnostic("value", item.message.removeprefix("Value error, "), path=item.path)
    wanted = item.message.removeprefix(_WANTED)
    summary = f"expected {wanted}" if wanted != item.message else item.message
    code = "type" if item.type.endswith(("_type", "_parsing", "_from_float")) else "value"
    hint = None
    if item.type == "literal_error" and isinstance(item.value, str):
        close = nearest(item.value, re.findall(r"'([^']*)'", item.message))
        hint = f"did you mean '{close}'?" if close else None
    elif item.message == f"{_WANTED}{_LIMITS['string_pattern_mismatch'].format(pattern=_NAME)}":
        return Diagnostic("name", f"{shown(item.value)} cannot be a name", path=item.path, hint=NAMING)
    elif item.type == "string_pattern_mismatch":
        hint = _description(model, item.parts[:-1], item.parts[-1])
    elif _SHAPES.get(item.type) == "a list" and isinstance(item.value, str | int | float):
        hint = f"write [{item.value}]"
    return Diagnostic(code, f"{summary}, got {shown(item.value)}", path=item.path, hint=hint)


def _about(model: type[BaseModel], parts: Sequence[str], name: str) -> str:
    """Return the hint to add a field, with what is known about it."""
    about = _description(model, parts, name)
    return f"add {name}: {about}" if about else f"add {name}"


def _description(model: type[BaseModel], parts: Sequence[str], name: str) -> str | None:
    """Return what the field is, where only one is meant and it says so."""
    found = {level.model_fields[name].description for level in _models_at(model, parts) if name in level.model_fields}
    about = found.pop() if len(found) == 1 else None
    return f"{about[0].lower()}{about[1:]}" if about else None


def _fields_at(model: type[BaseModel], parts: Sequence[str]) -> set[str]:
    """Return the fields that may stand at the place."""
    return {field for level in _models_at(model, parts) for field in level.model_fields}


def _models_at(model: type[BaseModel], parts: Sequence[str]) -> set[type[BaseModel]]:
    """Return the models that may stand at the place."""
    models = {model}
    for part in parts:
        below = {
            inner for outer in models if part in outer.model_fields for inner in _models_in(outer.model_fields[part].annotation)
        }
        models = below or models  # a key of a mapping or an index of a list: the models were found already
    return models


def _models_in(annotation: object) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for argument in get_args(annotation) for model in _models_in(argument)}
