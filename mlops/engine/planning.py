"""Planning: a pure function of (desired, recorded, observed); every touch of the store is a read, in batches.

Resources are visited level by level, so that what a resource reads is settled before it (drafting); what was settled
becomes changes with reasons here, and the graph of steps in staging. A step that reads an unknown output is
conditional: it runs unless that output comes out as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core import plans
from mlops.core.addresses import Address
from mlops.core.errors import PlanError
from mlops.core.ops import Late
from mlops.core.plans import Action, Change, Do, Plan, Reason
from mlops.engine import diffing, graphs, verdicts
from mlops.engine.choosing import Options, select
from mlops.engine.drafting import Drafter
from mlops.engine.staging import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops.core.plans import Standing
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Composition
    from mlops.core.states import Record, State, StateReader
    from mlops.engine.drafting import Draft, Work
    from mlops.engine.observing import Observations


def plan(
    desired: Composition,
    state: State,
    observed: Observations,
    kinds: Mapping[str, Kind],
    reader: StateReader,
    options: Options = Options(),  # noqa: B008 - frozen
    watch: Callable[[Work], None] = lambda _: None,
) -> Plan:
    """Return what must be done so that the recorded becomes the desired, and why.

    `watch` sees every desired resource once its steps are settled: what explains a plan is what made it.

    Raises:
        CycleError: resources refer to each other in a circle.
        PlanError: a target does not exist, or a recorded kind is not installed.
    """
    resources, leftovers = select(desired, state, options)
    order = graphs.levels({address: graphs.needs(resource) for address, resource in resources.items()})
    planner = _Planner(desired, state, observed, kinds, options, watch)
    for level in order:
        planner.visit([resources[address] for address in level], reader)
    for record in leftovers:
        planner.remove(record)
    return planner.finish(len(resources))


class _Planner:
    def __init__(
        self,
        desired: Composition,
        state: State,
        observed: Observations,
        kinds: Mapping[str, Kind],
        options: Options,
        watch: Callable[[Work], None],
    ) -> None:
        self.desired, self.state, self.observed, self.kinds, self.options = desired, state, observed, kinds, options
        self.watch = watch
        self.drafter = Drafter(state, observed, kinds, options)
        self.stages = Stages(kinds, self.drafter.makers)
        self.changes: list[Change] = []
        self.standing: list[Standing] = []

    def visit(self, resources: Sequence[Resource], reader: StateReader) -> None:
        """Settle a level of resources, and conclude what changes."""
        works = [self.drafter.begin(resource) for resource in resources]
        self.drafter.settle(works, reader)
        for work in works:
            self.conclude(work)

    # -- one resource ------------------------------------------------------------------------------------------------

    def conclude(self, work: Work) -> None:
        """Turn the settled steps of a resource into its change and its steps; nothing where all stays."""
        resource, record = work.resource, work.record
        self.watch(work)
        todo = [draft for draft in work.drafts if draft.do is not None]
        if not todo and (verdict := verdicts.standing(record)) is not None:
            self.standing.append(verdict)
        reads = tuple(sorted(graphs.needs(resource)))
        is_as_recorded = record is not None and record.complete and record.digest == resource.digest
        if not todo and is_as_recorded:
            return
        kind = self.kinds[resource.address.kind]
        fields = diffing.fields(resource, record, kind, self.desired.origins) if record is not None else ()
        action = self.action(work, todo, fields)
        blocked = tuple(gate.address for gate in resource.gates if self.is_refused(gate.address)) if todo else ()
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
        self.stages.change(work, todo, action)

    def action(self, work: Work, todo: list[Draft], fields: Sequence[plans.FieldChange]) -> Action:
        if not todo:
            return Action.RECORD
        if all(draft.do is Do.REUSE for draft in todo):
            return Action.REUSE
        if work.record is None:
            return Action.CREATE
        replaces = any(one.replaces for one in fields) and self.kinds[work.resource.address.kind].keeps
        return Action.REPLACE if replaces else Action.UPDATE

    def reasons(self, work: Work, todo: list[Draft], fields: Sequence[plans.FieldChange]) -> tuple[Reason, ...]:
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

    def condition(self, work: Work, todo: list[Draft]) -> tuple[str, ...]:
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

    def is_refused(self, test: Address) -> bool:
        """Tell whether the test is known, without running anything, to have failed."""
        facts = self.drafter.facts.get(test)
        return facts is not None and facts.get("passed") is False

    def failing(self, test: Address) -> list[Any]:
        """Return the checks of a test's known verdict that did not pass."""
        return [check for check in self.drafter.facts[test].get("checks", ()) if check.get("passed") is False]

    # -- what is no longer desired -----------------------------------------------------------------------------------

    def remove(self, record: Record) -> None:
        """Plan to forget a made thing or to undo a kept one."""
        address = record.address
        if address.kind not in self.kinds:
            message = f"{address} is recorded, but no kind '{address.kind}' is installed"
            raise PlanError(message, "install the package that brings it, or take the record out of the state")
        self.changes.append(Change(address, Action.DELETE, (Reason("removed"),)))
        self.stages.remove(record)

    def finish(self, selected: int) -> Plan:
        """Return the plan with the versions of all records behind it."""
        deleted = {change.address for change in self.changes if change.action is Action.DELETE}
        steps = self.stages.ordered(deleted, self.state.records.values())
        settings = self.desired.settings
        records = {}
        for change in self.changes:
            for address in (change.address, *change.refs):
                found = self.state.records.get(Address(address))
                records[str(address)] = found.version if found is not None else 0
        for verdict in self.standing:
            records[str(verdict.address)] = self.state.records[verdict.address].version
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
                tuple(self.standing),
                {"overrides": list(self.desired.overrides), "destroy": self.options.destroy},
                complete=not self.options.targets,
            )
        )


def _estimate(todo: list[Draft]) -> float | None:
    """Return how long the steps took last time, in seconds; None where one has never run."""
    running = [draft for draft in todo if draft.do is Do.RUN]
    if not running or any(draft.recorded is None for draft in running):
        return None
    return sum(draft.recorded.seconds for draft in running if draft.recorded is not None)
