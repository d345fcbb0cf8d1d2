"""Choosing: which resources and which leftover records a plan is about, by what its caller asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.errors import PlanError
from mlops.engine import graphs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Resource
    from mlops.core.settings import Composition
    from mlops.core.states import Record, State


@dataclass(frozen=True, slots=True)
class Options:
    """What a single plan asks for beyond the configuration."""

    targets: tuple[Address, ...] = ()  # only these and what they need
    replace: frozenset[Address] = frozenset()  # made anew though nothing changed
    destroy: bool = False  # nothing is desired


def select(desired: Composition, state: State, options: Options) -> tuple[dict[Address, Resource], list[Record]]:
    """Return the resources and the leftover records that a plan with these options is about.

    Raises:
        PlanError: a target is neither desired nor recorded.
    """
    resources = {} if options.destroy else dict(desired.resources)
    leftovers = {address: record for address, record in state.records.items() if address not in resources}
    for address in sorted({*options.targets, *options.replace}):
        if address not in resources and address not in leftovers:
            message = f"{address} is neither in the configuration nor in the state"
            raise PlanError(message, "mlops show lists what there is")
    if options.targets:
        edges = {address: graphs.needs(resource) for address, resource in resources.items()}
        wanted = graphs.closure(options.targets, edges)
        if options.destroy:
            wanted |= _dependants(wanted, leftovers)
        resources = {address: resource for address, resource in resources.items() if address in wanted}
        leftovers = {address: record for address, record in leftovers.items() if address in wanted}
    return resources, [leftovers[address] for address in sorted(leftovers)]


def _dependants(wanted: set[str], records: Mapping[Address, Record]) -> set[str]:
    """Return the records that read, directly or not, one of `wanted`: they cannot outlive it."""
    found = set(wanted)
    grows = True
    while grows:
        more = {str(address) for address, record in records.items() if address not in found and found & set(record.refs)}
        found |= more
        grows = bool(more)
    return found
