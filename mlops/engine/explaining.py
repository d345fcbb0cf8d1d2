"""Explaining: one resource of a plan, with what the plan was made of: the planner's own drafts, laid open, and nothing worked out anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.explanations import Candidate, Comparison, Explanation, Gate, Part, StepExplanation
from mlops.core.ops import Late
from mlops.engine import diffing, graphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.plans import Plan
    from mlops.core.states import Realisation, StateReader
    from mlops.engine.choosing import Scope
    from mlops.engine.drafting import Draft, Work
    from mlops.engine.observing import Observations


def explain(
    address: Address, plan: Plan, works: Sequence[Work], scope: Scope, observed: Observations, reader: StateReader
) -> Explanation:
    """Return why the resource changes or stays; `works` are those that planning watched while it made `plan`."""
    by_address = {work.resource.address: work for work in works}
    work = by_address.get(address)
    change = next((change for change in plan.changes if change.address == address), None)
    read_by = tuple(sorted(_readers(address, scope)))
    deferred = plan.deferred.get(address, "")
    if work is None:
        return Explanation(address, change, read_by=read_by, deferred=deferred)
    keys = [draft.key for draft in work.drafts if draft.key is not None]
    known = reader.realised(keys)
    return Explanation(
        address,
        change,
        tuple(_step(work, draft, observed, known) for draft in work.drafts),
        tuple(sorted(graphs.needs(work.resource))),
        read_by,
        tuple(_gate(gate.address, by_address[gate.address]) for gate in work.resource.gates if gate.address in by_address),
        deferred,
    )


def _readers(address: Address, scope: Scope) -> Iterator[str]:
    """Yield what is desired and reads the resource, and what is recorded and has read it."""
    desired = scope.desired.resources
    yield from (other for other, resource in desired.items() if address in graphs.needs(resource))
    yield from (other for other, record in scope.state.records.items() if other not in desired and address in record.refs)


def _step(work: Work, draft: Draft, observed: Observations, known: Mapping[str, Realisation]) -> StepExplanation:
    recorded = draft.recorded
    op = Comparison.NEW
    if recorded is not None:
        op = Comparison.SAME if diffing.is_same_template(draft.template, recorded) else Comparison.CHANGED
    found = known.get(draft.key or "")
    return StepExplanation(
        draft.template.name,
        draft.do,
        op,
        tuple(_part(read, work, draft, observed) for read in draft.template.reads),
        recorded.key if recorded is not None else None,
        draft.key,
        recorded.at if recorded is not None else "",
        Candidate(found.environment, found.address, found.at) if found is not None else None,
    )


def _part(read: str, work: Work, draft: Draft, observed: Observations) -> Part:
    late, recorded = Late(read), draft.recorded
    before = recorded.values.get(read) if recorded is not None else None
    after = draft.values.get(read)
    comparison = Comparison.CHANGED if before != after else Comparison.SAME
    if read in draft.unknown:
        comparison = Comparison.UNKNOWN
    elif recorded is None:
        comparison = Comparison.NEW
    if late.sort != "input":
        return Part(late.source, late.sort, comparison, before, after)
    facts_before = work.record.inputs.get(late.source, {}) if work.record is not None else {}
    facts = observed.inputs[work.resource.address, late.source].facts
    return Part(late.source, late.sort, comparison, before, after, work.resource.inputs[late.source].door, facts_before, facts)


def _gate(address: Address, work: Work) -> Gate:
    """Return what is known of a test's verdict without running anything."""
    sources = [draft.source for draft in work.drafts]
    passed = next((source.facts["passed"] for source in sources if source is not None and "passed" in source.facts), None)
    at = max((source.at for source in sources if source is not None), default="")
    return Gate(address, passed, at if passed is not None else "")
