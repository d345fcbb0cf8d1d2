"""Images: the doors through which an image is made, proved and pushed, as protocols of `core.worlds.World`.

`Software` finds what goes into it, `Images` is what an engine and a registry do, `Templates` render the Dockerfile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops.core.settings import Engine


@dataclass(frozen=True, slots=True)
class Platform:
    """What wheels must fit: a Python, a machine (`x86_64`, `aarch64`), and its C library (`glibc` or `musl`)."""

    python: str  # 3.11
    machine: str
    libc: str
    libc_version: str  # 2.36


@dataclass(frozen=True, slots=True)
class Locked:
    """One package as it was resolved: exactly this file, by the SHA-256 of its bytes in hexadecimal digits."""

    name: str
    version: str
    sha256: str


class Software(Protocol):
    """What goes into an image beside the model: wheels, and the model server itself."""

    def resolve(self, names: Sequence[str], versions: Mapping[str, str], platform: Platform) -> list[Locked]:
        """Return what `names` need on the platform, sorted by name; `versions` are kept to by all of them.

        Raises:
            Refused: there is no such wheel for the platform.
            Unavailable: the package index does not answer.
        """
        ...

    def fetch(self, locked: Sequence[Locked], platform: Platform) -> list[Path]:
        """Return the wheels, in order, each with the bytes that were locked; no network where they were fetched before."""
        ...

    def server(self, folder: Path) -> None:
        """Copy the model server's source into `folder`, as `mlops/serving/…`."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """How an image is tried out: ready in time, and asked each of `bodies`, requests to infer, about the model `model`."""

    port: int
    model: str
    ready_timeout: float  # seconds
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Tried:
    """What an image did: seconds from its start until it was ready, and (status, body) of each answer."""

    ready_seconds: float
    answers: tuple[tuple[int, bytes], ...]


class Images(Protocol):
    """Images on Docker engines and in registries.

    An image that we made is a folder, which is also a context for `docker build`:

        config.json      its configuration, whose SHA-256 is the image's id
        manifest.json    as in what `docker save` writes; the layers of the base are named, and not there
        *.tar            the layers that are ours
        Dockerfile       the same image for those who build elsewhere
    """

    def look(self, engine: Engine, name: str) -> Mapping[str, Any]:
        """Return what must be known of an image to build upon it, as JSON; it is pulled where the engine lacks it.

        digest           of the image in its registry, else its id
        name, reference  as it was asked for, and with the digest where it has one in a registry
        platform         os, architecture (Docker's words)
        config           its own configuration: Env, …
        layers           the diff ids of its layers
        python           executable, version (3.11), magic (hexadecimal, of its compiled files)
        machine, libc    x86_64; [glibc, 2.36]
        distribution     its id, such as debian; empty where it tells none
        packages         [[name, version, architecture], …] that the distribution lists

        Raises:
            Refused: there is no such image, or it has no Python.
        """
        ...

    def load(self, engine: Engine, folder: Path) -> str:
        """Bring an image that we made into the engine, as far as it is not there; return its id, by which containers are made.

        Raises:
            WorldError: the engine says no, its disk is full, or it lacks the base and cannot pull it.
        """
        ...

    def tag(self, engine: Engine, image: str, name: str) -> None:
        """Give the image `NAME:TAG`; raise Refused where another image that we did not make has it."""
        ...

    def remove(self, engine: Engine, image: str) -> None:
        """Remove an image by id, with its names; nothing happens where it is gone or in use."""
        ...

    def push(self, engine: Engine, image: str, repository: str, tag: str, auth: tuple[str, str] | None) -> str:
        """Push the image as REPOSITORY:TAG, with (user, password); return the digest by which the registry knows it.

        Raises:
            WorldError: the registry is not there, or refuses.
        """
        ...

    def prove(self, engine: Engine, image: str, trial: Trial) -> Tried:
        """Start the image without network, root, or a disk that can be written, ask it, and remove the container.

        Containers that an interrupted trial of this machine left are removed, too.

        Raises:
            Refused: it ended, or was not ready in time; the message has what it wrote.
        """
        ...


class Templates(Protocol):
    """Texts with places to fill in, which come with mlops."""

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Return the text of the template `name`; every value that it names must be there."""
        ...
