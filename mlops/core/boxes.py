"""Boxes: a container that runs one step, in the words of `docker run`, and the protocol of those who open one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from mlops.core.settings import Mount


@dataclass(frozen=True, slots=True)
class Box:
    """What one container is told. Its root is read-only, it has no capabilities, and its user gains none."""

    image: str
    command: tuple[str, ...]  # argv
    user: str = ""  # UID:GID
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()  # folders in memory that it may write to
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = "none"
    memory: int | None = None  # bytes: of all its processes, and of each
    cpuset: tuple[int, ...] = ()  # processors of the engine's machine; all where empty
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended: its exit code, 128 and the signal's number where one ended it; `was_short`: killed for memory."""

    code: int
    was_short: bool


class OpenBox(Protocol):
    """A container that runs. `send` and `kill` may be called from any thread."""

    def send(self, line: bytes) -> None:
        """Give it a line; nothing happens where it reads no more."""
        ...

    def lines(self) -> Iterator[tuple[bool, bytes]]:
        """Yield what it writes until it ends: (True, a line of its stdout) or (False, some bytes of its stderr).

        Raises:
            Unavailable: the engine went away.
        """
        ...

    def ending(self) -> Ending:
        """Return how it ended, once `lines` has.

        Raises:
            Unavailable: the engine went away, with it or without.
        """
        ...

    def kill(self) -> None:
        """End it at once, with all its processes."""
        ...


class Boxes(Protocol):
    """Opens containers on one engine."""

    def open(self, box: Box) -> AbstractContextManager[OpenBox]:
        """Start a container; it is removed when the block ends, whatever happens.

        Raises:
            Unavailable: the engine does not answer.
            Refused: it does not want to; the message says why.
        """
        ...
