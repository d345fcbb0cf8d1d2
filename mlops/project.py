"""The hall: introduces kinds, store, executor and world to the engine, and runs one step wherever an executor wants it."""

from __future__ import annotations

import traceback
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from mlops import kinds as kinds_room
from mlops.composing import compositions
from mlops.composing.origins import Places
from mlops.core import specs
from mlops.core.errors import MlopsError, PlanError, StateError, Unavailable
from mlops.core.executions import Failure, Outcome, Result, Status
from mlops.core.plans import Do
from mlops.core.settings import Composition, from_portable, with_password
from mlops.core.worlds import Place
from mlops.engine import applying, checking, choosing, observing, planning, verdicts
from mlops.engine.retrying import Retries
from mlops.engine.reusing import Reachable
from mlops.policies import judging
from mlops.stores.maintaining import Maintenance
from mlops.stores.requests import StepRequests
from mlops.stores.sql import SqlStore
from mlops.world import chance, deadlines, hosts, owners, rego, secrets
from mlops.world.doors import STATE, Doors
from mlops.world.interrupts import Interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from mlops.core.addresses import Address
    from mlops.core.events import Emit
    from mlops.core.executions import Executor
    from mlops.core.explanations import Explanation
    from mlops.core.histories import Chapter, Source
    from mlops.core.plans import Plan, Standing, Step
    from mlops.core.resources import Kind
    from mlops.core.rulings import Ruling
    from mlops.core.settings import Settings
    from mlops.core.states import Entry, Lease, State
    from mlops.core.worlds import Report
    from mlops.engine.drafting import Work


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


def resume(root: Path, plan: Plan) -> Project:
    """Open the project that a saved plan is of. Its settings are those of conf/ where that is here, else those of the plan.

    Raises:
        SpecError: the settings in conf/ are wrong; what is wrong with resources does not matter.
    """
    overrides = tuple(plan.options.get("overrides", ()))
    settings = (
        compositions.settings(root, overrides, kinds())
        if (root / "conf" / "config.yaml").is_file()
        else from_portable(plan.project, plan.environment, plan.settings)
    )
    return Project(root, Composition(settings, {}, Places(root), overrides))


@dataclass
class Project:
    """A composed project and its state."""

    root: Path
    composition: Composition
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    reason: str = ""  # why the user applies, in their own words
    _rulings: dict[str, tuple[Ruling, ...]] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.composition.settings

    @property
    def place(self) -> Place:
        """Where the project's steps belong."""
        settings = self.settings
        return Place(str(self.root), settings.project, settings.environment, settings.allow, settings.store)

    @cached_property
    def world(self) -> Doors:
        """The doors that planning looks through."""
        return Doors(self.place)

    @cached_property
    def store(self) -> SqlStore:
        """The recorded state."""
        try:
            return _store(self.place)
        except StateError as error:
            origin = self.composition.origins.of("store", "url")
            if origin is not None:
                place = f"command line: {origin.override.partition('=')[0]}=…" if origin.override else origin  # no password
                error.hint = f"{error.hint}\nstore.url is written here: {place}"
            raise

    @property
    def maintenance(self) -> Maintenance:
        """The environment's state in the hands of a person."""
        settings = self.settings
        is_whole = self.world.artifacts.is_whole
        return Maintenance(
            self.store, settings.project, settings.environment, owners.owner(), self.run, self.world.clock, is_whole
        )

    def close(self) -> None:
        """Give the store back."""
        if "store" in self.__dict__:
            self.store.close()

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return all records of the environment."""
        return self.store.read(self.settings.environment)

    def history(self, address: str | None = None, environment: str | None = None) -> Iterable[Entry]:
        """Return the journal of an environment, of one address where it is given; notes of runs have the address ""."""
        return self.store.history(environment or self.settings.environment, address)

    def recall(self, address: str, environment: str | None = None) -> list[Chapter]:
        """Return what was done to the resource, run by run, also under the addresses that it had before it moved."""
        from mlops.engine import recalling  # with `explaining`, a tenth of a small plan's time that no plan needs

        entries = recalling.lineage(address, lambda one: self.history(one, environment))
        return recalling.recall(entries, self.history("", environment))

    def sources(self, chapter: Chapter, environment: str | None = None) -> tuple[Source, ...]:
        """Return what the record of a chapter was made from."""
        if chapter.record is None:
            return ()
        from mlops.engine import recalling

        return recalling.sources(chapter.record, lambda address: self.history(address, environment))

    def plan(self, options: choosing.Options) -> Plan:
        """Observe and plan.

        Raises:
            SpecError: an input is not there.
            PlanError: a target is unknown, or resources form a cycle.
        """
        scope = choosing.choose(self.composition, self.state(), kinds(), options)
        observed = observing.observe(scope, kinds(), self.world)
        return planning.plan(scope, observed, kinds(), self._reader)

    def explain(self, address: Address) -> Explanation:
        """Plan the resource and what it needs, and return what the plan of it was made of.

        Raises:
            SpecError, PlanError: as `plan` does.
        """
        from mlops.engine import explaining

        scope = choosing.choose(self.composition, self.state(), kinds(), choosing.Options((address,)))
        observed = observing.observe(scope, kinds(), self.world)
        works: list[Work] = []
        plan = planning.plan(scope, observed, kinds(), self._reader, works.append)
        return explaining.explain(address, plan, works, scope, observed, self._reader)

    def judge(self, plan: Plan) -> tuple[Ruling, ...]:
        """Return what the project's policies say of the plan; the same plan is judged once.

        Raises:
            PlanError: a policy needs a program that is not installed.
        """
        if plan.id not in self._rulings:
            evaluate = partial(rego.evaluate, self.root)
            within = partial(deadlines.within, rego.SECONDS)
            self._rulings[plan.id] = judging.judge(self.settings.policies, plan, self.world.code.load, evaluate, within)
        return self._rulings[plan.id]

    def apply(self, plan: Plan, emit: Emit, *, saved: bool = False, force: bool = False) -> Result:
        """Run the plan under the environment's lease. Failed steps are outcomes in the result.

        What a saved plan observed is observed again; `force` applies a plan that does not fit any more, and the journal
        keeps what did not.

        Raises:
            PlanError: the plan is another project's or environment's, has problems, is stale, or a policy denies it.
            StateLocked: another process holds the environment.
        """
        self._check(plan)
        judging.enforce(self.judge(plan))
        with self._lease() as lease, Interrupts() as interrupts:
            state = self.state()
            so_far = checking.progress(plan, state, partial(self.store.history, plan.environment, plan=plan.id))
            stale = checking.records(plan, state, so_far)
            if saved:
                stale += checking.observations(plan, state, so_far, kinds(), self.world)
            if not force:
                checking.refuse(stale)
            executor = self._executor(plan)
            hands = applying.Hands(self.store, self._reader, lease, executor, self.world.clock, emit, self.run)
            hands.is_stopping, hands.is_aborting = interrupts.is_stopping, interrupts.is_aborting
            hands.reason, hands.done, hands.forced = self.reason, so_far.done, tuple(stale)
            hands.retries = Retries(self.settings.executor.retries, self.settings.executor.retry_delay, chance.fraction)
            try:
                return applying.apply(plan, state, hands)
            finally:
                executor.close()

    def standing(self) -> tuple[Standing, ...]:
        """Return the desired tests whose recorded verdict is not passed."""
        records, desired = self.state().records, self.composition.resources
        found = (verdicts.standing(records.get(address)) for address in sorted(desired))
        return tuple(verdict for verdict in found if verdict is not None)

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

    @property
    def _reader(self) -> Reachable:
        return Reachable(self.store, self.world.artifacts)

    def _check(self, plan: Plan) -> None:
        for what, theirs, ours in (
            ("project", plan.project, self.settings.project),
            ("environment", plan.environment, self.settings.environment),
        ):
            if theirs != ours:
                message = f"the plan is for {what} '{theirs}', not '{ours}'"
                raise PlanError(message, "plan again, or apply it where it was made")
        checking.sound(plan)

    @contextmanager
    def _lease(self) -> Iterator[Lease]:
        lease = self.store.acquire(self.settings.environment, owners.owner())
        try:
            yield lease
        finally:
            self.store.release(lease)

    def _executor(self, plan: Plan) -> Executor:
        from mlops.executors.needs import Needs

        settings, outputs = self.settings.executor, self.root / STATE / "logs" / self.run
        steps = [step for step in plan.steps if step.do is Do.RUN]
        run = partial(run_step, self.place)
        if settings.type == "docker" and not all(step.here for step in steps):
            from mlops import boxing
            from mlops.executors.docker import Docker

            into, cores = boxing.boxing(self.place, settings, self._secrets_of)
            needs = Needs(settings, cores)
            needs.check(steps)
            return Docker(into, run, needs, outputs)
        from mlops.executors.local import Local

        needs = Needs(settings, hosts.cores())
        needs.check(steps)
        return Local(run, needs, outputs)

    def _secrets_of(self, step: Step) -> Mapping[str, str]:
        """Return the secrets that the step names, as environment variables; those that are not there it asks for in vain."""
        marked = specs.marked(_ops()[step.verb], specs.SECRET)
        names = {leaf for path, leaf in specs.walk(step.op) if isinstance(leaf, str) and specs.is_marked(path, marked)}
        return secrets.found(names)


def run_step(place: Place, step: Step, report: Report) -> Outcome:
    """Run a step whose late values are bound; every executor runs steps by this function.

    What the op raises becomes the outcome's failure, here and nowhere else.
    """
    with Doors(place, report, partial(_requests, place, step)) as world:
        started = world.clock.monotonic()
        try:
            made = _ops()[step.verb].model_validate(dict(step.op)).run(world)
        except Exception as error:  # noqa: BLE001 - the one place that turns an exception into an outcome
            return Outcome(
                step.id, Status.FAILED, seconds=world.clock.monotonic() - started, failure=_failure(error, world.secrets.hide)
            )
        seconds = world.clock.monotonic() - started
        return Outcome(step.id, Status.DONE, dict(made.outputs), dict(made.facts), seconds)


def _store(place: Place) -> SqlStore:
    """Open the state of the place."""
    doors = Doors(place)
    secret = place.store.secret
    url = with_password(place.store.url, doors.secrets.value(secret) if secret is not None else None)
    return SqlStore(url, doors.root, doors.clock, owners.is_gone, place.project)


def _requests(place: Place, step: Step) -> StepRequests:
    """Open what a delivery hears, on a connection of its own: it runs in a thread beside that of applying."""
    return StepRequests(_store(place), place.environment, step, owners.person())


@lru_cache(maxsize=1)
def _ops() -> dict[str, Any]:
    return {op.verb: op for kind in kinds().values() for op in kind.ops}


def _failure(error: Exception, hide: Callable[[str], str]) -> Failure:
    """Put the error in words, without any secret value that a library put into its message."""
    if isinstance(error, MemoryError):
        said = f" ({hide(str(error))})" if str(error) else ""
        return Failure("memory", f"needed more memory than it could have{said}", "make the data smaller, or give the step more")
    if isinstance(error, MlopsError):
        hint = error.hint and hide(error.hint)
        return Failure(error.code, hide(error.message), hint, may_retry=isinstance(error, Unavailable))
    trace = hide("".join(traceback.format_exception(error)))
    message = hide(f"{type(error).__name__}: {error}")
    return Failure("bug", message, "this is not expected: please report it with the trace", trace)
