"""Actions: what a driver is to do, as data. Each says the state that is wanted, so it may come again, and doing it twice does no harm.

A driver's round: look (`Seen`) → `progressing.next` → checkpoint of the delivery → the actions in their order → sleep, a second or so. An
action that fails is no end: the driver puts the reason into the next `Seen.trouble`, and the delivery's deadlines go on.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field

from mlops.delivery.analyses import Command, Query  # noqa: TC001 - the same
from mlops.delivery.deliveries import Result, Track, Traffic  # noqa: TC001 - the same
from mlops.delivery.strategies import Call  # noqa: TC001 - the same


@dataclass(frozen=True, slots=True)
class Scale:
    """Have so many living replicas of the version, all told: begin those that are missing, drain and end those too many.

    Dead ones are taken away and do not count. Return before they are ready: `Seen` tells. A new replica gets requests only once it is
    ready, and one that ends gets none before it is ended. 0 replicas of the stable version: keep what is needed to begin them again.
    """

    track: Track
    version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Route:
    """Have requests answered so from now on, and keep it so over a restart of the proxy. `number` comes back in `Seen.answers`.

    Without a stable version the weight is 100. `header` None and `mirror` 0: take away what there was.
    """

    number: int
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask `times` times through the route, as a client does and on new connections, and add whose version header comes to `Seen.answers`.

    Another number than that of the last Probe begins a new count. Answers to users' requests may be counted too, where the driver sees their headers.
    """

    number: int  # of the route
    times: int


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure what the analysis wants, and answer with a `Reading` of the same window and number.

    Number 0: take the first reading of all counters and answer at once, with `since` = `until` = now. Others: what was counted since that
    first reading of this window, replica by replica (one that came later counts from zero). A driver that has no first reading of the
    window, because it was started anew, takes it now and answers with `since` = `until` = now: the window begins anew.
    """

    window: int
    number: int
    server: bool  # the servers' /metrics: requests, durations, predictions, mirrored requests
    proxy: bool  # the proxy's counts of each track
    queries: Mapping[str, Query] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """Call a gate or a hook within its timeout, and answer with `Ran` of the same id; `told` is what it is to know.

    Once answered in a `Seen` that `next` was given, an id does not come again. After a kill it may.
    """

    id: str
    call: Call
    told: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retire:
    """Drain and end every replica of the track, and forget what it was made of; it may take long: `Seen` tells when nothing is left."""

    track: Track


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user; comes once."""

    message: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The end. delivered: the candidate serves alone. aborted: the stable version serves alone, whole, and `reason` says why.

    stranded: it was to be aborted, and that could not be done within `progress_deadline`; nothing is ended that may still be needed.
    """

    result: Result
    reason: str = ""


Action = Scale | Route | Probe | Measure | Run | Retire | Say | Finish
