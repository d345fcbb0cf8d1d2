"""Toy kinds, world, executor and project: the engine's laws shown without data, models or servers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from mlops.core import ops, specs
from mlops.core.addresses import Address, Ref
from mlops.core.digests import digest
from mlops.core.errors import Deferred, MlopsError, Unavailable
from mlops.core.executions import Failure, Outcome, Status
from mlops.core.ops import Bindable, Late, Made
from mlops.core.resources import Kind, Lifecycle, compile_spec
from mlops.core.settings import Composition, Settings
from mlops.core.worlds import Observation, Request
from mlops.engine import applying, checking, choosing, observing, planning
from mlops.engine.reusing import Reachable


class Crash(BaseException):
    """The process is gone, at this very moment."""


class ThingSpec(specs.Spec):
    """A made thing: a number worked out from its own value, of a file, and of what it reads."""

    value: int = 0
    reads: tuple[Annotated[Ref, specs.To("thing")], ...] = ()
    file: str | None = None
    halved: bool = False  # the output forgets the lowest bit: early cut-off
    note: Annotated[str, specs.COSMETIC] = ""


class Work(ops.Op):
    """Work the number out."""

    verb = "thing.work"
    value: int
    reads: tuple[Annotated[str, Bindable()], ...]
    file: Annotated[Any, Bindable()] = None
    halved: bool

    def run(self, world: Any) -> Made:
        number = self.value + sum(world.numbers[read] for read in self.reads) + (self.file or 0)
        return Made({"out": world.put(number // 2 * 2 if self.halved else number)}, {"number": number})


class Thing(Kind):
    """Makes."""

    name = "thing"
    Spec = ThingSpec
    ops = (Work,)

    def outputs(self, spec):
        return ("out",)

    def steps(self, spec, address):
        reads = tuple(Late.output(ref.to(ref.output or "out")) for ref in spec.reads)
        file = Late.input("file") if spec.file else None
        op = Work(value=spec.value, reads=reads, file=file, halved=spec.halved)
        return (ops.template("work", op, ("out",), self.revision),)

    def inputs(self, spec):
        return {"file": Request("file", {"path": spec.file}, "file")} if spec.file else {}


class GuardSpec(specs.Spec):
    """A test: passes while the number is under a limit."""

    thing: Annotated[Ref, specs.To("thing")]
    limit: int = 1000
    against: Annotated[Ref, specs.To("keep")] | None = None


class Judge(ops.Op):
    """Give the verdict."""

    verb = "guard.judge"
    number: Annotated[str, Bindable()]
    limit: int
    baseline: Annotated[str | None, Bindable()] = None

    def run(self, world: Any) -> Made:
        passed = world.numbers[self.number] <= self.limit
        facts = {"passed": passed, "checks": [], "baseline": self.baseline}
        return Made({"verdict": world.sign([passed, self.number, self.limit, self.baseline])}, facts)


class Guard(Kind):
    """Tests."""

    name = "guard"
    Spec = GuardSpec
    ops = (Judge,)

    def outputs(self, spec):
        return ("verdict",)

    def steps(self, spec, address):
        candidate = spec.thing.to("out")
        baseline = Late.baseline(spec.against, candidate) if spec.against else None
        op = Judge(number=Late.output(candidate), limit=spec.limit, baseline=baseline)
        return (ops.template("judge", op, ("verdict",), self.revision),)


class KeepSpec(specs.Spec):
    """A kept thing: shows a number at a place."""

    shows: Annotated[Ref, specs.To("thing")]
    place: Annotated[str, specs.REPLACES] = "here"
    requires: tuple[Annotated[Ref, specs.To("guard")], ...] = ()


class Show(ops.Op):
    """Make the world show it."""

    verb = "keep.show"
    here = True
    name: str
    place: str
    number: Annotated[str, Bindable()]

    def run(self, world: Any) -> Made:
        world.show(self.name, self.place, self.number)
        return Made({"serving": self.number}, {"place": self.place})


class Hide(ops.Op):
    """Take it away, wherever it is."""

    verb = "keep.hide"
    here = True
    name: str

    def run(self, world: Any) -> Made:
        world.hide(self.name)
        return Made()


class Keep(Kind):
    """Keeps."""

    name = "keep"
    Spec = KeepSpec
    ops = (Show, Hide)
    keeps = True

    def outputs(self, spec):
        return ("serving",)

    def steps(self, spec, address):
        op = Show(name=address.name, place=spec.place, number=Late.output(spec.shows.to("out")))
        return (ops.template("show", op, ("serving",), self.revision),)

    def gates(self, spec):
        return spec.requires

    def observe(self, record, world):
        wanted = (record.body.get("place", "here"), record.output("serving"))
        found = world.shown.get(record.address.name)
        return Observation(None if found == wanted else f"shows {found}")

    def undo(self, record):
        return Hide(name=record.address.name)


class LaterSpec(specs.Spec):
    """A made thing of what a kept thing shows, which nobody knows before it is shown."""

    watches: str


class Note(ops.Op):
    """Note the number that is shown."""

    verb = "later.note"
    number: Annotated[Any, Bindable()]

    def run(self, world: Any) -> Made:
        return Made({"out": world.put(self.number)}, {"number": self.number})


class Later(Kind):
    """Makes, of something that exists only after an apply."""

    name = "later"
    Spec = LaterSpec
    ops = (Note,)

    def outputs(self, spec):
        return ("out",)

    def steps(self, spec, address):
        return (ops.template("note", Note(number=Late.input("number")), ("out",), self.revision),)

    def inputs(self, spec):
        return {"number": Request("shown", {"name": spec.watches}, "watches")}


class TwinSpec(specs.Spec):
    """A kept thing that may stand at two places at once."""

    place: Annotated[str, specs.REPLACES] = "here"
    number: int = 0


class Stand(ops.Op):
    """Have it stand there."""

    verb = "twin.stand"
    here = True
    name: str
    place: str
    number: int

    def run(self, world: Any) -> Made:
        world.twins[self.name, self.place] = self.number
        world.most = max(world.most, sum(name == self.name for name, _ in world.twins))
        return Made({"serving": digest(self.number)}, {"place": self.place})


class Clear(ops.Op):
    """Take it away from everywhere but one place."""

    verb = "twin.clear"
    here = True
    name: str
    but: str | None = None

    def run(self, world: Any) -> Made:
        for name, place in [*world.twins]:
            if name == self.name and place != self.but:
                del world.twins[name, place]
        return Made()


class Twin(Kind):
    """Keeps, and can overlap."""

    name = "twin"
    Spec = TwinSpec
    ops = (Stand, Clear)
    keeps = True
    can_overlap = True

    def outputs(self, spec):
        return ("serving",)

    def steps(self, spec, address):
        op = Stand(name=address.name, place=spec.place, number=spec.number)
        return (ops.template("stand", op, ("serving",), self.revision),)

    def observe(self, record, world):
        wanted = {record.body.get("place", "here"): record.body.get("number", 0)}
        found = {place: number for (name, place), number in world.twins.items() if name == record.address.name}
        return Observation(None if found == wanted else f"stands at {sorted(found)}")

    def undo(self, record):
        return Clear(name=record.address.name)

    def sweep(self, spec, address):
        return Clear(name=address.name, but=spec.place)


KINDS = {kind.name: kind for kind in (Thing(), Guard(), Keep(), Later(), Twin())}
OPS = {op.verb: op for kind in KINDS.values() for op in kind.ops}


def _failure(error):
    return Failure(error.code, error.message, may_retry=isinstance(error, Unavailable))


@dataclass
class ToyWorld:
    """Numbers by digest, shown things by name, files by name; told to fail, it fails."""

    numbers: dict[str, int] = field(default_factory=dict)
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)  # digests of verdicts
    files: dict[str, int] = field(default_factory=dict)
    twins: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, place) → number
    most: int = 0  # places at which one twin stood at once, at most
    looked: list[str] = field(default_factory=list)  # what was observed, in order
    failing: set[str] = field(default_factory=set)  # step ids
    ran: list[str] = field(default_factory=list)  # step ids, in order

    def put(self, number: int) -> str:
        self.numbers[digest(number)] = number
        return digest(number)

    def show(self, name, place, number):
        self.shown[name] = (place, number)

    def hide(self, name):
        self.shown.pop(name, None)

    @property
    def artifacts(self):
        return self

    def has(self, found):
        return found in self.numbers or found in self.signed

    is_whole = has

    def sign(self, verdict):
        self.signed.add(digest(verdict))
        return digest(verdict)

    def observe(self, requests):
        for request in requests:
            name = request.arguments.get("path") or request.arguments["name"]
            self.looked.append(f"{request.door} {name}")
            if request.door == "shown":
                yield Observation(self.numbers[self.shown[name][1]]) if name in self.shown else Deferred(f"{name} is not shown")
            else:
                yield Observation(self.files[name]) if name in self.files else Unavailable(f"no file {name}")


class ToyClock:
    """Stands still unless it is moved."""

    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self):
        return self.time

    def monotonic(self):
        return self.time.timestamp()

    def sleep(self, seconds):
        self.time += timedelta(seconds=seconds)


class ToyExecutor:
    """Runs a step when it is submitted, as `project.run_step` would."""

    def __init__(self, world: ToyWorld, workers: int = 2):
        self.world, self.workers, self.messages = world, workers, deque()

    def submit(self, step, last=None):
        self.world.ran.append(step.id)
        try:
            if step.id in self.world.failing:
                message = "told to fail"
                raise Unavailable(message)
            made = OPS[step.verb].model_validate(dict(step.op)).run(self.world)
        except MlopsError as error:
            self.messages.append(Outcome(step.id, Status.FAILED, failure=_failure(error)))
        else:
            self.messages.append(Outcome(step.id, Status.DONE, made.outputs, made.facts, 1.0))

    def wait(self, timeout):
        return (self.messages.popleft(),) if self.messages else ()

    def acknowledge(self, checkpoint):
        raise AssertionError

    def choose(self, ready):
        return list(ready)[: self.workers - len(self.messages)]

    def close(self):
        """Nothing to stop."""


class NoOrigins:
    """Nothing was written anywhere."""

    def of(self, address, path=""):
        return None


def compose(program: dict[str, dict[str, Any]], environment: str = "dev", settings: dict[str, Any] | None = None) -> Composition:
    """Compile `{address: spec}` as composing would; a spec may have a `lifecycle` beside its fields."""
    resources = {}
    for text, body in program.items():
        address = Address(text)
        kind = KINDS[address.kind]
        spec = kind.Spec.model_validate({name: value for name, value in body.items() if name != "lifecycle"})
        resources[address] = compile_spec(kind, address, spec, Lifecycle.model_validate(body.get("lifecycle", {})))
    return Composition(Settings(environment=environment, **(settings or {})), resources, NoOrigins())


def plan(program, store, world, *, environment="dev", settings=None, **options):
    """Observe and plan as `project.Project.plan` does."""
    desired = compose(program, environment, settings)
    scope = choosing.choose(desired, store.read(environment), KINDS, choosing.Options(**options))
    return planning.plan(scope, observing.observe(scope, KINDS, world), KINDS, Reachable(store, world))


def apply(
    made,
    store,
    world,
    *,
    executor=None,
    emit=lambda _: None,
    is_stopping=lambda: False,
    saved=False,
    force=False,
    clock=None,
    run="run",
):
    """Apply under a lease as `project.Project.apply` does; a crash leaves the lease behind."""
    checking.sound(made)
    lease = store.acquire(made.environment, "toy")
    state = store.read(made.environment)
    so_far = checking.progress(made, state, lambda: store.history(made.environment, plan=made.id))
    stale = checking.records(made, state, so_far)
    if saved:
        stale += checking.observations(made, state, so_far, KINDS, world)
    if not force:
        checking.refuse(stale)
    hands = applying.Hands(
        store, Reachable(store, world), lease, executor or ToyExecutor(world), clock or ToyClock(), emit, "run", is_stopping
    )
    hands.done, hands.forced = so_far.done, tuple(stale)
    result = applying.apply(made, state, hands)
    store.release(lease)
    return result
