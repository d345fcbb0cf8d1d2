"""Staging: the graph of steps that apply obeys; each waits for those that make what it reads, and for its gates.

Deletes wait for all who read, or have read, what is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.ops import Late
from mlops.core.plans import Action, Do, Step, When

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.ops import Op
    from mlops.core.resources import Kind, Resource
    from mlops.core.states import Record
    from mlops.engine.drafting import Draft, Work


class Stages:
    """The steps of a plan, in the order in which they were added: behind all that they wait for."""

    def __init__(self, kinds: Mapping[str, Kind], makers: Mapping[str, str], rejected: Collection[str]) -> None:
        self.kinds = kinds
        self.rejected = rejected  # addresses of which a version was rejected: their keys are looked at before they run
        self.makers = makers  # "address/output" → id of the planned step that makes it
        self.steps: list[Step] = []
        self.steps_of: dict[str, list[str]] = {}  # address → ids of its planned steps
        self.moves: dict[str, str] = {}  # address → id of the step that moves its record there

    def change(self, work: Work, todo: list[Draft], action: Action, moved_from: Address | None) -> None:
        """Add the steps of a resource that changes."""
        resource = work.resource
        address = resource.address
        gates = tuple(str(gate.address) for gate in resource.gates)
        before = [step for gate in gates for step in self.steps_of.get(gate, ())]
        overlaps = self.overlaps(work, action)
        if moved_from is not None:
            before.append(self.add(Step(f"{address}/move", address, "move", Do.MOVE)))
            self.moves[address] = before[-1]
        elif not todo:
            self.add(Step(f"{address}/record", address, "record", Do.RECORD))
        if action is Action.REPLACE and work.record is not None and not overlaps:
            before.append(self.undo(work.record, gates, before))
        run = [self.run(work, draft, action, gates, before) for draft in todo]
        if overlaps:
            self.sweep(resource, gates, run)

    def run(self, work: Work, draft: Draft, action: Action, gates: tuple[str, ...], before: Iterable[str]) -> str:
        """Add the step of a draft; return its id."""
        template, address = draft.template, work.resource.address
        when: tuple[When, ...] = (When.RECORDED,) if self.kinds[address.kind].keeps else (When.RECORDED, When.REALISED)
        if draft.forced or action is Action.REPLACE:
            when = ()
        if address in self.rejected:
            when = (*when, When.ACCEPTED)
        return self.add(
            Step(
                id=f"{address}/{template.name}",
                address=address,
                name=template.name,
                do=draft.do or Do.RUN,
                verb=template.verb,
                op=template.op,
                template=template.digest,
                reads=template.reads,
                values=draft.values,
                unknown=draft.unknown,
                outputs=template.outputs,
                after=tuple(dict.fromkeys([*before, *self.makers_of(draft)])),
                when=(*when, When.PASSED) if gates else when,
                gates=gates,
                key=draft.key,
                here=template.here,
                given=draft.given,
            )
        )

    def makers_of(self, draft: Draft) -> Iterator[str]:
        """Yield the steps that make, or move, what the draft reads."""
        for late in map(Late, draft.template.reads):
            if late.source in self.makers:
                yield self.makers[late.source]
            elif late.sort == "output" and late.ref.address in self.moves:
                yield self.moves[late.ref.address]

    def overlaps(self, work: Work, action: Action) -> bool:
        """Tell whether an old and a new thing may stand beside each other, so that the old one is removed last.

        That holds on after a replacement that was interrupted, whatever the lifecycle says by now.
        """
        resource, record = work.resource, work.record
        if record is None or not self.kinds[resource.address.kind].can_overlap:
            return False
        return not record.complete or (action is Action.REPLACE and resource.lifecycle.create_before_destroy)

    def sweep(self, resource: Resource, gates: tuple[str, ...], after: Iterable[str]) -> None:
        """Add the step that removes what is left of the old thing once the new one is there."""
        kind = self.kinds[resource.address.kind]
        op = kind.sweep(kind.Spec.model_validate(resource.body), resource.address)
        when = (When.PASSED,) if gates else ()
        self.act(resource.address, Do.SWEEP, op, tuple(after), when, gates)

    def undo(self, record: Record, gates: tuple[str, ...], before: Iterable[str]) -> str:
        """Add the step that removes a kept thing; return its id."""
        op = self.kinds[record.address.kind].undo(record)
        return self.act(record.address, Do.UNDO, op, tuple(before), (When.PASSED,) if gates else (), gates)

    def act(
        self, address: Address, do: Do, op: Op, after: tuple[str, ...], when: tuple[When, ...], gates: tuple[str, ...]
    ) -> str:
        """Add a step that runs an op which makes nothing; return its id."""
        data = op.model_dump(mode="json")
        name = do.value
        return self.add(
            Step(f"{address}/{name}", address, name, do, op.verb, data, after=after, when=when, gates=gates, here=op.here)
        )

    def add(self, step: Step) -> str:
        """Add a step; return its id."""
        self.steps.append(step)
        self.steps_of.setdefault(step.address, []).append(step.id)
        return step.id

    def remove(self, record: Record) -> None:
        """Undo a kept thing, or forget a made one."""
        if self.kinds[record.address.kind].keeps:
            self.undo(record, (), ())
        else:
            self.forget(record.address)

    def forget(self, address: Address) -> None:
        """Drop the record; what it stands for is left as it is."""
        self.add(Step(f"{address}/forget", address, "forget", Do.FORGET))

    def ordered(self, deleted: Collection[Address], records: Iterable[Record]) -> tuple[Step, ...]:
        """Return all steps; those of `deleted` wait for all who read, or have read, what is deleted."""
        readers: dict[str, list[str]] = {}
        for record in records:
            for ref in record.refs:
                readers.setdefault(ref, []).extend(self.steps_of.get(record.address, ()))
        return tuple(
            replace(step, after=tuple(dict.fromkeys([*step.after, *readers.get(step.address, ())])))
            if step.address in deleted
            else step
            for step in self.steps
        )
