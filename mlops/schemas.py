"""Schemas: the JSON Schemas by which editors complete and check YAML, one for each kind and one for conf/config.yaml; of plans and events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from mlops.core import streams
from mlops.core.errors import StateError
from mlops.core.plans import Plan
from mlops.core.resources import Lifecycle
from mlops.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlops.core.resources import Kind
    from mlops.core.specs import Spec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
INTERPOLATION = "interpolation"

_DEFAULTS = {"type": "array", "description": "Hydra's defaults list: files that this one builds on."}
_INTERPOLATION = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "A value taken from elsewhere in the configuration: ${name.field}.",
}


def documents(kinds: Mapping[str, Kind]) -> dict[str, str]:
    """Return {file name: text}: `<kind>.json` for every kind, `config.json`, `events.json` and `plan.json`."""
    found = {f"{name}.json": of_kind(kind) for name, kind in kinds.items()}
    found |= {"config.json": of_settings(kinds), "events.json": of_events(), "plan.json": of_plans()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in sorted(found.items())}


def write(folder: Path, kinds: Mapping[str, Kind]) -> list[Path]:
    """Write all documents into `folder`; return their paths.

    Raises:
        StateError: the folder cannot be written to.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents(kinds).items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            paths.append(path)
    except OSError as error:
        message = f"{error.filename} cannot be written: {error.strerror}"
        raise StateError(message, "name a folder that may be written to") from None
    return paths


def of_kind(kind: Kind) -> dict[str, Any]:
    """Return the schema of a kind's YAML: its spec, with what Hydra resolves before the spec is read."""
    return _of_file(kind.Spec, kind.name, {"lifecycle": _lifecycle(kind)})


def _lifecycle(kind: Kind) -> dict[str, Any]:
    """Return the schema of `lifecycle`, with what the kind can do."""
    schema = Lifecycle.model_json_schema()
    fields = {name: _interpolated(part) for name, part in schema["properties"].items()}
    if not kind.can_overlap:
        del fields["create_before_destroy"]
    return {**schema, "properties": fields, "title": "Lifecycle"}


def of_settings(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the schema of conf/config.yaml: the settings, what the groups bring, and fields of resources."""
    groups = {"target": "Where things run, for resources that say ${target}.", "vars": "Values of your own, for ${vars.name}."}
    others = {name: _free(text) for name, text in groups.items()}
    others |= {name: _free(f"Fields of resources: {name} name, then field.") for name in kinds}
    schema = _of_file(Settings, "config", others)
    del schema["properties"]["environment"]  # it is the chosen option of env
    return schema


def _free(description: str) -> dict[str, Any]:
    return {"type": "object", "description": description}


def _of_file(spec: type[Spec], title: str, others: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a YAML file that holds `spec`, and `others` beside it."""
    schema = spec.model_json_schema()
    properties = {name: _interpolated(part) for name, part in schema.pop("properties", {}).items()}
    definitions = {name: _definition(part) for name, part in schema.pop("$defs", {}).items()}
    return {
        "$schema": DIALECT,
        **schema,
        "title": title,
        "description": _first(schema.get("description", "")),
        "properties": {"defaults": _DEFAULTS, **properties, **others},
        "$defs": {**definitions, INTERPOLATION: _INTERPOLATION},
    }


def _first(text: str) -> str:
    return text.strip().partition("\n\n")[0].replace("\n", " ")


def _definition(schema: dict[str, Any]) -> dict[str, Any]:
    if "properties" not in schema:
        return schema
    return {**schema, "properties": {name: _interpolated(part) for name, part in schema["properties"].items()}}


def _interpolated(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a field hold `${…}` where its own type is no free text."""
    if schema.get("type") == "string" and not schema.keys() & {"pattern", "enum", "const", "format", "maxLength", "minLength"}:
        return schema
    outside = {name: part for name, part in schema.items() if name in ("title", "description", "default")}
    inside = {name: part for name, part in schema.items() if name not in outside}
    choices = inside["anyOf"] if inside.keys() == {"anyOf"} else [inside]
    return {**outside, "anyOf": [*choices, {"$ref": f"#/$defs/{INTERPOLATION}"}]}


def of_plans() -> dict[str, Any]:
    """Return the schema of what `mlops plan --json` prints; every key is always written."""
    schema = TypeAdapter(Plan).json_schema(mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
    return {"$schema": DIALECT, **schema, "title": "plan", "description": "What `mlops plan --json` and `--out` write."}


def of_events() -> dict[str, Any]:
    """Return the schema of one line of `--json` and `--json-into`; a newer minor format may add keys and lines."""
    mode: Literal["serialization"] = "serialization"
    _, found = TypeAdapter.json_schemas([(name, mode, TypeAdapter[Any](shape)) for name, shape in streams.LINES.items()])
    parts = found["$defs"]
    lines = [_line(name, parts.pop(shape.__name__)) for name, shape in streams.LINES.items()]
    text = f"One line of `--json` and `--json-into`, format {streams.FORMAT}. Ignore keys and lines that you do not know."
    return {"$schema": DIALECT, "title": "event", "description": text, "oneOf": lines, "$defs": parts}


def _line(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    first = {
        "event": {"const": name},
        "at": {"type": "string", "format": "date-time", "description": "UTC"},
        "address": {"type": "string", "description": "The resource that this is about"},
        "step": {"type": "string", "description": "The step that this is about: address/name"},
    }
    required = ["event", "at", *shape.get("required", ())]
    return {**shape, "title": name, "properties": {**first, **shape.get("properties", {})}, "required": required}
