"""The door `packages`: which versions of which distributions a step would run with here, and which Python.

Planning asks it for every model, mostly with the same names: an answer is kept for the life of the process.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused
from mlops.core.worlds import Observation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.metadata import Distribution

    from mlops.core.worlds import World

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)[^;]*(?:;\s*(.*))?")
_OF_AN_EXTRA = re.compile(r"""(?:^|.*\band\s)\s*\(?\s*extra\s*==\s*['"][^'"]*['"]\s*\)?\s*""")


def observe(arguments: Mapping[str, Any], _world: World) -> Observation:
    """Answer `names`, and those of `optional` that are installed, with `{distribution: version}` of them and of all that they require.

    `python` is answered beside them.

    Raises:
        Refused: one of `names` is not installed.
    """
    optional = [name for name in arguments.get("optional", ()) if _installed(name)]
    found = closure(frozenset([*arguments["names"], *optional]))
    return Observation(found, {"packages": len(found) - 1})


@cache
def closure(names: frozenset[str]) -> Mapping[str, str]:
    """Return what the distributions `names` bring along, extras left out, by canonical name, and the minor version of Python.

    A name may also be that of a module, as in a path of an estimator.

    Raises:
        Refused: one of `names` is not installed.
    """
    found = {canonical(each.name): each for each in map(_named, sorted(names))}
    conditional = deque(_grow(found, list(found.values())))
    while conditional:  # a marker is looked at only where it decides: most packages come in without one, too
        name, marker = conditional.popleft()
        distribution = None if name in found else _installed(name)
        if distribution is not None and _holds(marker):
            found[name] = distribution
            conditional.extend(_grow(found, [distribution]))
    versions = {name: found[name].version for name in sorted(found)}
    return {**versions, "python": f"{sys.version_info.major}.{sys.version_info.minor}"}


def canonical(name: str) -> str:
    """Return the one spelling of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(name: str) -> Distribution:
    distribution = _installed(name)
    if distribution is None:
        from importlib.metadata import packages_distributions

        (owner, *_) = packages_distributions().get(name, [""])  # slow, but for the rare module that is not named as its package
        distribution = _installed(owner) if owner else None
    if distribution is None:
        message = f"the package '{name}' is not installed"
        raise Refused(message, f"install it where mlops runs: pip install {name}")
    return distribution


def _installed(name: str) -> Distribution | None:
    from importlib.metadata import Distribution, PackageNotFoundError

    try:
        return Distribution.from_name(name)
    except PackageNotFoundError:
        return None


def _grow(found: dict[str, Distribution], fresh: list[Distribution]) -> Iterator[tuple[str, str]]:
    """Add to `found` what `fresh` require without a condition, and so on; yield what is required on a condition."""
    while fresh:
        for name, marker in _requirements(fresh.pop()):
            if marker:
                yield name, marker
            elif name not in found and (distribution := _installed(name)) is not None:
                found[name] = distribution
                fresh.append(distribution)


def _requirements(distribution: Distribution) -> Iterable[tuple[str, str]]:
    """Yield (name, marker) of what a distribution requires; extras are left out. Read as text: the email parser is slow."""
    text = distribution.read_text("METADATA") or ""
    for line in text.partition("\n\n")[0].splitlines():
        match = _REQUIREMENT.fullmatch(line.removeprefix("Requires-Dist:")) if line.startswith("Requires-Dist:") else None
        if match and not _OF_AN_EXTRA.fullmatch(match[2] or ""):
            yield canonical(match[1]), match[2] or ""


def _holds(marker: str) -> bool:
    from packaging.markers import InvalidMarker, Marker  # imported late: 30 ms

    try:
        return Marker(marker).evaluate({"extra": ""})
    except InvalidMarker:
        return False
