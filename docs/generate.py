"""Writes docs/reference.md from the code: `make docs`. A test compares the bytes."""  # noqa: INP001 - a script, no package

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops import kinds, schemas
from mlops.cli.commands import commands
from mlops.core import specs
from mlops.core.settings import Settings
from mlops.kinds.model.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel

TARGET = Path(__file__).with_name("reference.md")
PARTS = Path(__file__).with_name("reference")
MARKS = (specs.REPLACES, specs.COSMETIC, specs.SECRET)
NONE = "none"
METRIC_NAMES = list(METRICS)
SETTINGS_GROUPS = ("target", "store", "executor", "env")


def text() -> str:
    """Return the whole page: what the code says, between parts written by hand."""
    found = kinds.load()
    lines = [*_part("head"), "Kinds: " + ", ".join(f"[{name}](#{name})" for name in found) + ".", ""]
    for name, kind in found.items():
        lines += _kind(name, kind)
    lines += ["## Settings", "", *_settings(), *_part("overrides")]
    lines += ["## Commands", "", *_commands(), *_part("codes"), *_metrics(), *_part("server"), *_part("outside")]
    return "\n".join(lines).rstrip() + "\n"


def _part(name: str) -> list[str]:
    return [*(PARTS / f"{name}.md").read_text(encoding="utf-8").rstrip().splitlines(), ""]


def _kind(name: str, kind: Any) -> Iterator[str]:
    schema = schemas.of_kind(kind)
    del schema["properties"]["defaults"]
    yield from (f"## {name}", "", f"`conf/{name}/NAME.yaml`. {schema['description']}", "")
    yield from _tables(kind.Spec, schema)


def _settings() -> Iterator[str]:
    yield from (
        "`conf/config.yaml` and the groups `"
        + "`, `".join(SETTINGS_GROUPS)
        + "`. The chosen option of `env` names the environment; `allow`",
        "can be set by `conf/config.yaml` alone. `target` is any mapping that resources take as `${target}`; `vars` is yours.",
        "",
    )
    schema = schemas.of_settings({})
    for name in ("defaults", "target", "vars"):
        del schema["properties"][name]
    yield from _tables(Settings, schema)


def _tables(model: type[BaseModel], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of the spec's own fields, and one for each part of it."""
    marks = {path: mark for mark in MARKS for path in specs.marked(model, mark)}
    yield from _table(schema, marks)
    for name, part in schema["$defs"].items():
        if "properties" in part:
            about = " ".join(part.get("description", "").split())
            yield from (f"### {name}", "", about, "")
            yield from _table(part, {path.rpartition(".")[2]: mark for path, mark in marks.items() if "." in path})


def _table(schema: Mapping[str, Any], marks: Mapping[str, specs.Mark]) -> Iterator[str]:
    yield from ("| field | type | default | |", "| --- | --- | --- | --- |")
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "" if name in required else _default(field)
        sort = _type(field) if default != NONE else _type(field).removesuffix(" or null")
        mark = f"**{marks[name].value}** " if name in marks else ""
        about = " ".join(field.get("description", "Free text for people" if name == "description" else "").split())
        yield f"| `{name}` | {_cell(sort)} | {_cell(default)} | {_cell(mark + about)} |"
    yield ""


def _default(field: Mapping[str, Any]) -> str:
    """Return the default as YAML would have it; what is none in it is left out."""
    value = field.get("default", {})
    return NONE if value is None else f"`{json.dumps(_without_none(value), ensure_ascii=False)}`"


def _without_none(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    found = {name: _without_none(item) for name, item in value.items() if item is not None}
    return {name: item for name, item in found.items() if item != {}}


def _cell(content: str) -> str:
    return content.replace("|", "\\|").strip()


def _type(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a table of cases
    """Return a type in words; what interpolation adds is left out."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            words = [_type(each) for each in schema[choice] if not each.get("$ref", "").endswith(f"/{schemas.INTERPOLATION}")]
            return " or ".join(dict.fromkeys(words))
    if schema.get("enum") == METRIC_NAMES:
        return "[metric](#model-metrics)"
    if "enum" in schema:
        return " ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if schema.get("type") == "object":
        items = schema.get("additionalProperties")
        return f"mapping to {_type(items)}" if isinstance(items, dict) and items else "mapping"
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    words = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
    if "pattern" in schema and str(schema["pattern"]).startswith("^("):
        kind_names = schema["pattern"].partition(")")[0].removeprefix("^(").split("|")
        if all(name.isalpha() for name in kind_names):
            return "reference to " + " or ".join(kind_names)
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {schema[name]:g}" if schema[name] < 2**31 else "" for name, sign in limits.items() if name in schema]
    return " ".join([words.get(schema.get("type", ""), "any JSON"), *(each for each in said if each)])


def _commands() -> Iterator[str]:
    yield from ("`mlops [-C FOLDER] COMMAND`; the project is the nearest folder upwards that has `conf/config.yaml`.", "")
    yield from _group(commands, click.Context(commands, info_name="mlops"))


def _group(group: click.Group, context: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        here = click.Context(command, parent=context, info_name=name)
        help_text = " ".join((command.help or "").split())
        yield from (f"### `{here.command_path}`", "")
        if isinstance(command, click.Group):
            yield from (help_text, "", *_group(command, here))
            continue
        usage = " ".join(command.collect_usage_pieces(here)).replace("[OPTIONS]", "").strip()
        path = " ".join(word for word in here.command_path.split() if not word.startswith("["))
        yield from (f"`{path} {usage}`".replace(" `", "`"), "", help_text, "")
        options = [parameter.get_help_record(here) for parameter in command.params if isinstance(parameter, click.Option)]
        if options:
            yield from (f"- `{record[0]}`: {record[1]}" for record in options if record)
            yield ""


def _metrics() -> Iterator[str]:
    yield from ("## Model metrics", "", "| name | for | better | needs probabilities |", "| --- | --- | --- | --- |")
    for name, metric in METRICS.items():
        better = "greater" if metric.greater_is_better else "smaller"
        yield f"| `{name}` | {metric.purpose} | {better} | {'yes' if metric.needs_probabilities else ''} |"
    yield ""


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
