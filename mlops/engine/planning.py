"""Planning: a pure function of (desired, recorded, observed); every touch of the store is a read, in batches.

Resources are visited level by level, so that what a resource reads is settled before it (drafting); what was settled
becomes changes with reasons here, and the graph of steps in staging. A step that reads an unknown output is
conditional: it runs unless that output comes out as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core import notices, plans
from mlops.core.errors import PlanError
from mlops.core.ops import Late
from mlops.core.plans import Action, Change, Do, Plan, Reason
from mlops.engine import diffing, graphs, guarding, verdicts
from mlops.engine.binding import Binding
from mlops.engine.choosing import dependants
from mlops.engine.drafting import Drafter
from mlops.engine.staging import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.plans import Standing
    from mlops.core.resources import Kind, Resource
    from mlops.core.states import Record, StateReader
    from mlops.engine.choosing import Scope
    from mlops.engine.drafting import Draft, Work
    from mlops.engine.observing import Observations


def plan(
    scope: Scope,
    observed: Observations,
    kinds: Mapping[str, Kind],
    reader: StateReader,
    watch: Callable[[Work], None] = lambda _: None,
) -> Plan:
    """Return what must be done so that the recorded becomes the desired, and why.

    `watch` sees every desired resource once its steps are settled: what explains a plan is what made it.

    Raises:
        CycleError: resources refer to each other in a circle.
        PlanError: a recorded kind is not installed.
    """
    edges = {address: graphs.needs(resource) for address, resource in scope.resources.items()}
    planner = _Planner(scope, observed, kinds, watch)
    deferred = planner.defer(edges)
    for level in graphs.levels({address: needs for address, needs in edges.items() if address not in deferred}):
        planner.visit([scope.resources[address] for address in level], reader)
    for record in scope.leftovers:
        planner.remove(record)
    return planner.finish(len(edges) - len(deferred))


class _Planner:
    def __init__(self, scope: Scope, observed: Observations, kinds: Mapping[str, Kind], watch: Callable[[Work], None]) -> None:
        self.scope, self.observed, self.kinds, self.watch = scope, observed, kinds, watch
        self.options, self.origins = scope.options, scope.desired.origins
        self.drafter = Drafter(scope, observed, kinds)
        self.stages = Stages(kinds, self.drafter.makers, scope.state.rejected)
        self.changes: list[Change] = []
        self.standing: list[Standing] = []
        self.binding = Binding(scope, observed)
        self.deferred: dict[str, str] = {}  # address → why
        self.problems = [*scope.problems, *guarding.missing(scope, observed), *guarding.still_desired(scope.desired)]

    def defer(self, edges: Mapping[Address, Iterable[str]]) -> Mapping[str, str]:
        """Leave to the next plan what cannot be known yet, and all that depends on it."""
        self.deferred = {str(address): why for address, why in self.observed.deferred.items()}
        for address in sorted(dependants(self.deferred, edges) if self.deferred else ()):
            self.deferred.setdefault(address, "what it reads cannot be planned yet")
        return self.deferred

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
        is_guarded = resource.lifecycle.prevent_destroy
        is_as_recorded = record is not None and record.complete and record.digest == resource.digest
        is_as_recorded = is_as_recorded and record is not None and record.protected == is_guarded
        moved_from = self.scope.moved.get(resource.address)
        if not todo and is_as_recorded and moved_from is None:
            return
        kind = self.kinds[resource.address.kind]
        fields = diffing.fields(resource, record, kind, self.origins) if record is not None else ()
        action = self.action(work, todo, fields)
        blocked = tuple(gate.address for gate in resource.gates if self.is_refused(gate.address)) if todo else ()
        reasons = self.reasons(work, todo, fields)
        if blocked:
            reasons = (*reasons, Reason("blocked", {"tests": {address: self.failing(address) for address in blocked}}))
        reasons = (*reasons, *self.delivered(work, todo))
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
                refs=tuple(sorted(graphs.needs(resource))),
                inputs={name: self.observed.inputs[resource.address, name].facts for name in resource.inputs},
                steps=tuple(template.name for template in resource.steps),
                values=_renamed(work.drafts, self.scope.recorded.records.get(moved_from or resource.address)),
                protected=is_guarded,
                moved_from=moved_from,
                notes=_notes(kind, resource) if todo and record is not None else (),
            )
        )
        if action is Action.REPLACE and is_guarded:
            self.problems.append(guarding.protected(resource.address, "replace", self.origins))
        self.binding.add(resource, todo)
        self.stages.change(work, todo, action, moved_from)

    def action(self, work: Work, todo: list[Draft], fields: Sequence[plans.FieldChange]) -> Action:
        if not todo:
            return Action.MOVE if work.resource.address in self.scope.moved else Action.RECORD
        if all(draft.do is Do.REUSE for draft in todo):
            return Action.REUSE
        if all(draft.do is Do.IMPORT for draft in todo):
            return Action.IMPORT
        if work.record is None:
            return Action.CREATE
        replaces = any(one.replaces for one in fields) and self.kinds[work.resource.address.kind].keeps
        return Action.REPLACE if replaces else Action.UPDATE

    def reasons(self, work: Work, todo: list[Draft], fields: Sequence[plans.FieldChange]) -> tuple[Reason, ...]:
        record = work.record
        given = {name: digest for draft in todo for name, digest in draft.given.items()}
        if record is None:
            return (Reason("imported", {"outputs": given}) if given else Reason("new"),)
        found = [*self.own_reasons(work, record, todo, fields)]
        facts = {
            name: (self.observed.inputs[work.resource.address, name].facts, record.inputs.get(name, {}))
            for name in work.resource.inputs
        }
        for draft in todo:
            if draft.recorded is not None:
                found.extend(diffing.step_reasons(draft.template, draft.recorded, draft.values, draft.unknown, facts))
                if not fields and not diffing.is_same_template(draft.template, draft.recorded):
                    found.append(Reason("kind"))
        return tuple(dict((str(reason), reason) for reason in found).values())  # noqa: C402 - keeps the first of equal ones

    def own_reasons(self, work: Work, record: Record, todo: list[Draft], fields: Sequence[plans.FieldChange]) -> Iterator[Reason]:
        """Yield the reasons that lie in the resource itself, not in what it reads."""
        address, is_guarded = work.resource.address, work.resource.lifecycle.prevent_destroy
        lost = [name for draft in todo if work.has_lost(draft.recorded) for name in draft.template.outputs]
        if address in self.scope.moved:
            yield Reason("moved", {"from": self.scope.moved[address]})
        if record.protected != is_guarded:
            yield Reason("guard", {"protected": is_guarded})
        if address in self.options.replace:
            yield Reason("asked")
        if work.drift is not None or lost:
            yield Reason("drift", {"found": work.drift or [f"its {name} is missing or damaged" for name in lost]})
        if not record.complete:
            yield Reason("unfinished")
        if fields:
            yield Reason("spec")

    def delivered(self, work: Work, todo: list[Draft]) -> Iterator[Reason]:
        """Yield what the delivery of a kept thing has come to: a version that was taken back, one that nobody drives."""
        state, address = self.scope.state, work.resource.address
        for draft in todo:
            notice = notices.rejection(state.rejected, address, draft.key)
            if notice is not None:
                yield Reason("rejected", {"at": notice.at, "by": notice.by, "reason": notice.reason})
        looked = [entry.at for entry in state.pending if entry.address == address and entry.event == "checkpoint"]
        if looked and not state.is_held:
            yield Reason("unattended", {"since": looked[-1]})

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
        if address in self.scope.desired.settings.removed:
            self.changes.append(Change(address, Action.FORGET, (Reason("forgotten"),)))
            self.stages.forget(address)
            return
        self.changes.append(Change(address, Action.DELETE, (Reason("removed"),)))
        self.stages.remove(record)
        if guarding.is_protected(record, self.scope.desired):
            self.problems.append(guarding.protected(address, "delete", self.origins))

    def finish(self, selected: int) -> Plan:
        """Return the plan with all that it depends on: records and observations."""
        gone = {change.address for change in self.changes if change.action in (Action.DELETE, Action.FORGET)}
        settings, options = self.scope.desired.settings, self.options
        steps = self.stages.ordered(gone, self.scope.state.records.values())
        is_errored = bool(self.problems)
        return plans.identify(
            Plan(
                format=plans.FORMAT,
                id="",
                project=settings.project,
                environment=settings.environment,
                changes=tuple(self.changes),
                steps=steps,
                records=self.versions(),
                unchanged=selected - len(self.changes) + len(gone),
                standing=tuple(self.standing),
                observed=self.binding.inputs(),
                drift=self.binding.kept,
                deferred=dict(sorted(self.deferred.items())),
                problems=tuple(self.problems),
                settings=settings.portable(),
                options=options.asked() | {"overrides": list(self.scope.desired.overrides)},
                interrupted=tuple(dict.fromkeys(entry.step for entry in self.scope.state.pending)),
                applyable=bool(steps) and not is_errored,
                complete=not (options.targets or options.exclude or self.deferred),
                errored=is_errored,
            )
        )

    def versions(self) -> dict[str, int]:
        """Return the versions of the records that the plan read, as they really stand."""
        read: set[str] = {verdict.address for verdict in self.standing}
        for change in self.changes:
            read.update((change.address, *change.refs))
            if change.moved_from is not None:
                read.add(change.moved_from)
        records = {str(address): record.version for address, record in self.scope.recorded.records.items() if address in read}
        return {address: records.get(address, 0) for address in sorted(read)}


def _renamed(drafts: Iterable[Draft], record: Record | None) -> dict[str, Mapping[str, Any]]:
    """Return the values of steps that stay as they are, where what they read has another name than in the record."""
    before = record.steps if record is not None else {}
    kept = {draft.template.name: draft.values for draft in drafts if draft.do is None and draft.template.name in before}
    return {name: values for name, values in kept.items() if before[name].values.keys() != values.keys()}


def _notes(kind: Kind, resource: Resource) -> tuple[str, ...]:
    """Return what a kind that keeps has to say of a change of what is there."""
    return kind.notes(kind.Spec.model_validate(resource.body)) if kind.keeps else ()


def _estimate(todo: list[Draft]) -> float | None:
    """Return how long the steps took last time, in seconds; None where one has never run."""
    running = [draft for draft in todo if draft.do is Do.RUN]
    if not running or any(draft.recorded is None for draft in running):
        return None
    return sum(draft.recorded.seconds for draft in running if draft.recorded is not None)
