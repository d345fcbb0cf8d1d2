"""Drafting: what each step of a resource will do: stay as recorded, be reused, or run; and what is known of its outputs.

A step whose values are all known has a key: as recorded, nothing runs; realised, its outputs are reused; else it runs
and its outputs are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.core import ops
from mlops.core.addresses import Address
from mlops.core.ops import Late
from mlops.core.plans import Do

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.ops import Template
    from mlops.core.resources import Kind, Resource
    from mlops.core.states import Realisation, Record, StateReader, StepRecord
    from mlops.engine.choosing import Scope
    from mlops.engine.observing import Observations


@dataclass(slots=True)
class Draft:
    """One step while it is being settled. `do` None: it stays as recorded."""

    template: Template
    recorded: StepRecord | None
    values: dict[str, Any]
    unknown: tuple[str, ...]
    key: str | None
    forced: bool = False
    do: Do | None = Do.RUN
    realisation: Realisation | None = None
    given: Mapping[str, str] = field(default_factory=dict)  # outputs that are imported

    @property
    def source(self) -> StepRecord | Realisation | None:
        """Where outputs and facts come from that are known without running anything."""
        return self.recorded if self.do is None else self.realisation


@dataclass(slots=True)
class Work:
    """The steps of one resource while they are being settled."""

    resource: Resource
    record: Record | None
    drift: Any
    absent: frozenset[str] = frozenset()  # artifacts that are not there
    drafts: list[Draft] = field(default_factory=list)

    def has_lost(self, step: StepRecord | None) -> bool:
        """Tell whether an artifact that the recorded step made is not there any more."""
        return bool(self.absent) and step is not None and not self.absent.isdisjoint(step.outputs.values())


class Drafter:
    """Settles the steps of all resources, level by level."""

    def __init__(self, scope: Scope, observed: Observations, kinds: Mapping[str, Kind]) -> None:
        self.scope, self.observed, self.kinds = scope, observed, kinds
        self.state = scope.state
        self.outputs: dict[str, str | None] = {}  # "address/output" → digest; None: not known yet
        self.makers: dict[str, str] = {}  # "address/output" → id of the planned step that makes it
        self.facts: dict[str, Mapping[str, Any]] = {}  # address → facts that hold without running anything

    def begin(self, resource: Resource) -> Work:
        """Return the resource beside what is recorded and what was found of it; no step is settled yet."""
        record = self.state.records.get(resource.address)
        found = self.observed.kept.get(resource.address)
        return Work(resource, record, found.value if found is not None else None, self.observed.absent)

    def settle(self, works: list[Work], reader: StateReader) -> None:
        """Settle all steps of a level, the first of each resource together, then the second, …: one look-up each."""
        for index in range(max((len(work.resource.steps) for work in works), default=0)):
            drafts = [(work, self.draft(work, work.resource.steps[index])) for work in works if index < len(work.resource.steps)]
            wanted = [draft.key for work, draft in drafts if self.may_reuse(work, draft) and draft.key is not None]
            known = reader.realised(wanted) if wanted else {}
            for work, draft in drafts:
                found = known.get(draft.key) if draft.key is not None and self.may_reuse(work, draft) else None
                if found is not None:
                    draft.do, draft.realisation = Do.REUSE, found
                self.learn(work, draft)

    def draft(self, work: Work, template: Template) -> Draft:
        """Fill in what the step reads; where its key comes out as recorded, nothing is to do."""
        record = work.record
        recorded = record.steps.get(template.name) if record is not None else None
        values, unknown = self.bind(work.resource.address, template, recorded)
        key = ops.key(template.digest, template.reads, values) if not unknown else None
        forced = work.resource.address in self.scope.options.replace or work.drift is not None or work.has_lost(recorded)
        draft = Draft(template, recorded, values, unknown, key, forced)
        if recorded is not None and recorded.key == key and not forced:
            draft.do = None
        elif (given := self.given(work, template)) is not None:
            draft.do, draft.given = Do.IMPORT, given
        work.drafts.append(draft)
        return draft

    def given(self, work: Work, template: Template) -> dict[str, str] | None:
        """Return the outputs of the step that are to be imported; None where it must make them."""
        found = self.scope.imports.get(work.resource.address)
        if found is None or not set(template.outputs) & set(found.outputs):
            return None
        return {name: found.outputs[name] for name in template.outputs}

    def bind(self, address: Address, template: Template, recorded: StepRecord | None) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the late values that are known, and the names of those that are not."""
        values: dict[str, Any] = {}
        unknown: list[str] = []
        for read in template.reads:
            late = Late(read)
            if late.sort == "input":
                values[read] = self.observed.inputs[address, late.source].value
            elif late.sort == "baseline":
                values[read] = self.baseline(late, recorded)
                if self.outputs.get(late.ref) is None:
                    unknown.append(read)  # what serves is pinned; whether it is the candidate itself is known later
            else:
                value = self.outputs.get(late.source)
                if value is None:
                    unknown.append(read)
                else:
                    values[read] = value
        return values, tuple(unknown)

    def baseline(self, late: Late, recorded: StepRecord | None) -> str | None:
        """Return what serves; once the candidate itself serves, what it was compared with: its verdict stands."""
        record = self.state.records.get(Address(late.source.partition("|")[0]))
        serving = record.output("serving") if record is not None else None
        if recorded is None:
            return serving
        return ops.compared_with(serving, self.outputs.get(late.ref), recorded.values.get(late))

    def may_reuse(self, work: Work, draft: Draft) -> bool:
        """Tell whether outputs that are known for the step's key may be taken over."""
        return draft.do is Do.RUN and not draft.forced and not self.kinds[work.resource.address.kind].keeps

    def learn(self, work: Work, draft: Draft) -> None:
        """Note what is known of the step's outputs and facts, for those who read them."""
        source = draft.source
        address = work.resource.address
        for name in draft.template.outputs:
            ref = f"{address}/{name}"
            self.outputs[ref] = source.outputs.get(name) if source is not None else draft.given.get(name)
            if draft.do is not None:
                self.makers[ref] = f"{address}/{draft.template.name}"
        if source is not None:
            self.facts[address] = {**self.facts.get(address, {}), **source.facts}
        else:
            self.facts.pop(address, None)
