"""Fronts: replicas in containers and the proxy before them, as data, and the protocols of their doors; `core.worlds` has the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops.core.settings import Engine

WHOLE = 10_000
"""What weights are counted in: parts of all requests."""

Track = Literal["stable", "candidate"]
TRACKS: tuple[Track, ...] = ("stable", "candidate")


@dataclass(frozen=True, slots=True)
class Release:
    """One thing that is served: what its replicas are made of. Equal releases have equal ids."""

    id: str  # 12 hex digits over all that follows
    image: str  # by digest, as the engine has it
    artifact: str  # the digest of the model in it
    model: str  # its name on the wire
    version: str  # what its answers carry as x-mlops-version
    port: int  # the port that it listens on, inside
    memory: int | None = None  # bytes that a replica may have
    cpus: float | None = None  # processors that a replica may use
    arguments: tuple[str, ...] = ()  # handed to the image's entry point in place of its own


@dataclass(frozen=True, slots=True)
class Group:
    """The replicas of one release in one rollout, as they should be."""

    rollout: str  # the address
    release: Release
    count: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as it was found; `name` is unique in the project's network, and what others on it call it by."""

    name: str
    release: Release  # what it was made of, as it says itself
    state: Literal["running", "dead"]
    since: str = ""  # when it was started; UTC, ISO 8601
    ended: str = ""  # how it died, in words; empty while it lives
    died: str = ""  # when it died last, also where the engine has started it again; UTC, empty: never


@dataclass(frozen=True, slots=True)
class Front:
    """The proxy of one rollout, as it should be. Requests that carry `header` go to the candidate, of the others `weight`."""

    rollout: str
    image: str
    host: str
    port: int
    model: str
    servers: Mapping[Track, tuple[str, ...]]  # HOST:PORT of the replicas that each track has
    weight: int = 0  # parts of 10,000
    sticky: str | None = None  # the header whose value, and no chance, decides about a request that has it
    headers: tuple[tuple[str, str], ...] = ()  # (name, value) of all routes by header that may be wanted
    header: tuple[str, str] | None = None  # the one that is
    drain: float = 10.0  # seconds that requests in flight may take when a server leaves


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a track was asked since its proxy was started: requests, those that it failed, and the mean of late, in seconds."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FoundFront:
    """A proxy as it was found; where none runs there are no servers, and `ended` says so in words."""

    address: str | None  # HOST:PORT that it listens on
    ended: str = ""
    servers: Mapping[Track, Mapping[str, bool]] = field(default_factory=dict)  # HOST:PORT → whether it gets requests
    weight: int = 0
    header: tuple[str, str] | None = None
    traffic: Mapping[Track, Traffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered through the proxy: its status, its version, and the track that the proxy had chosen."""

    status: int
    version: str
    track: str


class Containers(Protocol):
    """Replicas in containers on an engine. Nothing is remembered between calls: labels tell what belongs to whom."""

    def names(self, group: Group) -> tuple[str, ...]:
        """Return HOST:PORT of each replica of the group; pure."""
        ...

    def ensure(self, engine: Engine, group: Group, say: Callable[[str], None]) -> None:
        """Create and start what is missing of the group; return once all run, which is before they are ready.

        Raises:
            WorldError: the image is not there, a name is in use by something else, the engine cannot.
        """
        ...

    def look(self, engine: Engine, rollout: str) -> tuple[Replica, ...]:
        """Return all replicas of the rollout, of every release."""
        ...

    def stop(self, engine: Engine, rollout: str, names: Sequence[str], drain: float) -> None:
        """End replicas, those in flight first, and remove them; those that are not there are no error."""
        ...

    def ask(self, engine: Engine, rollout: str, server: str, call: tuple[str, str, bytes | None]) -> tuple[int, bytes]:
        """Send (method, path, body) to the replica HOST:PORT, from inside its container; return the status and the body."""
        ...

    def identity(self, engine: Engine) -> str:
        """Return the id that the engine has given itself."""
        ...


class Web(Protocol):
    """What answers over HTTP elsewhere: Prometheus, webhooks."""

    def fetch(self, url: str, seconds: float) -> bytes:
        """Return the body of a GET; raise WorldError where the answer is not 2xx, or does not come in time."""
        ...

    def post(self, url: str, data: Mapping[str, Any], seconds: float) -> str:
        """Post JSON and return the body, as text; raise WorldError where the answer is not 2xx, or does not come in time."""
        ...


class Proxies(Protocol):
    """The proxy of a rollout, in a container on an engine."""

    def ensure(self, engine: Engine, front: Front, say: Callable[[str], None]) -> None:
        """Make it so, from whatever is found; no request is refused meanwhile. Servers that leave are drained first.

        Raises:
            WorldError: the port or the name is in use, the image is not there, the proxy does not do what it is told.
        """
        ...

    def look(self, engine: Engine, rollout: str) -> FoundFront:
        """Return the proxy as it is."""
        ...

    def probe(self, engine: Engine, rollout: str, path: str, count: int) -> tuple[Answer, ...]:
        """Send `count` GETs of `path` through the proxy, as a client would; an answer that did not come is missing."""
        ...

    def note(self, engine: Engine, rollout: str, data: Mapping[str, Any]) -> None:
        """Keep a small note beside the proxy: what the rollout's tracks are."""
        ...

    def noted(self, engine: Engine, rollout: str) -> Mapping[str, Any] | None:
        """Return the note, or None."""
        ...

    def remove(self, engine: Engine, rollout: str) -> None:
        """Remove the proxy with all its files; nothing happens where there is none."""
        ...
