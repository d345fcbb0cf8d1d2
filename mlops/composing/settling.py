"""Settling: what config.yaml and its groups say about the project itself becomes typed settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops.composing import caching
from mlops.composing.merging import FREE, plain
from mlops.composing.origins import Places
from mlops.composing.sources import GROUPS, OWN, ROOT
from mlops.composing.validating import shown, validate
from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.core.digests import digest
from mlops.core.settings import Allow, Settings

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from mlops.composing.layering import Layers
    from mlops.composing.problems import Problems
    from mlops.composing.reading import Document
    from mlops.composing.resolving import Resolver

TOP = ("project", *OWN, "store", "executor", "moved", "removed", "import")
"""The keys of config.yaml that `Settings` has."""


def allowed(root: Path, config: Document | None, layers: Layers | None, problems: Problems) -> Allow:
    """Return what config.yaml itself allows, whatever the groups and the overrides say; nothing in it is resolved."""
    data = (config.data or {}) if config is not None else {}
    allow, wrong = validate(Allow, data.get("allow") or {})
    own = Places(root, ((ROOT, ""),))
    problems.found += [replace(item, path=f"allow.{item.path}", origin=own.of("allow", item.path or "")) for item in wrong]
    for key in OWN:
        if layers is not None and (plain(layers.tree, key) or None) != (data.get(key) or None):
            summary, hint = f"`{key}` can be set only by conf/config.yaml itself", "move it to conf/config.yaml"
            problems.tell("", [Diagnostic(key, summary, path=key, hint=hint)])
    return allow or Allow()


def settle(
    layers: Layers | None, resolver: Resolver, kinds: Collection[str], problems: Problems
) -> tuple[Settings, dict[str, Any]]:
    """Return the settings, and the values of all that an interpolation may read beside resources."""
    if layers is None:
        return Settings(), {}
    for kind in kinds:
        data = plain(layers.tree, kind)
        if data is not None and not isinstance(data, dict):
            problems.tell("", [Diagnostic("type", f"expected resources by name, got {shown(data)}", path=kind)])
    known = {*TOP, *GROUPS, FREE}
    found: dict[str, Any] = {"environment": layers.choices.get("env") or "dev"}
    values: dict[str, Any] = {}
    for key in [str(key) for key in layers.tree if key not in kinds]:
        if key not in known:
            hint = did_you_mean(key, {*known, *kinds})
            problems.tell("", [Diagnostic("unknown-key", f"unknown key '{key}'", path=key, hint=hint)])
            continue
        values[key], wrong = resolver.settings(key, plain(layers.tree, key))
        if not problems.tell("", wrong) and key in TOP and values[key] is not None:
            found[key] = values[key]
    settings, wrong = validate(Settings, found)
    problems.tell("", wrong)
    return settings or Settings(), values


def fingerprint(values: Any, variables: Collection[str] = ()) -> bytes:
    """Return a digest of plain values, and of the variables that `oc.env` may read."""
    return digest([_canonical(values), [caching.hash_variable(name).hex() for name in variables]]).encode()


def _canonical(value: Any) -> Any:
    """Return the value as JSON can hold it."""
    if isinstance(value, dict):
        return {f"{type(key).__name__}:{key}": _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return repr(value) if isinstance(value, float | bytes) else value
