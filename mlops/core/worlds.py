"""Worlds: the doors through which everything outside is touched, as protocols; `mlops.world` has the real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlops.core.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from mlops.core.fronts import Containers, Proxies, Web
    from mlops.core.images import Images, Software, Templates
    from mlops.core.notices import Requests
    from mlops.core.settings import Allow


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step belongs; plain data, so that a worker process can open the same world."""

    root: str
    project: str
    environment: str
    allow: Allow
    store: StoreSettings = field(default_factory=StoreSettings)  # where the state is kept; its password is a secret


@dataclass(frozen=True, slots=True)
class Request:
    """Something outside that a resource depends on, as data: which door is asked, with which arguments.

    door        arguments                                   answers with (value; facts)
    file        path: str (relative to the project; a glob or an fsspec URL too), format: str
                                                            {file: digest, ...} per file; rows, bytes, files
    image       name: str, engine: the body of an Engine    digest of the image as the engine has it, else as its registry does
    query       url: str | secret: str, version: str | None the answer of the version query; none without one
    packages    names: [str], maybe optional: [str]         {package: version} with what they depend on, and python; of optional
                                                            those that are installed
    code        entry: str (module:function in src/)        digest of the import closure inside src/
    server      none                                        digest of the model server's own files, as an image gets them
    bundled     name: str                                   the name and the version of scikit-learn
    host        none                                        the id of this machine; its name

    `field` is the path in the spec that an error is reported at.
    """

    door: str
    arguments: Mapping[str, Any]
    field: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was found: `value` is JSON and part of keys; `facts` (rows, bytes) are for people."""

    value: Any
    facts: Mapping[str, Any] = field(default_factory=dict)


class Artifacts(Protocol):
    """Content-addressed files and folders: written once, verified when read. Digests are `sha256:<hex>`."""

    def put_bytes(self, data: bytes) -> str:
        """Keep `data`; return its digest."""
        ...

    def put_file(self, path: Path) -> str:
        """Keep a copy of the file; return the digest of its bytes."""
        ...

    def put_folder(self, path: Path) -> str:
        """Keep every file below `path`; return the digest of the sorted list of (relative path, digest, size)."""
        ...

    def read_bytes(self, digest: str) -> bytes:
        """Return the bytes; raise WorldError where they are missing or were changed."""
        ...

    def file(self, digest: str) -> Path:
        """Return a local, read-only file with these bytes, verified."""
        ...

    def put_kept(self, files: Mapping[str, str]) -> str:
        """Keep a folder of files that are kept already, {path in it: digest}; return the digest that `put_folder` would."""
        ...

    def folder(self, digest: str) -> Path:
        """Return a local, read-only folder as it was put, verified."""
        ...

    def has(self, digest: str) -> bool:
        """Tell whether the artifact is here, by names and sizes; reading verifies the bytes."""
        ...

    def is_whole(self, digest: str) -> bool:
        """Tell whether the artifact is here and its bytes are those that were put: all of them are read."""
        ...


class Tables(Protocol):
    """Tables of rows (pandas), read from where users keep them and kept as Parquet."""

    def read(self, source: Mapping[str, Any], world: World) -> Any:
        """Return a data frame of the raw source (`path`, `query` or `bundled`, see the dataset spec).

        `attrs["observed"]` is what the request's door would answer of what was read; `attrs["sha256"]` the digest of files.
        """
        ...

    def locate(self, source: Mapping[str, Any], rows: Sequence[int], world: World) -> Sequence[str]:
        """Return where rows of `read` (numbered from 0) stand in the source, for people: `file:line` or `row N`."""
        ...

    def load(self, path: Path) -> Any:
        """Return the data frame kept in the Parquet file `path`."""
        ...

    def save(self, frame: Any, path: Path) -> None:
        """Write the frame as Parquet; equal frames give equal bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Fleet:
    """Server replicas as they should be: `replicas` processes that serve one model on one address of one machine."""

    name: str  # the rollout's address; with the project and the environment it names the fleet
    machine: str  # the id of the host that is to hold it
    host: str
    port: int
    model: str  # the model's name on the wire
    version: str
    replicas: int
    ready_timeout: float  # seconds until a new replica must be ready
    drain: float  # seconds that requests in flight may take before a replica is killed

    @property
    def address(self) -> str:
        """HOST:PORT, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ObservedReplica:
    """One replica as it was found."""

    pid: int
    version: str
    state: Literal["ready", "unready", "stopping", "dead"]
    since: str  # when it was started; UTC, ISO 8601
    ended: str  # how and when it died, in words; empty while it lives
    log: str  # path of the file with what it wrote


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    """A fleet as it was found; `address` (HOST:PORT) is None where no supervisor runs."""

    address: str | None
    replicas: tuple[ObservedReplica, ...]  # in the order they were started


class Processes(Protocol):
    """Fleets of server replicas on this machine, each under a supervisor that owns the listening socket and outlives apply.

    A handle is small JSON that says where a fleet is: the host's name, its machine id, the supervisor's name.
    """

    def handle(self, name: str) -> Mapping[str, str]:
        """Return the handle that the fleet `name` of this project and environment has on this machine."""
        ...

    def deploy(self, fleet: Fleet, folder: Path, say: Callable[[str, float | None], None]) -> None:
        """Make it so, from whatever is found; no request is refused meanwhile. `folder` is copied; `say` hears how it goes.

        Raises:
            WorldError: it cannot be done; replicas that served before still do.
        """
        ...

    def look(self, handle: Mapping[str, str]) -> ObservedFleet:
        """Return what is found of a fleet, in milliseconds; raise Refused where another machine holds it."""
        ...

    def stop(self, handle: Mapping[str, str], drain: float) -> None:
        """Drain and end replicas and supervisor, and remove their files; nothing happens where there are none."""
        ...


class Code(Protocol):
    """The project's own Python below `src/`, and commands that the project allows."""

    def load(self, entry: str) -> Any:
        """Import `module:function` from the project's `src/` and return the function."""
        ...

    def command(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Run an argv list (never a shell) in `folder`, its output going to the log; raise WorldError where it fails."""
        ...

    def answer(self, argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> str:
        """Run an argv list in the project's folder, at most `seconds`, and return its stdout; raise WorldError where it fails."""
        ...

    def lay_out(self, paths: Sequence[str], folder: Path) -> None:
        """Copy files of the project into `folder`, to the paths that they have in the project; a path may be a glob."""
        ...

    def bundle(self, entry: str, folder: Path) -> None:
        """Copy the import closure of `module:function` inside `src/` into `folder`."""
        ...


class Secrets(Protocol):
    """Secret values by name; they never leave the step that asked."""

    def value(self, name: str) -> str:
        """Return the secret `name` (environment variable MLOPS_SECRET_<NAME>); raise Refused where there is none."""
        ...

    def hide(self, text: str) -> str:
        """Return the text with every secret value in it replaced."""
        ...


class Clock(Protocol):
    """Time. Nothing else reads it."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Report(Protocol):
    """What a running step tells the outside."""

    def progress(self, message: str, done: float | None = None) -> None:
        """Say what goes on; `done` from 0 to 1 where it is known."""
        ...

    def checkpoint(self, data: Mapping[str, Any]) -> None:
        """Make `data` durable in the journal before going on; the next try finds it in `last`."""
        ...

    @property
    def last(self) -> Mapping[str, Any] | None:
        """The checkpoint that an interrupted try of this step left, or None."""
        ...


class World(Protocol):
    """All doors, and the places a step may write to."""

    @property
    def place(self) -> Place:
        """The project and the environment that the step belongs to."""
        ...

    @property
    def root(self) -> Path:
        """The project's folder."""
        ...

    @property
    def artifacts(self) -> Artifacts:
        """Content-addressed files and folders."""
        ...

    @property
    def tables(self) -> Tables:
        """Tables of rows."""
        ...

    @property
    def processes(self) -> Processes:
        """Server replicas on this machine."""
        ...

    @property
    def code(self) -> Code:
        """The project's own Python."""
        ...

    @property
    def software(self) -> Software:
        """Wheels, and the model server."""
        ...

    @property
    def images(self) -> Images:
        """Images on engines and in registries."""
        ...

    @property
    def containers(self) -> Containers:
        """Server replicas in containers, on engines."""
        ...

    @property
    def proxies(self) -> Proxies:
        """Proxies before them."""
        ...

    @property
    def web(self) -> Web:
        """What answers over HTTP elsewhere."""
        ...

    @property
    def templates(self) -> Templates:
        """Texts with places to fill in."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Secrets by name."""
        ...

    @property
    def requests(self) -> Requests:
        """What persons ask of a running delivery."""
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...

    @property
    def report(self) -> Report:
        """Where a step tells how it goes."""
        ...

    def scratch(self) -> Path:
        """Return a new, empty folder that is deleted after the step."""
        ...

    def observe(self, requests: Sequence[Request]) -> Iterator[Observation | Exception]:
        """Answer requests in order; a WorldError stands in the place of an answer that cannot be had."""
        ...
