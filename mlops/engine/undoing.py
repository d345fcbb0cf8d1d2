"""Undoing: the plan that brings back what a kept resource was before, from the journal alone: nothing is composed, made or fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core import ops, plans
from mlops.core.errors import PlanError
from mlops.core.plans import Action, Change, Do, Plan, Reason, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind
    from mlops.core.settings import Settings
    from mlops.core.states import Entry, Record, State


def plan(address: Address, kind: Kind, state: State, history: Iterable[Entry], settings: Settings) -> Plan:
    """Return the plan that makes the resource what it was before it became what is recorded.

    Raises:
        PlanError: it is not recorded, its last change did not finish, or it was never another one.
    """
    record = state.records.get(address)
    if record is None or not kind.keeps:
        message = f"{address} is nothing that is kept in {state.environment}"
        raise PlanError(message, "`mlops status` shows what is")
    if not record.complete:
        message = f"the last change of {address} did not finish: what served before it serves still, or serves beside it"
        raise PlanError(message, f"`mlops rollout abort {address}` takes it back, or `mlops apply` finishes it")
    former = _former(record, history)
    if former is None:
        message = f"{address} was never another one than it is"
        raise PlanError(message, "there is nothing to go back to")
    steps = tuple(_steps(former, kind))
    change = Change(
        address,
        Action.UPDATE,
        (Reason("undone", {"at": max(step.at for step in former.steps.values())}),),
        body=former.body,
        digest=former.digest,
        refs=former.refs,
        inputs=former.inputs,
        steps=tuple(step.name for step in steps),
        protected=record.protected,
    )
    return plans.identify(
        Plan(
            plans.FORMAT,
            "",
            settings.project,
            settings.environment,
            (change,),
            steps,
            {str(address): record.version},
            settings=settings.portable(),
            options={"undo": address},
            complete=False,
        )
    )


def keys(record: Record) -> frozenset[str]:
    """Return the keys of all steps of the record."""
    return frozenset(step.key for step in record.steps.values())


def _former(record: Record, history: Iterable[Entry]) -> Record | None:
    """Return the last finished record that came of other keys."""
    found = None
    for entry in history:
        if entry.forget:
            found = None
        elif entry.record is not None and entry.record.complete and entry.record.steps and keys(entry.record) != keys(record):
            found = entry.record
    return found


def _steps(former: Record, kind: Kind) -> Iterator[Step]:
    """Yield the steps that were run then, in a row, with the values that they were bound to."""
    after: tuple[str, ...] = ()
    for template in kind.steps(kind.Spec.model_validate(former.body), former.address):
        values = former.steps[template.name].values
        yield Step(
            f"{former.address}/{template.name}",
            former.address,
            template.name,
            Do.RUN,
            template.verb,
            template.op,
            template.digest,
            template.reads,
            {read: values[read] for read in template.reads},
            outputs=template.outputs,
            after=after,
            key=ops.key(template.digest, template.reads, values),
            here=template.here,
        )
        after = (f"{former.address}/{template.name}",)
