"""Origins: where every value was written, found again only when somebody asks, so that composing pays nothing for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.composing.sources import FOLDER, SUFFIX
from mlops.core.diagnostics import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mlops.composing.documents import Spot

GLOBAL = "_global_"


class Written(NamedTuple):
    """An override that set a value: its text, the dotted key, and the value."""

    text: str
    key: str
    value: Any


@dataclass(slots=True)
class Places:
    """The origins of one composition.

    parts     (option, package) of every file that Hydra merged, in order
    written   the overrides that set values, in order
    through   the resources that Hydra merged; all others come from one file each
    renamed   the file of a resource, where it is not `conf/<kind>/<name>.yaml`
    """

    root: Path
    parts: tuple[tuple[str, str], ...] = ()
    written: tuple[Written, ...] = ()
    through: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    _read: dict[str, dict[str, Spot]] = field(default_factory=dict)

    def kept(self) -> tuple[tuple[tuple[str, str], ...], tuple[Written, ...], frozenset[str], dict[str, str]]:
        """Return all but the folder, to be kept."""
        return self.parts, self.written, self.through, dict(self.renamed)

    def of(self, address: str, path: str = "") -> Origin | None:
        """Return where the value was written, or the nearest thing above it that was; None where nothing was at all.

        Below `target: ${target}` values are written where the link leads.
        """
        whole = f"{address}.{path}" if path else address
        for place in _upwards(whole):
            origin = self._exactly(address, place)
            if origin is not None:
                return self._linked(origin, whole[len(place) + 1 :]) or origin
        return self._beneath(address)

    def _linked(self, origin: Origin, rest: str) -> Origin | None:
        """Return where `rest` is written, below the link that stands at `origin`, if one does."""
        spots = self._read.get(origin.file or "", {}).values() if rest else ()
        link = next((spot.link for spot in spots if (spot.line, spot.column) == (origin.line, origin.column)), None)
        if link is None:
            return None
        place = f"{link}.{rest}"
        owners = [".".join(place.split(".")[:parts]) for parts in (1, 2)]  # a group, or a resource
        return next((found for owner in owners if (found := self._exactly(owner, place)) is not None), None)

    def _beneath(self, address: str) -> Origin | None:
        """Return where something below was written, for what no place names itself (`+extra.key=1` makes `extra`)."""
        for written in self.written:
            if written.key.startswith(f"{address}."):
                return Origin(override=written.text)
        for option, package in self.parts:
            if package.removeprefix(f"{GLOBAL}.").startswith(f"{address}."):
                return Origin(f"{FOLDER}/{option}{SUFFIX}", 1, 1)
        return None

    def _exactly(self, address: str, place: str) -> Origin | None:
        if "." in address and address not in self.through:
            inside = _below(place, address)
            file = self.renamed.get(address, f"{FOLDER}/{address.replace('.', '/', 1)}{SUFFIX}")
            return None if inside is None else self._in_file(file, inside)
        for written in reversed(self.written):
            inside = _below(place, written.key)
            if inside is not None and _has(written.value, inside):
                return Origin(override=written.text)
        for option, package in reversed(self.parts):
            inside = _below(place, package.removeprefix(GLOBAL).removeprefix("."))
            origin = None if inside is None else self._in_file(f"{FOLDER}/{option}{SUFFIX}", inside)
            if origin is not None:
                return origin
        return None

    def _in_file(self, file: str, path: str) -> Origin | None:
        if file not in self._read:
            from mlops.composing.documents import places

            try:
                self._read[file] = places((self.root / file).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                self._read[file] = {}
        found = self._read[file].get(path)
        return None if found is None else Origin(file, found.line, found.column)


def _upwards(place: str) -> Iterator[str]:
    while place:
        yield place
        place = place.rpartition(".")[0]


def _below(place: str, above: str) -> str | None:
    """Return what is left of the dotted `place` under `above`, or None where it does not stand under it."""
    if not above:
        return place
    if place == above:
        return ""
    return place[len(above) + 1 :] if place.startswith(f"{above}.") else None


def _has(value: Any, path: str) -> bool:
    for part in path.split(".") if path else ():
        if isinstance(value, dict) and part in map(str, value):
            value = next(item for key, item in value.items() if str(key) == part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False
    return True
