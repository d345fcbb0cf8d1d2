"""Graphs: the order of resources, in levels whose members do not depend on each other, and the cycle where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.errors import CycleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Resource


def needs(resource: Resource) -> set[str]:
    """Return the addresses whose outputs or verdict the resource's steps need. A baseline is no edge."""
    found = {str(gate.address) for gate in resource.gates}
    for step in resource.steps:
        found.update(read[7:].partition("/")[0] for read in step.reads if read.startswith("output:"))
    found.discard(resource.address)
    return found


def levels(edges: Mapping[Address, Iterable[str]]) -> list[list[Address]]:
    """Return the addresses in levels, each sorted; every address stands behind all that it needs.

    `edges` maps an address to what it needs; needs outside the mapping are ignored.

    Raises:
        CycleError: with the cycle as addresses.
    """
    waiting = {address: {need for need in wanted if need in edges} for address, wanted in edges.items()}
    dependants: dict[str, list[Address]] = {}
    for address, wanted in waiting.items():
        for need in wanted:
            dependants.setdefault(need, []).append(address)
    level = sorted(address for address, wanted in waiting.items() if not wanted)
    done: list[list[Address]] = []
    while level:
        done.append(level)
        following = []
        for address in level:
            del waiting[address]
            for dependant in dependants.get(address, ()):
                waiting[dependant].discard(address)
                if not waiting[dependant]:
                    following.append(dependant)
        level = sorted(following)
    if waiting:
        raise _cycle(waiting)
    return done


def closure(start: Iterable[str], edges: Mapping[Any, Iterable[str]]) -> set[str]:
    """Return `start` and all that it needs, directly or not."""
    found: set[str] = set()
    todo: list[str] = list(start)
    while todo:
        address = todo.pop()
        if address not in found:
            found.add(address)
            todo.extend(edges.get(address, ()))
    return found


def _cycle(waiting: Mapping[Address, set[str]]) -> CycleError:
    path: list[str] = []
    address: str = min(waiting)
    while address not in path:
        path.append(address)
        address = min(waiting[address])  # type: ignore[index]
    circle = [*path[path.index(address) :], address]
    message = f"resources refer to each other in a circle: {' → '.join(circle)}"
    return CycleError(message, "take one of these references out")
