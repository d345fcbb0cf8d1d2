"""Choosing: what one plan is about: the desired resources and the leftover records, by what its caller asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mlops.core.errors import PlanError
from mlops.engine import graphs, ignoring, importing, moving

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlops.core.addresses import Address
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Composition, Import
    from mlops.core.states import Record, State


class Refresh(StrEnum):
    """What a plan looks at outside."""

    NONE = "none"  # what records do not tell
    CHANGED = "changed"  # inputs, and the things that are kept
    ALL = "all"  # the artifacts of records too


@dataclass(frozen=True, slots=True)
class Options:
    """What a single plan asks for beyond the configuration."""

    targets: tuple[Address, ...] = ()  # only these and what they need
    replace: frozenset[Address] = frozenset()  # made anew though nothing changed
    destroy: bool = False  # nothing is desired
    exclude: frozenset[Address] = frozenset()  # not these, nor what depends on them
    refresh: Refresh = Refresh.CHANGED

    def asked(self) -> dict[str, Any]:
        """Return what differs from a plain plan, as JSON."""
        asked: dict[str, Any] = {name: sorted(getattr(self, name)) for name in ("targets", "exclude", "replace")}
        asked |= {"destroy": self.destroy, "refresh": "" if self.refresh is Refresh.CHANGED else self.refresh.value}
        return {name: value for name, value in asked.items() if value}


@dataclass(frozen=True, slots=True)
class Scope:
    """What one plan is about."""

    desired: Composition
    recorded: State  # as it is
    state: State  # as it is once all has moved
    options: Options
    resources: Mapping[Address, Resource]
    leftovers: tuple[Record, ...] = ()  # of what is no longer desired
    moved: Mapping[Address, Address] = field(default_factory=dict)  # new address → old address
    imports: Mapping[Address, Import] = field(default_factory=dict)
    problems: tuple[Diagnostic, ...] = ()


def choose(desired: Composition, recorded: State, kinds: Mapping[str, Kind], options: Options) -> Scope:
    """Return what a plan with these options is about; pure.

    Raises:
        PlanError: an address that the options name is neither desired nor recorded.
    """
    problems: list[Diagnostic] = []
    state, moved = (recorded, {}) if options.destroy else moving.move(desired, recorded, kinds, problems)
    resources = {} if options.destroy else ignoring.ignore(desired, state, kinds, problems)
    leftovers = {address: record for address, record in state.records.items() if address not in resources}
    for address in sorted({*options.targets, *options.replace, *options.exclude}):
        if address not in desired.resources and address not in recorded.records:
            message = f"{address} is neither in the configuration nor in the state"
            raise PlanError(message, "mlops show lists what there is")
    imports = importing.find(desired, state, kinds, problems)
    left_out = _excluded(options.exclude, resources, leftovers)
    wanted = _targeted(options, resources, leftovers)
    chosen = {address: resource for address, resource in resources.items() if _is_in(address, wanted, left_out)}
    return Scope(
        desired,
        recorded,
        state,
        options,
        chosen,
        tuple(leftovers[address] for address in sorted(leftovers) if _is_in(address, wanted, left_out)),
        {address: old for address, old in moved.items() if address in chosen},
        {address: one for address, one in imports.items() if address in chosen},
        tuple(problems),
    )


def _is_in(address: Address, wanted: Collection[str] | None, left_out: Collection[str]) -> bool:
    return (wanted is None or address in wanted) and address not in left_out


def _targeted(options: Options, resources: Mapping[Address, Resource], leftovers: Mapping[Address, Record]) -> set[str] | None:
    """Return the targets with what they need, and when they go with what needs them; None where all is wanted."""
    if not options.targets:
        return None
    wanted = graphs.closure(options.targets, {address: graphs.needs(resource) for address, resource in resources.items()})
    return wanted | dependants(wanted, _reads(leftovers)) if options.destroy else wanted


def _excluded(exclude: Iterable[Address], resources: Mapping[Address, Resource], leftovers: Mapping[Address, Record]) -> set[str]:
    """Return what is excluded with all that depends on it; and what must not be deleted because an excluded record reads it."""
    if not exclude:
        return set()
    found = dependants(exclude, {address: graphs.needs(resource) for address, resource in resources.items()})
    return found | graphs.closure((address for address in leftovers if address in found), _reads(leftovers))


def _reads(records: Mapping[Address, Record]) -> dict[Address, Iterable[str]]:
    return {address: record.refs for address, record in records.items()}


def dependants(start: Iterable[str], edges: Mapping[Address, Iterable[str]]) -> set[str]:
    """Return `start` and all that needs one of them, directly or not."""
    readers: dict[str, list[Address]] = {}
    for address, needs in edges.items():
        for need in needs:
            readers.setdefault(need, []).append(address)
    return graphs.closure(start, readers)
