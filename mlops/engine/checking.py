"""Checking: does a saved plan still fit? Records and observations that it read are compared with those of now.

What an earlier apply of the same plan did does not count as a change, and is not done again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.core.errors import PlanError, StalePlan, WorldError
from mlops.core.executions import Status
from mlops.core.plans import Do
from mlops.core.worlds import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlops.core.plans import Observed, Plan, Step
    from mlops.core.resources import Kind
    from mlops.core.states import Entry, State
    from mlops.core.worlds import World

_GOOD = {Status.DONE.value, Status.SKIPPED.value, Status.REUSED.value}


@dataclass(frozen=True, slots=True)
class Progress:
    """What earlier applies of this plan did."""

    written: Mapping[str, int] = field(default_factory=dict)  # address → version that they left; 0: forgotten
    done: frozenset[str] = frozenset()  # steps that ended well, and whose effect still stands
    begun: frozenset[str] = frozenset()  # addresses at which it was interrupted: nobody knows how far it came there


def sound(plan: Plan) -> None:
    """Refuse a plan that has problems.

    Raises:
        PlanError: names all of them.
    """
    if plan.errored:
        lines = [f"{problem.address or problem.origin or plan.project}: {problem.summary}" for problem in plan.problems]
        message = "\n  ".join(["the plan cannot be applied", *lines])
        raise PlanError(message, next((problem.hint for problem in plan.problems if problem.hint), None))


def refuse(stale: Sequence[str]) -> None:
    """Refuse a plan that does not fit any more.

    Raises:
        StalePlan: names every record and observation that changed.
    """
    if stale:
        message = "\n  ".join(["the plan is stale; since it was made", *stale])
        raise StalePlan(message, "plan again; or apply it all the same, with --force --reason TEXT")


def progress(plan: Plan, state: State, journal: Callable[[], Iterable[Entry]]) -> Progress:
    """Return what was done of the plan; the journal is read only where a record is not as planned."""
    begun = frozenset(entry.address for entry in state.pending if entry.plan == plan.id)
    if not any(_version(state, address) != version for address, version in plan.records.items()):
        return Progress(begun=begun)
    written: dict[str, int] = {}
    ended: set[str] = set()
    for entry in journal():
        if entry.forget:
            written[entry.address] = 0
        elif entry.record is not None:
            written[entry.address] = entry.sequence
        if entry.event == "end" and entry.body.get("status") in _GOOD:
            ended.add(entry.step)
    written = {address: version for address, version in written.items() if _version(state, address) == version}
    done = {step.id for step in plan.steps if step.id in ended and _stands(step, plan, state, written)}
    return Progress(written, frozenset(done), begun)


def _stands(step: Step, plan: Plan, state: State, written: Mapping[str, int]) -> bool:
    """Tell whether the effect of a step that ended well is still there.

    A thing that was created, destroyed, and is created by the same plan again has the journal of both; its record tells.
    """
    if step.address not in written:
        return False
    if plan.records.get(step.address) or step.do not in (Do.RUN, Do.REUSE, Do.IMPORT):
        return True
    record = state.records.get(step.address)
    return record is not None and step.name in record.steps


def records(plan: Plan, state: State, so_far: Progress) -> list[str]:
    """Return the records that another hand changed since the plan was made."""
    return [
        f"the record of {address} was changed by another hand"
        for address, version in plan.records.items()
        if _version(state, address) not in (version, so_far.written.get(address, version))
    ]


def _version(state: State, address: str) -> int:
    record = state.records.get(address)  # type: ignore[call-overload]
    return record.version if record is not None else 0


def observations(plan: Plan, state: State, so_far: Progress, kinds: Mapping[str, Kind], world: World) -> list[str]:
    """Look again at all that the steps to be done depend on; return what is not as it was planned with."""
    open_steps = {str(step.address) for step in plan.steps if step.id not in so_far.done}
    wanted = [one for one in plan.observed if not open_steps.isdisjoint(one.readers)]
    requests = [Request(one.door, one.arguments) for one in wanted]
    found = [
        f"{address} {name}: {words}"
        for one, answer in zip(wanted, world.observe(requests), strict=True)
        for address, name in sorted(one.readers.items())
        if address in open_steps
        for words in _differences(one, answer)
    ]
    return [*found, *_kept(plan, state, so_far, kinds, world)]


def _kept(plan: Plan, state: State, so_far: Progress, kinds: Mapping[str, Kind], world: World) -> Iterator[str]:
    for address, before in plan.drift.items():
        record = state.records.get(address)  # type: ignore[call-overload]
        if record is None or address in so_far.written or address in so_far.begun:
            continue
        after = kinds[record.address.kind].observe(record, world).value
        if after != before:
            yield f"{address}: {_found(before)}, and now {_found(after)}"


def _found(drift: Any) -> str:
    return "it was as recorded" if drift is None else str(drift)


def _differences(planned: Observed, answer: Any) -> Iterator[str]:
    """Yield in words how an answer differs from the planned one."""
    if isinstance(answer, WorldError):
        yield f"it cannot be observed any more: {answer.message}"
        return
    if isinstance(answer, Exception):
        raise answer
    before, after = planned.value, answer.value
    if before == after:
        return
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield f"{before} is {after} now"
        return
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"{name} is gone"
        elif name not in before:
            yield f"{name} is new"
        elif before[name] != after[name]:
            yield f"{name} is another file now" if planned.door == "file" else f"{name} {before[name]} is {after[name]} now"
