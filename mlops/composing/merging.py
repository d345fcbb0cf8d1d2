"""Merging: the settings, and the resources that cannot go direct, through Hydra; whatever fails is told and left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mlops.composing import overriding, selecting
from mlops.composing.documents import places
from mlops.composing.layering import FAILURES, Files, Layers, layer
from mlops.composing.reading import MERGED
from mlops.composing.sources import FOLDER, GROUPS, ROOT, SUFFIX
from mlops.core.diagnostics import Diagnostic, Origin, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hydra.core.override_parser.types import Override

    from mlops.composing.reading import Document

FREE = "vars"
"""The key of config.yaml and its groups for free variables, which nothing but interpolations read."""


@dataclass(slots=True)
class Merged:
    """What Hydra made of it. `layers` is None where the settings could not be composed."""

    layers: Layers | None
    direct: dict[str, Document] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)  # resources that are there and cannot be looked at
    overrides: tuple[Override, ...] = ()

    def composed(self, kinds: Collection[str]) -> dict[str, Any]:
        """Return the resources in the tree, not resolved, by address."""
        found: dict[str, Any] = {}
        if self.layers is None:
            return found
        for kind in kinds:
            data = plain(self.layers.tree, kind)
            for name, item in data.items() if isinstance(data, dict) else ():
                found[f"{kind}.{name}"] = item
        return found


def plain(tree: DictConfig, key: str) -> Any:
    """Return what stands under `key`, not resolved; None where nothing does."""
    node = tree._get_node(key)  # noqa: SLF001 - the node itself, not resolved
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else getattr(node, "_value", lambda: None)()


def merge(
    documents: Mapping[str, Document], overrides: Sequence[str], kinds: Collection[str], diagnostics: list[Diagnostic]
) -> Merged:
    """Merge everything that needs Hydra; problems go to `diagnostics`. Runs inside `layering.isolated`."""
    parsed = overriding.parse(overrides, diagnostics)
    root = documents.get(ROOT)
    if root is None or root.data is None:
        return Merged(
            None, skipped={document.source.address for document in documents.values() if document.source.group in kinds}
        )
    claims = selecting.Claims()
    for document in documents.values():
        if document.source.group not in kinds or document.needs == MERGED:
            selecting.claims_of_file(claims, document.source, document.data, document.package, kinds)
    choice = selecting.choose(root.data, [document.source for document in documents.values()], kinds)
    options, known = _options(documents), _known(choice.sources, claims, kinds)
    parsed = _accepted(parsed, options, known, diagnostics)
    for override in parsed:
        selecting.claims_of_override(claims, override, kinds)
    found = Merged(None)
    through: list[str] = []
    for address, source in choice.sources.items():
        document = documents[source.option]
        if document.needs == MERGED or claims.has(address):
            through.append(address)
        else:
            found.direct[address] = document
    broken = [address for address in through if documents[choice.sources[address].option].data is None]
    found.skipped.update(broken)
    root_data = selecting.root_document(root.data, choice, [address for address in through if address not in broken])
    layers, rest = _layered(lambda: Files(documents, root_data, options), parsed, documents, diagnostics)
    found.overrides = tuple(rest)
    if layers is None:
        found.skipped.update(through)
        return found
    overriding.put_all(rest, layers.tree, diagnostics)
    OmegaConf.set_struct(layers.tree, False)  # noqa: FBT003 - OmegaConf's signature
    found.layers = layers
    return found


def _options(documents: Mapping[str, Document]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for document in documents.values():
        if document.source.group:
            options.setdefault(document.source.group, []).append(document.source.name)
    return options


def _known(addresses: Collection[str], claims: selecting.Claims, kinds: Collection[str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {key: [] for key in (*GROUPS, *kinds, "project", FREE)}
    for address in {*addresses, *claims.addresses}:
        kind, _, name = address.partition(".")
        known[kind].append(name)
    return known


def _accepted(
    parsed: Sequence[Override],
    options: Mapping[str, Sequence[str]],
    known: Mapping[str, Collection[str]],
    diagnostics: list[Diagnostic],
) -> list[Override]:
    accepted = []
    for override in parsed:
        diagnostic = overriding.refuse(override, options, known)
        if diagnostic is None:
            accepted.append(override)
        else:
            diagnostics.append(diagnostic)
    return accepted


def _layered(
    files: Any, overrides: Sequence[Override], documents: Mapping[str, Document], diagnostics: list[Diagnostic]
) -> tuple[Layers | None, list[Override]]:
    """Merge; where that fails find out which overrides are to blame, and merge without them."""
    try:
        return layer(files(), overrides)
    except FAILURES as error:
        failure = error
    try:
        best = layer(files(), [])
    except FAILURES as error:
        diagnostics.append(_explain(error, documents))
        return None, []
    kept: list[Override] = []
    for override in overrides:
        try:
            best = layer(files(), [*kept, override])
            kept.append(override)
        except FAILURES as error:
            failure = error
            diagnostics.append(_blame(override, failure))
    return best


def _blame(override: Override, error: BaseException) -> Diagnostic:
    lines = [line for line in str(error).splitlines() if line] or [type(error).__name__]
    unknown = re.match(r"Could not override '([^']+)'", lines[0])
    if unknown is not None:
        meant = re.search(r"Did you mean to override (\S+)\?", str(error))
        choice = f"did you mean {meant[1]}={override.value()}?" if meant else "config.yaml's defaults list has what can be chosen"
        return overriding.problem("override", f"'{unknown[1]}' chooses nothing", override.input_line, choice)
    hint = " ".join(lines[1:2]) or None
    return overriding.problem("override", lines[0].rstrip("."), override.input_line, hint)


def _explain(error: BaseException, documents: Mapping[str, Document]) -> Diagnostic:
    if isinstance(error, RecursionError):
        summary = "defaults lists lead back to themselves"
        return Diagnostic(
            "defaults", summary, origin=Origin(f"{FOLDER}/{ROOT}{SUFFIX}", 1, 1), hint="look for a file that includes itself"
        )
    lines = str(error).splitlines() or [type(error).__name__]
    match = re.match(r"In '([^']+)': (.*)", lines[0])
    option, message = (match[1], match[2]) if match else (ROOT, lines[0])
    origin = Origin(f"{FOLDER}/{option}{SUFFIX}", 1, 1)
    if "must be a list" in message:
        return Diagnostic("defaults", "defaults is no list", origin=origin, hint="write defaults: [group: option, _self_]")
    missing = getattr(error, "missing_cfg_file", None)
    if not missing:
        return Diagnostic("defaults", f"{message} {' '.join(lines[1:2])}".strip(), origin=origin)
    group, _, name = missing.rpartition("/")
    if option in documents:
        origin = _entry(documents[option], name, origin)
    options = getattr(error, "options", None)
    groups = {known.rpartition("/")[0] for known in documents} - {""}
    hint = did_you_mean(name, options, "options") if options else did_you_mean(group, groups, "groups")
    return Diagnostic("unknown-option", f"there is no {FOLDER}/{missing}{SUFFIX}", origin=origin, hint=hint)


def _entry(document: Document, name: str, otherwise: Origin) -> Origin:
    """Return the place of the entry of the defaults list that names the option."""
    defaults = (document.data or {}).get("defaults", [])
    found = next((index for index, item in enumerate(defaults) if name in str(item)), None)
    where = places(document.text).get(f"defaults.{found}") if found is not None else None
    return Origin(document.source.file, where.line, where.column) if where else otherwise
