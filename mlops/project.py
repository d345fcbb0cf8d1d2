"""The hall: introduces kinds, store, executor and world to the engine, and runs one step wherever an executor wants it."""

from __future__ import annotations

import signal
import traceback
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from mlops import kinds as kinds_room
from mlops.composing import compositions
from mlops.core.addresses import Address
from mlops.core.errors import MlopsError, PlanError, StateError, Unavailable
from mlops.core.executions import Failure, Outcome, Result, Status
from mlops.core.worlds import Place
from mlops.engine import applying, observing, planning
from mlops.stores.sql import SqlStore
from mlops.world import owners
from mlops.world.doors import STATE, Doors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from mlops.core.events import Emit
    from mlops.core.plans import Plan, Step
    from mlops.core.resources import Kind
    from mlops.core.settings import Composition, Settings
    from mlops.core.states import Entry, Lease, Realisation, State
    from mlops.core.worlds import Report


@lru_cache(maxsize=1)
def kinds() -> Mapping[str, Kind]:
    """Return every installed kind, loaded once."""
    return kinds_room.load()


def open(root: Path, overrides: Sequence[str] = ()) -> Project:  # noqa: A001 - called as project.open
    """Compose the project in `root`.

    Raises:
        SpecError: the configuration is wrong; carries every problem.
    """
    return Project(root, compositions.compose(root, overrides, kinds()))


@dataclass
class Project:
    """A composed project and its state."""

    root: Path
    composition: Composition
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.composition.settings

    @property
    def place(self) -> Place:
        """Where the project's steps belong."""
        settings = self.settings
        return Place(str(self.root), settings.project, settings.environment, settings.allow)

    @cached_property
    def world(self) -> Doors:
        """The doors that planning looks through."""
        return Doors(self.place)

    @cached_property
    def store(self) -> SqlStore:
        """The recorded state."""
        try:
            return SqlStore(self.settings.store.url, self.root, self.world.clock, owners.is_gone)
        except StateError as error:
            origin = self.composition.origins.of("store", "url")
            if origin is not None:
                place = f"command line: {origin.override.partition('=')[0]}=…" if origin.override else origin  # no password
                error.hint = f"{error.hint}\nstore.url is written here: {place}"
            raise

    def close(self) -> None:
        """Give the store back."""
        if "store" in self.__dict__:
            self.store.close()

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return all records of the environment."""
        return self.store.read(self.settings.environment)

    def history(self, address: str | None = None) -> Iterable[Entry]:
        """Return the environment's journal, of one address where it is given."""
        return self.store.history(self.settings.environment, address)

    def plan(self, targets: Sequence[str] = (), *, replace: Sequence[str] = (), destroy: bool = False) -> Plan:
        """Observe and plan.

        Raises:
            SpecError: an input is not there.
            PlanError: a target is unknown, or resources form a cycle.
        """
        options = planning.Options(_addresses(targets), frozenset(_addresses(replace)), destroy)
        state = self.state()
        resources, _ = planning.select(self.composition, state, options)
        kept = [record for address, record in state.records.items() if address in resources]
        observed = observing.observe(resources.values(), kept, kinds(), self.world, self.composition.origins)
        return planning.plan(self.composition, state, observed, kinds(), _Reachable(self.store, self.world), options)

    def apply(self, plan: Plan, emit: Emit) -> Result:
        """Run the plan under the environment's lease. Failed steps are outcomes in the result.

        Raises:
            PlanError: the plan is another project's or environment's, or is stale.
            StateLocked: another process holds the environment.
        """
        self._check(plan)
        with self._lease() as lease, _interrupts() as is_stopping:
            state = self.state()
            applying.check(plan, state)
            executor = self._executor()
            try:
                return applying.apply(
                    plan, state, applying.Hands(self.store, lease, executor, self.world.clock, emit, self.run, is_stopping)
                )
            finally:
                executor.close()

    def status(self) -> list[dict[str, Any]]:
        """Return what the things that are kept look like now: address, what is not as recorded, and facts."""
        rows = []
        for address, record in sorted(self.state().records.items()):
            kind = kinds().get(address.kind)
            if kind is not None and kind.keeps:
                found = kind.observe(record, self.world)
                rows.append({"address": address, "found": found.value, "facts": dict(found.facts)})
        return rows

    # -- what they need ----------------------------------------------------------------------------------------------

    def _check(self, plan: Plan) -> None:
        for what, theirs, ours in (
            ("project", plan.project, self.settings.project),
            ("environment", plan.environment, self.settings.environment),
        ):
            if theirs != ours:
                message = f"the plan is for {what} '{theirs}', not '{ours}'"
                raise PlanError(message, "plan again, or apply it where it was made")

    @contextmanager
    def _lease(self) -> Iterator[Lease]:
        lease = self.store.acquire(self.settings.environment, owners.owner())
        try:
            yield lease
        finally:
            self.store.release(lease)

    def _executor(self) -> Any:
        from mlops.executors.local import Limits, Local

        settings = self.settings.executor
        limits = Limits(seconds=settings.timeout) if settings.workers is None else Limits(settings.workers, settings.timeout)
        return Local(partial(run_step, self.place), limits, self.root / STATE / "logs" / self.run)


@dataclass(frozen=True)
class _Reachable:
    """A state reader that knows only realisations whose artifacts are still here."""

    store: SqlStore
    world: Doors

    def read(self, environment: str) -> State:
        return self.store.read(environment)

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        has = self.world.artifacts.has
        return {
            key: found
            for key, found in self.store.realised(keys).items()
            if all(has(digest) for digest in found.outputs.values())
        }


def run_step(place: Place, step: Step, report: Report) -> Outcome:
    """Run a step whose late values are bound; every executor runs steps by this function.

    What the op raises becomes the outcome's failure, here and nowhere else.
    """
    with Doors(place, report) as world:
        started = world.clock.monotonic()
        try:
            made = _ops()[step.verb].model_validate(dict(step.op)).run(world)
        except Exception as error:  # noqa: BLE001 - the one place that turns an exception into an outcome
            return Outcome(
                step.id, Status.FAILED, seconds=world.clock.monotonic() - started, failure=_failure(error, world.secrets.hide)
            )
        seconds = world.clock.monotonic() - started
        return Outcome(step.id, Status.DONE, dict(made.outputs), dict(made.facts), seconds)


@lru_cache(maxsize=1)
def _ops() -> dict[str, Any]:
    return {op.verb: op for kind in kinds().values() for op in kind.ops}


def _failure(error: Exception, hide: Callable[[str], str]) -> Failure:
    """Put the error in words, without any secret value that a library put into its message."""
    if isinstance(error, MlopsError):
        hint = error.hint and hide(error.hint)
        return Failure(error.code, hide(error.message), hint, may_retry=isinstance(error, Unavailable))
    trace = hide("".join(traceback.format_exception(error)))
    message = hide(f"{type(error).__name__}: {error}")
    return Failure("bug", message, "this is not expected: please report it with the trace", trace)


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    try:
        return tuple(Address.parse(text) for text in texts)
    except ValueError as error:
        raise PlanError(str(error)) from None


@contextmanager
def _interrupts() -> Iterator[Any]:
    """Let the first Ctrl-C (or SIGTERM) drain what runs; the second raises KeyboardInterrupt."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
