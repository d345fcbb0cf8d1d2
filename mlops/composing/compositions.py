"""Compositions: `compose` turns conf/ and the overrides into the desired project; the only door of this room.

Where nothing has changed since the last time, the composition is read from the cache, and neither Hydra nor OmegaConf nor
YAML is imported; otherwise `assembling` does the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.composing import caching
from mlops.composing.origins import Places
from mlops.composing.sources import scan
from mlops.core.addresses import Address
from mlops.core.settings import Composition, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops.composing.caching import Kept
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.resources import Kind


def compose(root: Path, overrides: Sequence[str], kinds: Mapping[str, Kind]) -> Composition:
    """Return the project as it is written below `root`/conf with the overrides of the command line.

    Raises:
        SpecError: with every problem of every file and override.
        CycleError: resources refer to each other in a circle.
    """
    diagnostics: list[Diagnostic] = []
    found = scan(root, kinds, diagnostics)
    cache = caching.Cache(root, overrides, kinds)
    kept = cache.load()
    if kept is not None and not diagnostics:
        if caching.is_clean(kept, found) and caching.holds(kept, found, root):
            return _composition(root, tuple(overrides), kept)
        moment = cache.moment()
        if caching.holds(kept, found, root):
            kept.moment, kept.sources = moment, found
            cache.save(kept)
            return _composition(root, tuple(overrides), kept)
    from mlops.composing.assembling import Assembling

    return Assembling(root, found, kinds, diagnostics).run(tuple(overrides), cache, kept or cache.nearest())


def _composition(root: Path, overrides: tuple[str, ...], kept: Kept) -> Composition:
    resources = {Address(entry.address): entry.resource() for entry in kept.entries}
    return Composition(Settings.model_validate(kept.settings), resources, Places(root, *kept.places), overrides)
