"""Delivering: the driver of a delivery. It looks, asks the state machine what is to be done, makes that durable, does it, and sleeps.

It decides nothing: `mlops.delivery` does. It can be killed between any two lines, and the next apply goes on from the last checkpoint; while
none runs, replicas, proxy and weights stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast, get_args

from mlops.core.errors import DeliveryAborted, MlopsError
from mlops.delivery import progressing
from mlops.delivery.actions import Action, Finish, Measure, Probe, Retire, Route, Run, Say, Scale
from mlops.delivery.deliveries import Delivery, Ran, Reading, Seen, Wish, Wished
from mlops.kinds.rollout.measuring import Meter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.worlds import World
    from mlops.kinds.rollout.sites import Site

PAUSE = 0.5  # seconds between two looks
_KEEP = 30.0  # seconds after which a delivery in which nothing moves is written down all the same: that somebody looks
_TRIES = 60  # rounds in which the last act may fail before the step does


def resumed(last: Mapping[str, Any] | None, candidate: str, stable: str | None) -> Delivery | None:
    """Return the delivery that an interrupted apply left in its checkpoint, if it is of these versions still."""
    delivery = read(last)
    if delivery is None or delivery.candidate != candidate:
        return None
    is_noted = delivery.result == "delivered" and stable == candidate  # killed between the note and the end
    return delivery if delivery.stable == stable or is_noted else None


def read(checkpoint: Mapping[str, Any] | None) -> Delivery | None:
    """Return the delivery that a checkpoint has; None where it has none, or one that another version of mlops wrote."""
    if checkpoint is None or "delivery" not in checkpoint:
        return None
    try:
        return Delivery.from_json(checkpoint["delivery"])
    except ValueError:
        return None


@dataclass(slots=True)
class Driver:
    """Drives one delivery on one site until it is done."""

    world: World
    site: Site
    meter: Meter = field(init=False)
    _readings: list[Reading] = field(default_factory=list)
    _ran: list[Ran] = field(default_factory=list)
    _trouble: str = ""
    _written: tuple[Delivery | None, float] = (None, 0.0)

    def __post_init__(self) -> None:
        self.meter = Meter(self.site, self.world, self.now)

    def now(self) -> float:
        """Return the time, in UTC seconds since 1970."""
        return self.world.clock.now().timestamp()

    def run(self, delivery: Delivery) -> Delivery:
        """Return the delivery once it has its result and what that means is done.

        Raises:
            DeliveryAborted: the last act, which makes the result true, fails again and again.
        """
        tries = 0
        while True:
            delivery, actions = progressing.next(delivery, self._look(delivery.heard))
            self._write(delivery)
            self._trouble = self._act(actions)
            if delivery.result is not None and not self._trouble:
                return delivery
            tries += delivery.result is not None
            if tries > _TRIES:
                raise DeliveryAborted(self._trouble, "apply again: it goes on from here")
            self.world.clock.sleep(PAUSE)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look(self, heard: int) -> Seen:
        """Return what is seen; a look never fails."""
        readings, self._readings = tuple(self._readings), []
        ran, self._ran = tuple(self._ran), []
        told: dict[str, Any] = {"readings": readings, "ran": ran, "wishes": self._wishes(heard)}
        try:
            found = self.site.look()
        except MlopsError as error:
            return Seen(self.now(), trouble=error.message, blind=True, **told)
        trouble = self._trouble or found.front.ended
        return Seen(
            self.now(),
            found.tracks["stable"],
            found.tracks["candidate"],
            found.traffic,
            self.site.answers,
            trouble=trouble,
            **told,
        )

    def _wishes(self, heard: int) -> tuple[Wish, ...]:
        """Return what persons asked of this delivery and it has not heeded; the state may not answer now: they are asked again."""
        try:
            notices = self.world.requests.since(heard)
        except MlopsError:
            return ()
        wishes = {notice.sequence: notice for notice in notices if notice.verb in get_args(Wished)}
        return tuple(Wish(sequence, cast(Wished, one.verb), one.by, one.reason) for sequence, one in wishes.items())

    # -- acting ------------------------------------------------------------------------------------------------------

    def _write(self, delivery: Delivery) -> None:
        """Make the delivery durable where something moved, and now and then the time when somebody looked."""
        before, when = self._written
        if before is None or replace(delivery, looked=0.0) != replace(before, looked=0.0) or self.now() - when > _KEEP:
            self.world.report.checkpoint({"delivery": delivery.as_json()})
            self._written = (delivery, self.now())

    def _act(self, actions: tuple[Action, ...]) -> str:
        """Do what is to be done, each for itself; return what went wrong first, in words."""
        troubles = []
        for action in actions:
            try:
                self._do(action)
            except MlopsError as error:
                troubles.append(error.message)
        return troubles[0] if troubles else ""

    def _do(self, action: Action) -> None:
        match action:
            case Say(message):
                self.world.report.progress(message)
            case Scale(track, _, replicas):
                self.site.scale(track, replicas)
            case Route(number, traffic):
                self.site.route(number, traffic)
            case Probe(number, times):
                self.site.probe(number, times)
            case Retire(track):
                self.site.retire(track)
            case Measure():
                self._readings.append(self.meter.measure(action))
            case Run():
                self._ran.append(self._called(action))
            case Finish(result):
                self._finish(result)

    def _called(self, action: Run) -> Ran:
        """Call a gate or a hook: a program with what it is told in its environment, or a URL with it as JSON."""
        call, place = action.call, self.world.place
        told = {"project": place.project, "environment": place.environment, "rollout": self.site.front.rollout, **action.told}
        try:
            if call.command is not None:
                environment = {f"MLOPS_{name.upper()}": value for name, value in told.items()}
                said = self.world.code.answer(call.command, environment, call.timeout)
            else:
                said = self.world.web.post(str(call.url), told, call.timeout)
        except MlopsError as error:
            return Ran(action.id, passed=False, said=error.message.splitlines()[0])
        return Ran(action.id, passed=True, said=(said.strip().splitlines() or [""])[0])

    def _finish(self, result: str) -> None:
        """Make the result true: the candidate is the stable version, or there is none any more; what is stranded stays as it is."""
        if result == "delivered":
            self.site.settle()
        elif result == "aborted":
            self.site.restore()
