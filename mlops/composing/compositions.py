"""Compositions: `compose` turns conf/ and the overrides into the desired project; the only door of this room.

Where nothing has changed since the last time, the composition is read from the cache, and neither Hydra nor OmegaConf nor
YAML is imported; otherwise `assembling` does the work.
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.composing import caching
from mlops.composing.origins import Places
from mlops.composing.problems import Problems
from mlops.composing.sources import scan
from mlops.core.addresses import Address
from mlops.core.settings import Composition, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
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
    with _uncollected():
        return _compose(root, tuple(overrides), kinds)


def settings(root: Path, overrides: Sequence[str], kinds: Mapping[str, Kind]) -> Settings:
    """Return the project's settings alone; whatever is wrong with resources, and overrides of them, do not matter.

    Raises:
        SpecError: the settings are wrong.
    """
    from mlops.composing.assembling import Assembling

    own = tuple(override for override in overrides if _group(override) not in kinds)
    diagnostics: list[Diagnostic] = []
    return Assembling(root, scan(root, kinds, diagnostics), kinds, diagnostics).settings(own)


def _group(override: str) -> str:
    """Return the first name of an override's key: model of `+model.credit.seed=1` and of `model@model.credit=big`."""
    return re.split(r"[.@/=]", override.lstrip("+~"), maxsplit=1)[0]


def _compose(root: Path, overrides: tuple[str, ...], kinds: Mapping[str, Kind]) -> Composition:
    diagnostics: list[Diagnostic] = []
    found = scan(root, kinds, diagnostics)
    cache = caching.Cache(root, overrides, kinds)
    kept = cache.load()
    if kept is not None and not diagnostics:
        if caching.is_clean(kept, found) and caching.holds(kept, found, root):
            return _composition(root, overrides, kept)
        moment = cache.moment()
        if caching.holds(kept, found, root):
            kept.moment, kept.sources = moment, found
            cache.save(kept)
            return _composition(root, overrides, kept)
    from mlops.composing.assembling import Assembling

    return Assembling(root, found, kinds, diagnostics).run(overrides, cache, kept or cache.nearest())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Hold off garbage collections: there are ten thousand new objects and hardly any to free."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _composition(root: Path, overrides: tuple[str, ...], kept: Kept) -> Composition:
    resources = {Address(entry.address): entry.resource() for entry in kept.entries}
    problems = Problems([], Places(root, *kept.places))
    for entry in kept.entries:
        problems.tell(entry.address, entry.warnings)
    settings = Settings.model_validate(kept.settings)
    return Composition(settings, resources, problems.places, overrides, problems.refuse(overrides))
