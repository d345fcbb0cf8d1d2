"""Deliveries: what is kept of one delivery between two looks, and what one look at the world sees. Data only, JSON in and out.

Two tracks, by version and not by place: *stable* is every replica of the version that serves, *candidate* every replica of any other. What a
driver calls them in its part of the world is its own affair: after a delivery the candidate is the stable version of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from mlops.delivery.strategies import Strategy  # noqa: TC001 - the same

Track = Literal["stable", "candidate"]
Phase = Literal["clearing", "stepping", "retiring", "aborting", "finished"]
Part = Literal["clear", "scale", "route", "wait"]
Result = Literal["delivered", "aborted", "stranded"]
Outcome = Literal["pass", "fail", "inconclusive", "error"]
UNATTENDED = 60.0  # seconds between two looks from which on nobody is said to have looked


@dataclass(frozen=True, slots=True)
class Traffic:
    """Who answers: the candidate `weight` percent of the requests, those with the `header` (name, value), copies of `mirror` percent."""

    weight: float = 0.0
    header: tuple[str, str] | None = None
    mirror: float = 0.0


@dataclass(frozen=True, slots=True)
class Death:
    """A replica of the candidate that died: a name that no other has, and how it ended (`exit code 137, out of memory`)."""

    replica: str
    how: str


@dataclass(frozen=True, slots=True)
class Replicas:
    """One track as it was found; `version` is None where nothing of the track exists, replicas that are draining included."""

    version: str | None = None
    count: int = 0  # those that live and are not being ended
    ready: int = 0  # those of them that answer their health check
    dead: tuple[Death, ...] = ()  # those that died and were not taken away yet


@dataclass(frozen=True, slots=True)
class Answers:
    """Whose version header came back through the route, counted by the driver since it applied the route of this number.

    A driver that was started anew counts anew. `failed`: no answer, or one without the header.
    """

    route: int
    stable: int = 0
    candidate: int = 0
    failed: int = 0


Wished = Literal["abort", "promote", "promote-full", "pause", "resume"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked of the delivery; `seq` rises."""

    seq: int
    verb: Wished
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram: upper `bounds` in seconds, ascending, without infinity; `counts` of each bucket, not cumulative, one more than bounds."""

    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What one track did in a window, summed over its replicas."""

    requests: int = 0
    failed: int = 0  # those answered with 500 or more
    proxied: int = 0  # as the proxy counts them
    proxy_failed: int = 0  # answered with 500 or more by the server or by the proxy in its place
    durations: Durations = field(default_factory=Durations)
    predictions: Mapping[str, int] = field(default_factory=dict)  # how many fell into each bucket or class


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to a Measure of this `window` and `number`: counts between `since` and `until` (UTC seconds).

    `since` is when the driver took the first reading of its counters. `troubles` says by metric (`p99`, `queries.refunds`), or by source
    (`server`, `proxy`), why something could not be measured.
    """

    window: int
    number: int
    since: float
    until: float
    stable: Tally = field(default_factory=Tally)
    candidate: Tally = field(default_factory=Tally)
    agreed: int = 0
    differed: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)  # by metric; None: no answer
    troubles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """The answer to a Run of this id: whether it said yes, and what it said, one line."""

    id: str
    passed: bool
    said: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the world. A look never fails: what cannot be read is None or left out, with the reason in `trouble`.

    `blind`: the replicas could not be looked at, and both tracks mean nothing; persons and deadlines are still heeded then.
    """

    now: float  # UTC, seconds since 1970
    stable: Replicas = field(default_factory=Replicas)
    candidate: Replicas = field(default_factory=Replicas)
    traffic: Traffic | None = None  # as the route says itself; None where it cannot be read
    answers: Answers | None = None
    wishes: tuple[Wish, ...] = ()  # those of this delivery, or only the newest
    readings: tuple[Reading, ...] = ()
    ran: tuple[Ran, ...] = ()
    trouble: str = ""
    blind: bool = False

    def of(self, track: Track) -> Replicas:
        """Return one of the tracks."""
        return self.stable if track == "stable" else self.candidate


@dataclass(frozen=True, slots=True)
class Score:
    """How a metric fares in the window: looks that failed it, errors in a row, how the last look ended, in words."""

    failures: int = 0
    errors: int = 0
    last: Outcome = "inconclusive"
    words: str = "not looked at yet"


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured while the traffic stays as it is; `looks` is -1 until the first reading is taken, to which others are compared."""

    number: int
    began: float
    looks: int = -1
    last: float = 0.0  # when the last look was
    scores: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: what it is to do, and how far it is. Made by `progressing.begin`, changed by `progressing.next` only."""

    candidate: str
    stable: str | None
    replicas: int
    strategy: Strategy
    started: float
    looked: float
    progressed: float  # when something moved last
    direct: bool = False  # no steps and no analysis: a first delivery, the way back to a former version, promote --full
    phase: Phase = "stepping"
    stage: int = 0
    part: Part = "scale"
    kept: int = 0  # replicas of the stable version that stand
    since: float = 0.0  # when this part began
    best: int = 0  # the most ready replicas in this part
    traffic: Traffic = field(default_factory=Traffic)  # as asked for last
    route: int = 0  # number of that asking
    maybe: tuple[float, ...] = ()  # weights that the data plane may still have, since they were asked for and not seen to be gone
    heard: int = 0  # seq of the last wish that was heeded
    over: int = -1  # the stage whose wait is over: a gate or an analysis said yes, or a person
    held: str = ""  # why a person holds the delivery here
    doubt: str = ""  # why the analysis cannot tell: a person must
    window: Window | None = None
    attempt: int = 0  # how often the gate or hook answered, or answers through the route were counted anew
    asked: float = 0.0  # when the last answer came
    died: tuple[str, ...] = ()  # replicas of the candidate that died so far
    unattended: float = 0.0  # seconds in which nobody looked, in all
    reason: str = ""  # why it aborts
    result: Result | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the delivery as plain JSON."""
        data: dict[str, Any] = _adapter().dump_python(self, mode="json", exclude_defaults=True)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Delivery:
        """Return the delivery that `as_json` wrote.

        Raises:
            ValueError: it was written by another version of mlops, or is damaged.
        """
        return _adapter().validate_python(data)


@cache
def _adapter() -> TypeAdapter[Delivery]:
    return TypeAdapter(Delivery)
