"""Applying: obeys a plan. Binds outputs, evaluates the conditions that the plan carries, journals, and decides nothing else.

One thread; the store needs no lock. Every begin is durable before its act and every end before what follows from it;
what is ready together is written together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops.core import notices, ops
from mlops.core.events import Event
from mlops.core.executions import Checkpoint, Failure, Outcome, Result, Status
from mlops.core.ops import Late
from mlops.core.plans import Do, When
from mlops.core.states import Entry, Realisation, Record, StepRecord
from mlops.engine import moving, wording
from mlops.engine.holding import Hold
from mlops.engine.retrying import Attempts, Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.events import Emit
    from mlops.core.executions import Executor
    from mlops.core.plans import Change, Plan, Step
    from mlops.core.states import Lease, State, StateReader, Store
    from mlops.core.worlds import Clock

HEARTBEAT = 10.0  # seconds between signs of life of a running step, and between renewals of the lease
PAUSE = 0.2  # seconds until we look whether somebody pressed Ctrl-C, while nothing else happens
_GOOD = (Status.DONE, Status.SKIPPED, Status.REUSED)
_KEYED = (Do.RUN, Do.REUSE, Do.IMPORT)


@dataclass(slots=True)
class Hands:
    """What applying works with."""

    store: Store
    reader: StateReader  # of realisations, as planning has it: those whose artifacts are here
    lease: Lease
    executor: Executor
    clock: Clock
    emit: Emit
    run: str  # the run's id, in every journal entry and log line
    is_stopping: Callable[[], bool] = field(default=lambda: False)  # True: begin nothing more, let what runs finish
    is_aborting: Callable[[], bool] = field(default=lambda: False)  # True: leave what runs, and end
    retries: Retries = field(default_factory=Retries)
    reason: str = ""  # why the user applies, in their own words; the journal keeps it
    done: frozenset[str] = frozenset()  # steps that an earlier apply of the same plan has done
    forced: tuple[str, ...] = ()  # what has changed since the plan was made, and the user applies it all the same


def apply(plan: Plan, state: State, hands: Hands) -> Result:
    """Run the plan's steps and return how each went. Failed steps are outcomes, not exceptions."""
    run = _Run(plan, state, hands)
    started = hands.clock.monotonic()
    data = {"run": hands.run, "plan": plan.id, "environment": plan.environment, "steps": len(plan.steps)}
    hands.emit(Event("run-started", data=data))
    forced = {"forced": list(hands.forced)} if hands.forced else {}
    run.note("begin", owner=hands.lease.owner, reason=hands.reason, **forced)
    while run.is_open() and not hands.is_aborting():
        run.advance()
    if run.is_open():
        run.abort()
    else:
        run.note("end")
    outcomes = tuple(run.outcomes[step] for step in run.steps if step in run.outcomes)  # as planned, whoever was faster
    result = Result(outcomes, hands.clock.monotonic() - started, interrupted=hands.is_stopping())
    counts = {status.value: result.count(status) for status in Status}
    hands.emit(Event("run-ended", data={"seconds": result.seconds, **counts}))
    return result


class _Run:
    def __init__(self, plan: Plan, state: State, hands: Hands) -> None:
        self.plan, self.hands = plan, hands
        self.hold = Hold(hands, self.show_life)
        self.records = dict(state.records)
        self.changes: dict[Address, Change] = {change.address: change for change in plan.changes}
        self.steps = {step.id: step for step in plan.steps}
        self.unmet = {step.id: len(step.after) for step in plan.steps}
        self.left = _count(step.address for step in plan.steps)  # steps of a resource that have not ended well
        self.followers: dict[str, list[str]] = {}
        for step in plan.steps:
            for before in step.after:
                self.followers.setdefault(before, []).append(step.id)
        self.held: dict[str, Step] = {}  # must run, and wait for what they need
        self.later: dict[str, tuple[float, float, Outcome]] = {}  # when each failed, when it is attempted again, how it failed
        self.attempts = Attempts(hands.retries)
        self.ready = [step.id for step in plan.steps if not step.after]
        self.bound: dict[str, tuple[str, dict[str, Any]]] = {}  # step id → key and late values, once they exist
        self.known: dict[str, Realisation] = {}  # what the store told of keys
        self.running: dict[str, tuple[Step, float]] = {}  # step id → step and when it began
        self.outcomes: dict[str, Outcome] = {}
        self.entries: list[Entry] = []
        self.beat = hands.clock.monotonic()
        self.has_said_stop = False
        self.rejected = state.rejected
        self.left_open = sorted({(entry.run, entry.step) for entry in state.pending})  # by earlier runs; not taken up yet
        self.last = {entry.step: entry.body for entry in state.pending if entry.event == "checkpoint"}

    def is_open(self) -> bool:
        return len(self.outcomes) < len(self.steps)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def advance(self) -> None:
        """Begin what is ready, write that down with what has ended before, let it run, take in what ends."""
        begun = self.begin_ready()
        asked = self.hands.clock.now()
        self.write()
        if begun and (self.hands.clock.now() - asked).total_seconds() > HEARTBEAT:
            self.hold.renew()  # the write took long (or we slept): another may hold the environment by now, and must not be disturbed
        for step, last in begun:
            self.hands.executor.submit(step, last)
        if self.running:
            for message in self.hands.executor.wait(PAUSE):
                self.take(message)
        elif self.later:
            self.hands.clock.sleep(PAUSE)
        self.keep_alive()

    def abort(self) -> None:
        """Save what has ended. What runs stays begun in the journal, as after a crash, and the next apply takes it up."""
        for message in self.hands.executor.wait(0.0):
            self.take(message)
        for step in self.steps.values():
            if step.id in self.running:
                failure = Failure("interrupted", "stopped while it ran", "apply again: it continues from here")
                self.outcomes[step.id] = Outcome(step.id, Status.FAILED, failure=failure)
            elif step.id in self.later:
                self.outcomes[step.id] = self.later[step.id][-1]
            elif step.id not in self.outcomes:
                self.outcomes[step.id] = Outcome(step.id, Status.DROPPED)
        self.write()

    def begin_ready(self) -> list[tuple[Step, Mapping[str, Any] | None]]:
        """Decide every ready step, once; return those that must run, as far as workers are free."""
        self.look_up()
        self.resume()
        ready, self.ready = self.ready, []  # what becomes ready meanwhile has its turn in the next round
        for identity in ready:
            step = self.steps[identity]
            outcome = self.decide(step)
            if outcome is None:
                self.held[identity] = step
            else:
                self.end(step, outcome)
        if self.hands.is_stopping():
            held, self.held = self.held, {}
            for step in held.values():
                self.end(step, Outcome(step.id, Status.DROPPED))
        chosen = self.hands.executor.choose(self.held.values()) if self.held else ()
        if not chosen and not self.running:
            self.fail_held()
        return [self.begin(self.held.pop(step.id)) for step in chosen]

    def fail_held(self) -> None:
        """End steps that could never begin, such as one that was to be reused and whose GPUs are on another machine."""
        held, self.held = self.held, {}
        for step in held.values():
            hint = "apply where the executor has what `executor.limits` says it takes"
            self.end(
                step, Outcome(step.id, Status.FAILED, failure=Failure("limits", "it wants more than the executor has", hint))
            )

    def resume(self) -> None:
        """Hold those ready whose time has come to be attempted again; when we stop, their failure stands."""
        now, is_stopping = self.hands.clock.monotonic(), self.hands.is_stopping()
        for identity, (_, due, outcome) in tuple(self.later.items()):
            if is_stopping:
                self.end(self.steps[identity], outcome)
            elif now >= due:
                self.held[identity] = self.steps[identity]
            else:
                continue
            del self.later[identity]

    def look_up(self) -> None:
        """Bind what is ready, and ask once for the realisations of all keys that the plan could not know."""
        asked = set()
        for identity in self.ready:
            step = self.steps[identity]
            if step.do in _KEYED and identity not in self.bound and self.is_free(step):
                self.bound[identity] = self.bind(step)
                if step.do is Do.REUSE or (step.key is None and When.REALISED in step.when):
                    asked.add(self.bound[identity][0])
        if asked:
            self.known.update(self.hold.realised(sorted(asked)))

    def is_free(self, step: Step) -> bool:
        """Tell whether all steps before this one ended well."""
        return all(self.outcomes[before].status in _GOOD for before in step.after)

    def decide(self, step: Step) -> Outcome | None:
        """Return the outcome of a step that needs no run, or None where its op must run."""
        if self.hands.is_stopping() or not self.is_free(step):
            return Outcome(step.id, Status.DROPPED)
        if step.id in self.hands.done:
            return self.outcome_so_far(step)
        if (failure := self.blocked(step)) is not None:
            return Outcome(step.id, Status.BLOCKED, failure=failure)
        if step.do in (Do.FORGET, Do.RECORD, Do.MOVE, Do.IMPORT):
            return Outcome(step.id, Status.DONE, step.given)
        if step.do in (Do.UNDO, Do.SWEEP):
            return None
        return self.decide_by_key(step)

    def outcome_so_far(self, step: Step) -> Outcome:
        """Return the outcome of a step that an earlier apply of this plan has done."""
        record = self.records.get(step.address)
        recorded = record.steps.get(step.name) if record is not None else None
        if recorded is None:
            return Outcome(step.id, Status.SKIPPED)
        return Outcome(step.id, Status.SKIPPED, recorded.outputs, recorded.facts)

    def decide_by_key(self, step: Step) -> Outcome | None:
        """Skip a step whose key came out as recorded; reuse what is known of its key."""
        key, _ = self.bound[step.id]
        record = self.records.get(step.address)
        recorded = record.steps.get(step.name) if record is not None else None
        if When.RECORDED in step.when and recorded is not None and recorded.key == key:
            return Outcome(step.id, Status.SKIPPED, recorded.outputs, recorded.facts)
        realisation = self.known.get(key)
        if realisation is not None and When.REALISED in step.when:
            return Outcome(step.id, Status.REUSED, realisation.outputs, realisation.facts, realisation.seconds)
        return None

    def blocked(self, step: Step) -> Failure | None:
        """Return what forbids the step, if its conditions have something against it."""
        if When.PASSED in step.when and (refused := self.refused(step)):
            return Failure("blocked", f"{', '.join(refused)} did not pass")
        if When.ACCEPTED in step.when and (notice := notices.rejection(self.rejected, step.address, self.bound[step.id][0])):
            return Failure("rejected", f"this version was rejected: {notice.reason}")
        return None

    def refused(self, step: Step) -> list[str]:
        """Return the required tests whose verdict is not passed."""
        found = []
        for gate in step.gates:
            record = self.records.get(gate)  # type: ignore[call-overload]
            if record is None or record.facts.get("passed") is not True:
                found.append(gate)
        return found

    def bind(self, step: Step) -> tuple[str, dict[str, Any]]:
        """Return the step's key and all its late values, now that what it reads exists."""
        values = dict(step.values)
        record = self.records.get(step.address)
        recorded = record.steps.get(step.name) if record is not None else None
        for late in map(Late, step.reads):
            if late.sort == "input":
                continue
            if late in values and late.sort == "output":
                continue  # known when planned, or, where a version comes back, when that was delivered
            made = self.records[late.ref.address].output(late.ref.output or "")
            if late.sort == "output":
                values[late] = made
            elif recorded is not None:
                values[late] = ops.compared_with(values[late], made, recorded.values.get(late))
        return ops.key(step.template, step.reads, values), values

    # -- begin, end --------------------------------------------------------------------------------------------------

    def begin(self, step: Step) -> tuple[Step, Mapping[str, Any] | None]:
        key, values = self.bound.get(step.id, ("", {}))
        bound = replace(step, op=ops.bind(step.op, values), values=values, key=key or None)
        self.running[step.id] = (step, self.hands.clock.monotonic())
        record = self.intent(step)
        body = {"key": key, **wording.why(self.changes[step.address])}
        if (attempt := self.attempts.of(step.id)) > 1:
            body["attempt"] = attempt
        self.entries.append(self.entry("begin", step, body, record=record))
        before = self.records.get(step.address)
        last = before.steps.get(step.name) if before is not None else None
        data = {"do": step.do.value, "verb": step.verb, "seconds": last.seconds if last is not None else None}
        self.hands.emit(Event("step-started", step.address, step.id, data))
        return bound, self.last.get(step.id)

    def intent(self, step: Step) -> Record | None:
        """Return the unfinished record of a thing that may exist from now on, so that it can be found and undone."""
        if step.do not in _KEYED or not step.here or step.address in self.records:
            return None
        change = self.changes[step.address]
        return Record(step.address, change.body, change.digest, {}, change.refs, {}, complete=False)

    def end(self, step: Step, outcome: Outcome) -> None:
        """Note the outcome, write the record that follows from it, and free those who waited."""
        self.outcomes[step.id] = outcome
        if outcome.status in _GOOD:
            self.left[step.address] -= 1
            if step.id not in self.hands.done:
                self.entries += self.end_entries(step, outcome)
        elif outcome.status is Status.FAILED and step.id in self.running:
            self.entries.append(self.entry("end", step, wording.ending(outcome)))
        self.running.pop(step.id, None)
        for follower in self.followers.get(step.id, ()):
            self.unmet[follower] -= 1
            if not self.unmet[follower]:
                self.ready.append(follower)
        self.hands.emit(Event("step-ended", step.address, step.id, wording.told(outcome)))

    def end_entries(self, step: Step, outcome: Outcome) -> Iterator[Entry]:
        body = (
            wording.ending(outcome)
            if step.id in self.running
            else wording.ending(outcome) | wording.why(self.changes[step.address])
        )
        if step.do is Do.FORGET or (step.do is Do.UNDO and self.left[step.address] == 0):
            self.records.pop(step.address, None)
            yield self.entry("end", step, body, forget=True)
            return
        old = self.changes[step.address].moved_from
        if step.do is Do.MOVE and old is not None:
            self.records[step.address] = moving.rename(self.records.pop(old), {old: step.address})
            yield replace(self.entry("end", step, body, forget=True), address=old)
        record = self.record(step, outcome)
        self.records[step.address] = record
        yield self.entry("end", step, body, record=record, realisation=self.realisation(step, outcome, record))

    def record(self, step: Step, outcome: Outcome) -> Record:
        """Return the resource's record after this step; it is complete, and has the new spec, with the last one."""
        change = self.changes[step.address]
        before = self.records.get(step.address)
        done = dict(before.steps) if before is not None else {}
        if step.do is Do.UNDO:
            done = {}
        elif step.do in _KEYED:
            key, values = self.bound[step.id]
            made = StepRecord(key, values, outcome.outputs, outcome.facts, outcome.seconds, self.now())
            done[step.name] = replace(done[step.name], values=values) if outcome.status is Status.SKIPPED else made
        if self.left[step.address] == 0:
            done |= {name: replace(done[name], values=values) for name, values in change.values.items() if name in done}
            steps = {name: done[name] for name in change.steps if name in done}
            return Record(step.address, change.body, change.digest, steps, change.refs, change.inputs, protected=change.protected)
        if before is None:
            return Record(step.address, change.body, change.digest, done, change.refs, change.inputs, complete=False)
        return replace(before, steps=done, complete=False)

    def realisation(self, step: Step, outcome: Outcome, record: Record) -> Realisation | None:
        """Return what is shared with all environments: what a made step, and no kept one, came out as."""
        if outcome.status is not Status.DONE or step.do not in (Do.RUN, Do.REUSE) or step.here:
            return None
        made = record.steps[step.name]
        return Realisation(made.key, made.outputs, made.facts, made.seconds, self.plan.environment, step.address, made.at)

    # -- messages ----------------------------------------------------------------------------------------------------

    def take(self, message: Event | Checkpoint | Outcome) -> None:
        if isinstance(message, Outcome):
            pause = self.attempts.pause(message)
            if pause is None:
                self.end(self.steps[message.step], self.attempts.told(message))
            else:
                self.put_off(self.steps[message.step], message, pause)
        elif isinstance(message, Checkpoint):
            self.last[message.step] = message.data
            self.entries.append(self.entry("checkpoint", self.steps[message.step], message.data))
            self.write()
            self.hands.executor.acknowledge(message)
        else:
            self.hands.emit(replace(message, address=self.steps[message.step].address))

    def put_off(self, step: Step, outcome: Outcome, pause: float) -> None:
        """Note that an attempt failed, and that another one follows."""
        self.entries.append(self.entry("end", step, wording.ending(outcome) | {"retry": round(pause, 3)}))
        del self.running[step.id]
        now = self.hands.clock.monotonic()
        self.later[step.id] = (now, now + pause, outcome)
        told = wording.told(outcome)
        data = {"attempt": self.attempts.of(step.id), "seconds": pause, "failure": told["failure"]}
        self.hands.emit(Event("step-retry", step.address, step.id, data))

    def keep_alive(self) -> None:
        """Renew the lease and show what is alive, every `HEARTBEAT` seconds; say once that we stop."""
        if self.hands.is_stopping() and not self.has_said_stop:
            self.has_said_stop = True
            self.hands.emit(Event("warning", data={"message": "stopping when what runs has ended; Ctrl-C again stops at once"}))
        if self.show_life():
            self.hold.renew()

    def show_life(self) -> bool:
        """Show that steps run, or wait to be attempted again; tell whether it was time to."""
        now = self.hands.clock.monotonic()
        if now - self.beat < HEARTBEAT:
            return False
        self.beat = now
        for step, start in self.running.values():
            self.hands.emit(Event("step-heartbeat", step.address, step.id, {"seconds": now - start}))
        for identity, (failed, due, _) in self.later.items():
            data = {"seconds": now - failed, "retry_in": max(0.0, due - now)}
            self.hands.emit(Event("step-heartbeat", self.steps[identity].address, identity, data))
        return True

    def note(self, what: str, **more: Any) -> None:
        self.left_open = [
            one for one in self.left_open if one[1].rpartition("/")[0] in self.records
        ]  # else nothing is left of it
        left = {"open": self.left_open} if self.left_open else {}
        self.entries.append(Entry("note", self.hands.run, self.now(), self.plan.id, body={"run": what, **more, **left}))
        self.write()

    def entry(self, event: str, step: Step, body: Mapping[str, Any], **rest: Any) -> Entry:
        if self.left_open:
            self.left_open = [one for one in self.left_open if not one[1].startswith(f"{step.address}/")]
        return Entry(event, self.hands.run, self.now(), self.plan.id, step.address, step.id, body, **rest)

    def write(self) -> None:
        """Make all entries since the last write durable, in one transaction; records learn their version from it."""
        entries, self.entries = self.entries, []
        self.hold.write(entries)

    def now(self) -> str:
        return self.hands.clock.now().isoformat(timespec="milliseconds")


def _count(addresses: Iterable[Address]) -> dict[Address, int]:
    counts: dict[Address, int] = {}
    for address in addresses:
        counts[address] = counts.get(address, 0) + 1
    return counts
