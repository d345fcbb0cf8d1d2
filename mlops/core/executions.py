"""Executions: how a step went, and the protocol of those who run steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops.core.events import Event
    from mlops.core.plans import Step


class Status(StrEnum):
    """How a step ended."""

    DONE = "done"
    SKIPPED = "skipped"  # its key came out as recorded: nothing to do
    REUSED = "reused"
    FAILED = "failed"
    BLOCKED = "blocked"  # a required verdict is not passed
    DROPPED = "dropped"  # a step before it failed, or apply was interrupted


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step failed, in words for the user; `trace` only where it is a bug of ours or of the user's code."""

    code: str
    message: str
    hint: str | None = None
    trace: str | None = None
    may_retry: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a step."""

    step: str
    status: Status
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Data that a running step wants durable before it goes on."""

    step: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """How an apply went: every step's outcome, in the order they ended."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    interrupted: bool = False

    def count(self, status: Status) -> int:
        """Return how many steps ended so."""
        return sum(outcome.status is status for outcome in self.outcomes)


class Executor(Protocol):
    """Runs steps whose late values are bound. `submit` never blocks; `wait` returns what happened since."""

    def submit(self, step: Step, last: Mapping[str, Any] | None = None) -> None:
        """Begin the step; `last` is the checkpoint of an interrupted try."""
        ...

    def wait(self, timeout: float | None) -> Sequence[Event | Checkpoint | Outcome]:
        """Return at least one message, or none when `timeout` seconds have passed."""
        ...

    def acknowledge(self, checkpoint: Checkpoint) -> None:
        """Tell the step that its checkpoint is durable."""
        ...

    def choose(self, ready: Iterable[Step]) -> Sequence[Step]:
        """Return those of the ready steps that may be submitted now, first ones first as far as what they need is free."""
        ...

    def close(self) -> None:
        """Stop; steps that still run are killed."""
        ...
