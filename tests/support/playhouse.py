"""A world for deliveries that is played: replicas begin, get ready and die, a route is slow or lies, and the clock is a number.

It does what a driver would, and watches what must never happen: `Playhouse.do` fails a test at the action that breaks the order of a shift.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace

from mlops.delivery import actions
from mlops.delivery.deliveries import Answers, Death, Delivery, Durations, Ran, Reading, Replicas, Seen, Tally, Traffic, Wish
from mlops.delivery.progressing import begin
from mlops.delivery.progressing import next as next_of
from mlops.delivery.strategies import Strategy

BOUNDS = (0.001, 0.002, 0.004, 0.008, 0.016)


@dataclass
class Nature:
    """What the replicas of a version are like."""

    ready_after: float = 2.0
    dies_after: float | None = None
    never_ready: bool = False
    error_rate: float = 0.0
    bucket: int = 1  # where its durations fall
    predictions: tuple[int, int] = (50, 50)


@dataclass
class Replica:
    """One replica."""

    name: str
    version: str
    born: float
    ending: float | None = None
    dead: str = ""


@dataclass
class Playhouse:
    """The world, the driver's memory, and what was seen of them."""

    stable: str | None = "old"
    candidate: str = "new"
    natures: dict[str, Nature] = field(default_factory=dict)
    now: float = 1000.0
    route_delay: float = 1.0  # until the data plane follows
    route_lies: bool = False  # the route says it is as asked, and the data plane never follows
    unreadable: bool = False
    blind: bool = False
    requests_each_second: float = 40.0
    drain: float = 3.0
    seed: int = 0
    recreate: bool = False
    gate: tuple[bool, ...] = (True,)
    wishes: list[Wish] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    asked: Traffic = field(default_factory=Traffic)
    effective: Traffic = field(default_factory=Traffic)
    follows_at: float = 0.0
    log: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.dice = random.Random(self.seed)  # noqa: S311 - dice of a play
        self.born = self.calls = 0
        self.forget()

    def forget(self):
        """Lose what a driver has in its memory: it was killed."""
        self.answers, self.first, self.readings, self.ran = None, {}, [], []

    def nature(self, version):
        return self.natures.setdefault(version, Nature())

    def begin(self, version, count, *, born=None):
        for _ in range(count):
            self.born += 1
            self.replicas.append(Replica(f"replica-{self.born}", version, self.now - 100 if born is None else born))

    # the world ---------------------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds=1.0):
        self.now += seconds
        if self.now >= self.follows_at and not self.route_lies:
            self.effective = self.asked
        for one in self.replicas:
            nature = self.nature(one.version)
            if not one.dead and nature.dies_after is not None and self.now - one.born > nature.dies_after:
                one.dead = "exit code 137"
        self.replicas = [one for one in self.replicas if one.ending is None or self.now - one.ending < self.drain]

    def track(self, version):
        return "stable" if version == self.stable else "candidate"

    def is_ready(self, one):
        nature = self.nature(one.version)
        return not one.dead and one.ending is None and not nature.never_ready and self.now - one.born >= nature.ready_after

    def found(self, track):
        own = [one for one in self.replicas if self.track(one.version) == track]
        if not own:
            return Replicas()
        living = [one for one in own if not one.dead and one.ending is None]
        dead = tuple(Death(one.name, one.dead) for one in own if one.dead)
        return Replicas(own[0].version, len(living), sum(map(self.is_ready, own)), dead)

    def look(self) -> Seen:
        if self.blind:
            return Seen(self.now, wishes=tuple(self.wishes), blind=True, trouble="no engine answers")
        traffic = None if self.unreadable else self.asked
        answers = replace(self.answers) if self.answers else None
        return Seen(
            self.now,
            self.found("stable"),
            self.found("candidate"),
            traffic,
            answers,
            tuple(self.wishes),
            tuple(self.readings[-2:]),
            tuple(self.ran[-2:]),
        )

    # the driver --------------------------------------------------------------------------------------------------------------------

    def do(self, wanted, delivery):
        for action in wanted:
            self.log.append(f"{self.now - 1000:.0f} {action}")
            getattr(self, f"_{type(action).__name__.lower()}")(action, delivery)

    def _say(self, action, delivery):
        assert "\n" not in action.message

    def _finish(self, action, delivery):
        pass

    def _scale(self, action, delivery):
        own = [one for one in self.replicas if one.version == action.version and not one.dead and one.ending is None]
        self.replicas = [one for one in self.replicas if not (one.version == action.version and one.dead)]
        if len(own) > action.replicas and action.track == "stable" and not self.recreate:
            share = 100 * (delivery.replicas - action.replicas) / delivery.replicas
            assert self.effective.weight >= share - 0.01, f"stable to {action.replicas} at {self.effective}"
        for one in own[action.replicas :]:
            one.ending = self.now
        self.begin(action.version, action.replicas - len(own), born=self.now)

    def _route(self, action, delivery):
        traffic = action.traffic
        if traffic.weight or traffic.mirror or traffic.header:
            assert self.found("candidate").ready, f"{traffic} and no candidate is ready"
            if traffic.weight:
                assert self.found("candidate").version == delivery.candidate
        if traffic.weight < 100:
            assert self.found("stable").ready, f"{traffic} and nothing of the stable version is ready"
        if self.unreadable:
            return
        if traffic != self.asked:
            self.follows_at = self.now + self.route_delay
        self.asked = traffic
        if self.answers is None or self.answers.route != action.number:
            self.answers = Answers(action.number)

    def _probe(self, action, delivery):
        if self.answers is None or self.answers.route != action.number:
            self.answers = Answers(action.number)
        if self.unreadable:
            return
        new = sum(self.dice.random() * 100 < self.effective.weight for _ in range(action.times))
        stable, candidate = self.found("stable").ready, self.found("candidate").ready
        lost = (0 if candidate else new) + (0 if stable else action.times - new)
        self.answers = replace(
            self.answers,
            stable=self.answers.stable + (action.times - new if stable else 0),
            candidate=self.answers.candidate + (new if candidate else 0),
            failed=self.answers.failed + lost,
        )

    def _measure(self, action, delivery):
        if action.number == 0 or action.window not in self.first:
            self.first[action.window] = self.now
        since = self.first[action.window]
        total = self.requests_each_second * (self.now - since)
        share = max(self.effective.weight, self.effective.mirror) / 100
        candidate, stable = self._tally(delivery.candidate, total * share), self._tally(self.stable, total * (1 - share))
        mirrored = int(total * self.effective.mirror / 100)
        values = dict.fromkeys([f"commands.{name}" for name in action.commands], 1.0)
        self.readings.append(Reading(action.window, action.number, since, self.now, stable, candidate, mirrored, 0, values))

    def _tally(self, version, requests):
        nature, count = self.nature(version), int(requests)
        counts = [0] * (len(BOUNDS) + 1)
        counts[nature.bucket] = count
        yes = count * nature.predictions[0] // 100
        failed = sum(self.dice.random() < nature.error_rate for _ in range(count))
        return Tally(count, failed, count, failed, Durations(BOUNDS, tuple(counts)), {"yes": yes, "no": count - yes})

    def _run(self, action, delivery):
        self.ran.append(Ran(action.id, self.gate[min(self.calls, len(self.gate) - 1)], "closed"))
        self.calls += 1

    def _retire(self, action, delivery):
        if action.track == "stable" and not self.recreate:
            assert self.effective.weight == 100, f"the stable version goes at {self.effective}"
        if action.track == "candidate" and not self.recreate and self.stable is not None:
            assert not self.effective.weight, f"the candidate goes at {self.effective}"
        for one in self.replicas:
            if self.track(one.version) == action.track and one.ending is None:
                one.ending = self.now

    # a whole play ------------------------------------------------------------------------------------------------------------------

    def round(self, delivery: Delivery, does: float = 1.0) -> tuple[Delivery, tuple[actions.Action, ...]]:
        """Look, decide, keep, act; a share `does` of the actions only, where the driver is killed among them."""
        seen = self.look()
        after, wanted = next_of(delivery, seen)
        again, same = next_of(after, seen)
        assert again == after, "next is idempotent"
        assert [one for one in same if not isinstance(one, actions.Say)] == [
            one for one in wanted if not isinstance(one, actions.Say)
        ]
        kept = Delivery.from_json(json.loads(json.dumps(after.as_json())))
        assert kept == after, "a delivery survives JSON"
        self.do(wanted[: round(len(wanted) * does)], after)
        return kept, wanted

    def play(self, delivery: Delivery, rounds: int = 5000, until=lambda _delivery: False) -> Delivery:
        """Go on until the delivery is finished, or `until` holds."""
        for _ in range(rounds):
            delivery, wanted = self.round(delivery)
            if until(delivery):
                return delivery
            if delivery.result is not None:
                assert isinstance(wanted[-1], actions.Finish)
                return delivery
            self.pass_time()
        message = f"the delivery did not end: {delivery}"
        raise AssertionError(message)


ANALYSIS = {"error_rate": {"max": 0.01}, "p99": {"max_ratio": 1.2}, "interval": "10s"}
CANARY = {"steps": [{"weight": 5}, {"analyse": "1m"}, {"weight": 50}, {"pause": "20s"}], "analysis": ANALYSIS}
STRATEGIES = {
    "recreate": {},
    "rolling": {},
    "blue_green": {"steps": [{"header": {"name": "x-preview"}}, {"pause": "10s"}, {"weight": 100}, {"pause": "10s"}]},
    "canary": CANARY,
    "shadow": {"steps": [{"mirror": 20}, {"analyse": "1m"}], "analysis": {"agreement": {"min": 0.98}, **ANALYSIS}},
}


def strategy(name, **more):
    return Strategy.model_validate({name: {**STRATEGIES[name], **more}})


def stage(name="canary", *, replicas=3, stable="old", more=None, **house):
    """Return a playhouse in which the stable version serves, and the delivery that begins."""
    world = Playhouse(stable=stable, recreate=name == "recreate", **house)
    if stable:
        world.begin(stable, replicas)
    return world, begin(strategy(name, **(more or {})), (stable, "new"), replicas, world.now)
