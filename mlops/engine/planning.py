"""Planning: a pure function of (desired, recorded, observed); every touch of the store is a read, in batches.

Resources are visited level by level, so that what a resource reads is settled before it. A step whose values are all
known has a key: as recorded, nothing runs; realised, its outputs are reused; else it runs and its outputs are unknown.
A step that reads an unknown output is conditional: it runs unless that output comes out as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops.core import ops, plans
from mlops.core.addresses import Address, Ref
from mlops.core.errors import PlanError
from mlops.core.ops import Late
from mlops.core.plans import Action, Change, Do, Plan, Reason, Step, When
from mlops.engine import diffing, graphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops.core.ops import Template
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Composition
    from mlops.core.states import Realisation, Record, State, StateReader, StepRecord
    from mlops.engine.observing import Observations


@dataclass(frozen=True, slots=True)
class Options:
    """What a single plan asks for beyond the configuration."""

    targets: tuple[Address, ...] = ()  # only these and what they need
    replace: frozenset[Address] = frozenset()  # made anew though nothing changed
    destroy: bool = False  # nothing is desired


@dataclass(slots=True)
class _Draft:
    """One step while it is being settled. `do` None: it stays as recorded."""

    template: Template
    recorded: StepRecord | None
    values: dict[str, Any]
    unknown: tuple[str, ...]
    key: str | None
    forced: bool = False
    do: Do | None = Do.RUN
    realisation: Realisation | None = None


@dataclass(slots=True)
class _Work:
    """The steps of one resource while they are being settled."""

    resource: Resource
    record: Record | None
    drift: Any
    drafts: list[_Draft] = field(default_factory=list)


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


def plan(
    desired: Composition,
    state: State,
    observed: Observations,
    kinds: Mapping[str, Kind],
    reader: StateReader,
    options: Options = Options(),
) -> Plan:
    """Return what must be done so that the recorded becomes the desired, and why.

    Raises:
        CycleError: resources refer to each other in a circle.
        PlanError: a target does not exist, or a recorded kind is not installed.
    """
    resources, leftovers = select(desired, state, options)
    order = graphs.levels({address: graphs.needs(resource) for address, resource in resources.items()})
    planner = _Planner(desired, state, observed, kinds, options)
    for level in order:
        planner.settle([planner.begin(resources[address]) for address in level], reader)
    for record in leftovers:
        planner.remove(record)
    return planner.finish(len(resources))


class _Planner:
    def __init__(
        self, desired: Composition, state: State, observed: Observations, kinds: Mapping[str, Kind], options: Options
    ) -> None:
        self.desired, self.state, self.observed, self.kinds, self.options = desired, state, observed, kinds, options
        self.outputs: dict[str, str | None] = {}  # "address/output" → digest; None: not known yet
        self.makers: dict[str, str] = {}  # "address/output" → id of the planned step that makes it
        self.steps_of: dict[str, list[str]] = {}  # address → ids of its planned steps
        self.facts: dict[str, Mapping[str, Any]] = {}  # address → facts that hold without running anything
        self.changes: list[Change] = []
        self.steps: list[Step] = []

    # -- one level ---------------------------------------------------------------------------------------------------

    def begin(self, resource: Resource) -> _Work:
        record = self.state.records.get(resource.address)
        found = self.observed.kept.get(resource.address)
        return _Work(resource, record, found.value if found is not None else None)

    def settle(self, works: list[_Work], reader: StateReader) -> None:
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
        for work in works:
            self.conclude(work)

    def draft(self, work: _Work, template: Template) -> _Draft:
        record = work.record
        recorded = record.steps.get(template.name) if record is not None else None
        values, unknown = self.bind(work.resource.address, template, recorded)
        key = ops.key(template.digest, values) if not unknown else None
        forced = work.resource.address in self.options.replace or work.drift is not None
        draft = _Draft(template, recorded, values, unknown, key, forced)
        if recorded is not None and recorded.key == key and not forced:
            draft.do = None
        work.drafts.append(draft)
        return draft

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

    def may_reuse(self, work: _Work, draft: _Draft) -> bool:
        return draft.do is not None and not draft.forced and not self.kinds[work.resource.address.kind].keeps

    def learn(self, work: _Work, draft: _Draft) -> None:
        """Note what is known of the step's outputs and facts, for those who read them."""
        source = draft.recorded if draft.do is None else draft.realisation
        address = work.resource.address
        for name in draft.template.outputs:
            ref = f"{address}/{name}"
            self.outputs[ref] = source.outputs.get(name) if source is not None else None
            if draft.do is not None:
                self.makers[ref] = f"{address}/{draft.template.name}"
        if source is not None:
            self.facts[address] = {**self.facts.get(address, {}), **source.facts}
        else:
            self.facts.pop(address, None)

    # -- one resource ------------------------------------------------------------------------------------------------

    def conclude(self, work: _Work) -> None:
        """Turn the settled steps of a resource into its change and its steps; nothing where all stays."""
        resource, record = work.resource, work.record
        todo = [draft for draft in work.drafts if draft.do is not None]
        reads = tuple(sorted(graphs.needs(resource)))
        is_as_recorded = record is not None and record.complete and record.digest == resource.digest
        if not todo and is_as_recorded:
            return
        kind = self.kinds[resource.address.kind]
        fields = diffing.fields(resource, record, kind, self.desired.origins) if record is not None else ()
        action = self.action(work, todo, fields)
        blocked = tuple(gate.address for gate in resource.gates if self.is_refused(gate)) if todo else ()
        reasons = self.reasons(work, todo, fields)
        if blocked:
            reasons = (*reasons, Reason("blocked", {"tests": {address: self.failing(address) for address in blocked}}))
        condition = self.condition(work, todo)
        self.changes.append(
            Change(
                resource.address,
                action,
                reasons,
                fields,
                condition,
                blocked=blocked,
                reused_from=tuple(sorted({draft.realisation.environment for draft in todo if draft.realisation is not None})),
                seconds=_estimate(todo),
                body=resource.body,
                digest=resource.digest,
                refs=reads,
                inputs={name: self.observed.inputs[resource.address, name].facts for name in resource.inputs},
                steps=tuple(template.name for template in resource.steps),
            )
        )
        self.add_steps(work, todo, action)

    def action(self, work: _Work, todo: list[_Draft], fields: Sequence[plans.FieldChange]) -> Action:
        if not todo:
            return Action.RECORD
        if all(draft.do is Do.REUSE for draft in todo):
            return Action.REUSE
        if work.record is None:
            return Action.CREATE
        replaces = any(one.replaces for one in fields) and self.kinds[work.resource.address.kind].keeps
        return Action.REPLACE if replaces else Action.UPDATE

    def reasons(self, work: _Work, todo: list[_Draft], fields: Sequence[plans.FieldChange]) -> tuple[Reason, ...]:
        if work.record is None:
            return (Reason("new"),)
        found: list[Reason] = []
        if work.resource.address in self.options.replace:
            found.append(Reason("asked"))
        if work.drift is not None:
            found.append(Reason("drift", {"found": work.drift}))
        if not work.record.complete:
            found.append(Reason("unfinished"))
        if fields:
            found.append(Reason("spec"))
        facts = {
            name: (self.observed.inputs[work.resource.address, name].facts, work.record.inputs.get(name, {}))
            for name in work.resource.inputs
        }
        for draft in todo:
            if draft.recorded is not None:
                found.extend(diffing.step_reasons(draft.template, draft.recorded, draft.values, draft.unknown, facts))
                if not fields and not diffing.is_same_template(draft.template, draft.recorded):
                    found.append(Reason("kind"))
        return tuple(dict((str(reason), reason) for reason in found).values())  # noqa: C402 - keeps the first of equal ones

    def condition(self, work: _Work, todo: list[_Draft]) -> tuple[str, ...]:
        """Return the outputs that decide whether anything runs at all; empty where something runs anyway."""
        refs: list[str] = []
        own = f"{work.resource.address}/"
        for draft in todo:
            is_sure = (
                draft.recorded is None
                or draft.forced
                or not draft.unknown
                or not diffing.is_same_template(draft.template, draft.recorded)
                or any(
                    draft.recorded.values.get(read) != value for read, value in draft.values.items() if read not in draft.unknown
                )
            )
            if is_sure:
                return ()
            refs.extend(Late(read).ref for read in draft.unknown)
        return tuple(sorted({ref for ref in refs if not ref.startswith(own)}))

    def is_refused(self, gate: Ref) -> bool:
        """Tell whether the test is known, without running anything, to have failed."""
        facts = self.facts.get(gate.address)
        return facts is not None and facts.get("passed") is False

    def failing(self, test: Address) -> list[Any]:
        """Return the checks of a test's known verdict that did not pass."""
        return [check for check in self.facts[test].get("checks", ()) if check.get("passed") is False]

    def add_steps(self, work: _Work, todo: list[_Draft], action: Action) -> None:
        resource = work.resource
        address = resource.address
        gates = tuple(str(gate.address) for gate in resource.gates)
        before = [step for gate in gates for step in self.steps_of.get(gate, ())]
        if not todo:
            self.add(Step(f"{address}/record", address, "record", Do.RECORD))
        if action is Action.REPLACE and work.record is not None:
            before.append(self.add_undo(work.record, gates, before))
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

    def add_undo(self, record: Record, gates: tuple[str, ...], before: Iterable[str]) -> str:
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
        self.steps.append(step)
        self.steps_of.setdefault(step.address, []).append(step.id)

    # -- what is no longer desired -----------------------------------------------------------------------------------

    def remove(self, record: Record) -> None:
        """Plan to forget a made thing or to undo a kept one."""
        address = record.address
        kind = self.kinds.get(address.kind)
        if kind is None:
            message = f"{address} is recorded, but no kind '{address.kind}' is installed"
            raise PlanError(message, "install the package that brings it, or take the record out of the state")
        self.changes.append(Change(address, Action.DELETE, (Reason("removed"),)))
        if kind.keeps:
            self.add_undo(record, (), ())
        else:
            self.add(Step(f"{address}/forget", address, "forget", Do.FORGET))

    def finish(self, selected: int) -> Plan:
        """Return the plan; deletes wait for all who read, or have read, what is deleted."""
        readers: dict[str, list[str]] = {}
        for record in self.state.records.values():
            for ref in record.refs:
                readers.setdefault(ref, []).extend(self.steps_of.get(record.address, ()))
        deleted = {change.address for change in self.changes if change.action is Action.DELETE}
        steps = tuple(
            replace(step, after=tuple(dict.fromkeys([*step.after, *readers.get(step.address, ())])))
            if step.address in deleted
            else step
            for step in self.steps
        )
        settings = self.desired.settings
        records = {}
        for change in self.changes:
            for address in (change.address, *change.refs):
                found = self.state.records.get(Address(address))
                records[str(address)] = found.version if found is not None else 0
        kept = selected - sum(change.action is not Action.DELETE for change in self.changes)
        return plans.identify(
            Plan(
                plans.FORMAT,
                "",
                settings.project,
                settings.environment,
                tuple(self.changes),
                steps,
                dict(sorted(records.items())),
                kept,
                {"overrides": list(self.desired.overrides), "destroy": self.options.destroy},
                complete=not self.options.targets,
            )
        )


def _dependants(wanted: set[str], records: Mapping[Address, Record]) -> set[str]:
    """Return the records that read, directly or not, one of `wanted`: they cannot outlive it."""
    found = set(wanted)
    grows = True
    while grows:
        more = {str(address) for address, record in records.items() if address not in found and found & set(record.refs)}
        found |= more
        grows = bool(more)
    return found


def _estimate(todo: list[_Draft]) -> float | None:
    """Return how long the steps took last time, in seconds; None where one has never run."""
    running = [draft for draft in todo if draft.do is Do.RUN]
    if not running or any(draft.recorded is None for draft in running):
        return None
    return sum(draft.recorded.seconds for draft in running if draft.recorded is not None)
