"""Staging: the graph of steps that apply obeys; each waits for those that make what it reads, and for its gates.

Deletes wait for all who read, or have read, what is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.ops import Late
from mlops.core.plans import Action, Do, Step, When

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind
    from mlops.core.states import Record
    from mlops.engine.drafting import Draft, Work


class Stages:
    """The steps of a plan, in the order in which they were added: behind all that they wait for."""

    def __init__(self, kinds: Mapping[str, Kind], makers: Mapping[str, str]) -> None:
        self.kinds = kinds
        self.makers = makers  # "address/output" → id of the planned step that makes it
        self.steps: list[Step] = []
        self.steps_of: dict[str, list[str]] = {}  # address → ids of its planned steps

    def change(self, work: Work, todo: list[Draft], action: Action) -> None:
        """Add the steps of a resource that changes."""
        resource = work.resource
        address = resource.address
        gates = tuple(str(gate.address) for gate in resource.gates)
        before = [step for gate in gates for step in self.steps_of.get(gate, ())]
        if not todo:
            self.add(Step(f"{address}/record", address, "record", Do.RECORD))
        if action is Action.REPLACE and work.record is not None:
            before.append(self.undo(work.record, gates, before))
        for draft in todo:
            template = draft.template
            made_by = [self.makers[Late(read).source] for read in template.reads if Late(read).source in self.makers]
            keeps = self.kinds[address.kind].keeps
            when = () if draft.forced else (When.RECORDED,) if keeps else (When.RECORDED, When.REALISED)
            if action is Action.REPLACE:
                when = ()
            self.add(
                Step(
                    f"{address}/{template.name}",
                    address,
                    template.name,
                    draft.do or Do.RUN,
                    template.verb,
                    template.op,
                    template.digest,
                    template.reads,
                    draft.values,
                    template.outputs,
                    tuple(dict.fromkeys([*before, *made_by])),
                    (*when, When.PASSED) if gates else when,
                    gates,
                    draft.key,
                    template.here,
                )
            )

    def undo(self, record: Record, gates: tuple[str, ...], before: Iterable[str]) -> str:
        """Add the step that removes a kept thing; return its id."""
        op = self.kinds[record.address.kind].undo(record)
        when = (When.PASSED,) if gates else ()
        name = "undo"
        identity = f"{record.address}/{name}"
        data = op.model_dump(mode="json")
        self.add(
            Step(
                identity, record.address, name, Do.UNDO, op.verb, data, after=tuple(before), when=when, gates=gates, here=op.here
            )
        )
        return identity

    def add(self, step: Step) -> None:
        """Add a step."""
        self.steps.append(step)
        self.steps_of.setdefault(step.address, []).append(step.id)

    def remove(self, record: Record) -> None:
        """Forget a made thing or undo a kept one."""
        if self.kinds[record.address.kind].keeps:
            self.undo(record, (), ())
        else:
            self.add(Step(f"{record.address}/forget", record.address, "forget", Do.FORGET))

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
