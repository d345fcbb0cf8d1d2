"""Overriding: the command line's words, parsed by Hydra's grammar, checked, and set in the tree one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from mlops.composing.layering import FAILURES, put
from mlops.composing.sources import GROUPS, OWN
from mlops.core.diagnostics import Diagnostic, Origin, did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hydra.core.override_parser.types import Override


def parse(overrides: Sequence[str], diagnostics: list[Diagnostic]) -> list[Override]:
    """Return what the grammar makes of each override; what it does not understand goes to `diagnostics`."""
    parser = OverridesParser.create()
    parsed: list[Override] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except FAILURES:
            hint = "write key=value; put quotes around a value with special characters"
            diagnostics.append(problem("override", f"the override cannot be read{_open(text)}", text, hint))
            continue
        if override.is_sweep_override():
            hint = "for a list write key=[1,2]; for a text with commas put quotes around it: key='1,2'"
            diagnostics.append(problem("sweep", "several values for one key are a sweep, which is not supported", text, hint))
        else:
            parsed.append(override)
    return parsed


def _open(text: str) -> str:
    """Return what is most likely wrong with an override that is not in the grammar."""
    if any(text.count(opened) != text.count(closed) for opened, closed in ("[]", "{}", "()")):
        return ": a bracket is not closed"
    return ": a quote is not closed" if text.count("'") % 2 or text.count('"') % 2 else ""


def problem(code: str, summary: str, override: str | None, hint: str | None = None) -> Diagnostic:
    """Return the diagnostic of an override."""
    return Diagnostic(code, summary, origin=Origin(override=override), hint=hint)


def refuse(override: Override, options: Mapping[str, Sequence[str]], known: Mapping[str, Collection[str]]) -> Diagnostic | None:
    """Return what is wrong with the override before anything is merged, or None.

    Args:
        override: the override.
        options: the names of the files, by folder of conf/.
        known: the keys that may stand at the top, with the names below them where they are known.
    """
    key, text = override.key_or_group, override.input_line
    for own in OWN:
        if own in (key.partition(".")[0], (override.package or "").partition(".")[0]):
            return problem(own, f"`{own}` can be set only by conf/config.yaml itself", text, "edit conf/config.yaml")
    if key in options or key in GROUPS:
        return _refuse_option(override, options.get(key))
    if override.is_add() or override.is_force_add():
        return None
    return _refuse_key(key, text, known)


def _refuse_option(override: Override, options: Sequence[str] | None) -> Diagnostic | None:
    key, text, value = override.key_or_group, override.input_line, override.value()
    if override.is_delete() or not isinstance(value, str | list):
        return None
    if options is None:
        return problem("unknown-option", f"there is no folder conf/{key}", text, f"write conf/{key}/{value}.yaml")
    for name in value if isinstance(value, list) else [value]:
        if name not in options:
            return problem("unknown-option", f"'{key}' has no option '{name}'", text, did_you_mean(str(name), options, "options"))
    return None


def _refuse_key(key: str, text: str | None, known: Mapping[str, Collection[str]]) -> Diagnostic | None:
    first, _, rest = key.partition(".")
    if not first:
        return problem("override", "the override names no key", text, "write key=value, for example model.NAME.seed=3")
    if first not in known:
        return problem("unknown-key", f"there is no '{first}'", text, did_you_mean(first, known, "known"))
    name = rest.partition(".")[0]
    if name and known[first] and name not in known[first]:
        return problem(
            "unknown-resource", f"there is no {first}.{name}", text, did_you_mean(name, known[first], f"known of {first}")
        )
    return None


def put_all(overrides: Sequence[Override], tree: DictConfig, diagnostics: list[Diagnostic]) -> None:
    """Set each override in the tree; what does not fit goes to `diagnostics`."""
    for override in overrides:
        try:
            put(override, tree)
        except FAILURES as error:
            diagnostics.append(_explain(override, tree, error))


def _explain(override: Override, tree: DictConfig, error: Exception) -> Diagnostic:
    key, text = override.key_or_group, override.input_line or ""
    missing, siblings = _missing(tree, key)
    if override.package is not None:
        return problem("override", f"there is no folder conf/{key}, so '{key}@{override.package}' chooses nothing", text)
    if missing and override.is_delete():
        return problem(
            "override", f"'{key}' is not in the configuration, so it cannot be deleted", text, did_you_mean(missing, siblings)
        )
    if missing:
        close = nearest(missing, siblings)
        hint = (f"did you mean '{close}'? " if close else "") + f"to add a new field write +{text}"
        return problem("needs-plus", f"'{key}' is not in the configuration: a new field needs +", text, hint)
    summary = (str(error) or type(error).__name__).splitlines()[0]
    if override.is_add():
        return problem(
            "override", f"'{key}' is there already", text, f"write {text[1:]} to change it, or +{text} to set it in any case"
        )
    return problem("override", f"the override does not fit: {summary}", text)


def _missing(tree: DictConfig, key: str) -> tuple[str | None, list[str]]:
    """Return the first part of the dotted key that the tree does not have, and what stands beside it."""
    place: Any = tree
    for part in key.split("."):
        if not isinstance(place, DictConfig | ListConfig):
            return part, []
        plain = OmegaConf.to_container(place, resolve=False)
        names = [str(name) for name in plain] if isinstance(plain, dict) else [str(index) for index in range(len(place))]
        if part not in names:
            return part, names
        key_part: Any = int(part) if isinstance(place, ListConfig) else part
        place = place._get_node(key_part)  # noqa: SLF001 - the node itself, not resolved
    return None, []
