"""Attending: what a person does to deliveries, running or not; a corner of the hall, behind `mlops rollout`.

Nothing here needs the environment's lease: what is asked is appended, and the delivery hears it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.errors import PlanError
from mlops.engine import undoing
from mlops.world import owners

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.notices import Notice, Verb
    from mlops.core.plans import Plan
    from mlops.core.resources import Kind
    from mlops.core.states import Entry, Record, State
    from mlops.project import Project


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one rollout stands."""

    address: Address
    facts: Mapping[str, Any]  # of what serves
    found: str | None  # what is not as recorded
    sentences: tuple[str, ...]  # of the delivery that is under way; empty where none is
    looked: str | None  # when its last step forward was noted
    is_driven: bool  # an apply runs that drives it
    asked: tuple[Notice, ...]  # since the delivery under way began
    rejected: tuple[Notice, ...]


def rollouts(project: Project, kinds: Mapping[str, Kind]) -> list[Address]:
    """Return what is kept, by address, as far as it is recorded."""
    return sorted(address for address in project.state().records if address.kind in kinds and kinds[address.kind].keeps)


def look(project: Project, kinds: Mapping[str, Kind], address: Address) -> Standing:
    """Return where the rollout stands, by looking at what runs.

    Raises:
        PlanError: nothing of it is recorded.
        WorldError: what runs cannot be looked at.
    """
    state = project.state()
    record, kind = _kept(state, kinds, address)
    found = kind.observe(record, project.world)
    under_way = _under_way(state, address)
    sentences: tuple[str, ...] = ()
    if under_way:
        sentences = kind.explain(record, under_way[-1].body, project.world)
    notices = project.store.notices(state.environment, address)
    began = under_way[0].at if under_way else None
    return Standing(
        address,
        {**record.facts, **found.facts},
        found.value,
        sentences,
        under_way[-1].at if under_way else None,
        state.is_held,
        tuple(one for one in notices if began is not None and one.at >= began),
        tuple(state.rejected.get(address, {}).values()),
    )


def ask(project: Project, kinds: Mapping[str, Kind], address: Address, verb: Verb, reason: str) -> bool:
    """Append what is asked of the rollout's delivery, or of the next one; tell whether an apply runs that hears it.

    Raises:
        PlanError: there is no such rollout, no delivery to ask, or no version that was rejected.
    """
    state = project.state()
    _kept(state, kinds, address)
    if verb == "retry" and address not in state.rejected:
        message = f"no version of {address} is rejected"
        raise PlanError(message, "`mlops apply` delivers what the configuration says")
    if verb != "retry" and not _under_way(state, address):
        message = f"no delivery of {address} is under way"
        hint = (
            f"`mlops rollout undo {address}` goes back to the version before" if verb == "abort" else "`mlops apply` begins one"
        )
        raise PlanError(message, hint)
    project.store.notify(state.environment, address, verb, by=owners.person(), reason=reason)
    return state.is_held


def undo(project: Project, kinds: Mapping[str, Kind], address: Address) -> Plan:
    """Return the plan that goes back to the version before.

    Raises:
        PlanError: there is none.
    """
    state = project.state()
    _, kind = _kept(state, kinds, address)
    return undoing.plan(address, kind, state, project.history(address), project.settings)


def reject(project: Project, address: Address, reason: str) -> None:
    """Keep what serves now from being delivered again, before it is undone: else the next apply would bring it back."""
    state = project.state()
    for key in undoing.keys(state.records[address]):
        project.store.notify(state.environment, address, "rejected", key=key, by=owners.person(), reason=reason)


def _kept(state: State, kinds: Mapping[str, Kind], address: Address) -> tuple[Record, Kind]:
    record, kind = state.records.get(address), kinds.get(address.kind)
    if record is None or kind is None or not kind.keeps:
        message = f"{address} is no rollout that was ever delivered in {state.environment}"
        raise PlanError(message, "`mlops rollout status` shows those that were")
    return record, kind


def _under_way(state: State, address: Address) -> Sequence[Entry]:
    """Return the entries of a delivery that began and did not end: it runs, or was interrupted."""
    return [entry for entry in state.pending if entry.address == address and entry.event in ("begin", "checkpoint")]
