"""Selecting: which resources there are, and which of them Hydra must merge; all others take the direct path.

A resource needs Hydra where its file has a defaults list, or where an override, a settings file or a file with a
package header may write into it. `may` is meant: naming too many costs time, naming too few would cost truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.composing.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hydra.core.override_parser.types import Override

    from mlops.composing.sources import Source

GLOBAL = "_global_"
SELF = "_self_"


@dataclass(slots=True)
class Claims:
    """What may be written from elsewhere: single resources, and kinds as a whole."""

    addresses: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)

    def has(self, address: str) -> bool:
        """Tell whether the resource may be written to."""
        return address in self.addresses or address.partition(".")[0] in self.kinds

    def path(self, path: str, content: Any, kinds: Collection[str]) -> None:
        """Claim what a value at the dotted `path` writes to."""
        kind, _, rest = path.partition(".")
        if kind in kinds and rest:
            self.addresses.add(f"{kind}.{rest.partition('.')[0]}")
        elif kind in kinds and isinstance(content, dict):
            self.addresses.update(f"{kind}.{name}" for name in content)
        elif kind in kinds:
            self.kinds.add(kind)


def claims_of_file(claims: Claims, source: Source, document: Any, header: str | None, kinds: Collection[str]) -> None:
    """Claim what the file may write to beside itself."""
    if not isinstance(document, dict):
        return
    package = (header or ("" if source.option == ROOT else source.group)).removeprefix(GLOBAL).removeprefix(".")
    if source.group not in kinds or header is not None:
        for key, value in [(package, document)] if package else document.items():
            claims.path(str(key), value, kinds)
    for group, target in _entries(document.get("defaults")):
        if package.partition(".")[0] in kinds and header is not None:
            claims.kinds.add(package.partition(".")[0])  # the entry's package stands below the header's
        at_top = target is None and (package == "" or header is not None)
        if at_top or target is not None:
            claims.path(group if target is None else target.removeprefix(GLOBAL).removeprefix("."), None, kinds)


def claims_of_override(claims: Claims, override: Override, kinds: Collection[str]) -> None:
    """Claim what the override writes to."""
    claims.path(override.package or override.key_or_group, override.value(), kinds)


def _entries(defaults: Any) -> Iterator[tuple[str, str | None]]:
    """Yield (group, package) of each entry of a defaults list."""
    for item in defaults if isinstance(defaults, list) else ():
        text = next(iter(item), "") if isinstance(item, dict) else item
        if isinstance(text, str) and text:
            group, at, package = text.split(" ")[-1].partition("@")
            yield group.strip("/").partition("/")[0], package if at else None


@dataclass(frozen=True, slots=True)
class Choice:
    """The resources of the project, by address, and the rest of config.yaml's defaults list."""

    sources: Mapping[str, Source]
    rest: tuple[Any, ...]


def choose(root: Any, sources: Iterable[Source], kinds: Collection[str]) -> Choice:
    """Return the resources that stand in the defaults list: those that it names of a kind, else every file of the kind."""
    defaults = root.get("defaults") if isinstance(root, dict) else None
    files = {source.option: source for source in sources if source.group in kinds}
    chosen: dict[str, Source] = {}
    rest: list[Any] = []
    named: set[str] = set()
    for item in defaults if isinstance(defaults, list) else ():
        pairs, kind = _named(item, kinds)
        named.add(kind)
        if pairs and all(f"{kind}/{option}" in files for _, option in pairs) and not {name for name, _ in pairs} & chosen.keys():
            chosen.update({address: files[f"{kind}/{option}"] for address, option in pairs})
        else:
            rest.append(item)
    for source in files.values():
        if source.group not in named:
            chosen[source.address] = source
    return Choice(dict(sorted(chosen.items())), tuple(rest))


def _named(item: Any, kinds: Collection[str]) -> tuple[list[tuple[str, str]], str]:
    """Return [(address, option)] and the kind where the entry names options of a kind plainly: `model@model.a: b`, `model: [a, b]`."""
    if not isinstance(item, dict) or len(item) != 1:
        return [], ""
    (key, value), *_ = item.items()
    group, _, package = str(key).partition("@")
    kind = group.split(" ")[-1].strip("/")
    if kind not in kinds:
        return [], ""
    if kind != group:  # `optional model@…` and `override model@…` are left to Hydra
        return [], kind
    options = value if isinstance(value, list) else [value]
    if not all(isinstance(option, str) and "${" not in option for option in options):
        return [], kind
    if not package:
        return [(f"{kind}.{option}", option) for option in options], kind
    is_plain = len(options) == 1 and package.count(".") == 1 and package.startswith(f"{kind}.")
    return ([(package, options[0])] if is_plain else []), kind


def root_document(root: Any, choice: Choice, through: Iterable[str]) -> Any:
    """Return config.yaml with the resources that Hydra must merge ahead of everything else in its defaults list."""
    document = dict(root or {})
    if "defaults" in document and not isinstance(document["defaults"], list):
        return document  # Hydra says what is wrong with it
    entries = [{f"{address.partition('.')[0]}@{address}": choice.sources[address].name} for address in through]
    rest = list(choice.rest)
    document["defaults"] = [*entries, *rest, *([] if SELF in rest else [SELF])]
    return document
