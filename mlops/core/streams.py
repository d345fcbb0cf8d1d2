"""Streams: the lines that a machine reads while a command runs, one type for each; schemas/events.json is made of them.

Rendering writes them (`rendering.machine`), and `events.Event` has the same data for those that happen while steps run.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass
from typing import Any, Literal

from mlops.core.executions import Status  # noqa: TC001 - the same
from mlops.core.rulings import Effect  # noqa: TC001 - the same

FORMAT = "1.0"
"""Raised in its second number where something is added, in its first where a reader must change."""


@dataclass(frozen=True)
class Version:
    """The first line."""

    format: str
    mlops: str
    command: str


@dataclass(frozen=True)
class Plan:
    """The plan that was made or read."""

    plan: Mapping[str, Any]


@dataclass(frozen=True)
class Ruling:
    """What a policy of the project says of the plan."""

    policy: str
    effect: Effect
    message: str


@dataclass(frozen=True)
class RunStarted:
    """Apply begins."""

    run: str
    plan: str
    environment: str
    steps: int


@dataclass(frozen=True)
class StepStarted:
    """A step begins; `seconds` is what it took last time."""

    do: str
    verb: str
    seconds: float | None


@dataclass(frozen=True)
class StepProgress:
    """What a step says of itself; `done` from 0 to 1."""

    message: str
    done: float | None = None


@dataclass(frozen=True)
class StepHeartbeat:
    """A step still runs; `seconds` so far. At most 10 s pass between two lines of a step that runs.

    With `retry_in` it failed `seconds` ago, and is attempted again in so many seconds.
    """

    seconds: float
    retry_in: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a step failed; `trace` only where it is a bug."""

    code: str
    message: str
    hint: str | None = None
    trace: str | None = None
    may_retry: bool = False


@dataclass(frozen=True)
class StepRetry:
    """An attempt at a step failed, and the next one follows in `seconds`."""

    attempt: int
    seconds: float
    failure: Failure


@dataclass(frozen=True)
class StepEnded:
    """A step is over."""

    status: Status
    seconds: float
    facts: Mapping[str, Any]
    outputs: Mapping[str, str]
    failure: Failure | None = None


@dataclass(frozen=True)
class RunEnded:
    """Apply is over: how many steps ended how."""

    seconds: float
    done: int
    skipped: int
    reused: int
    failed: int
    blocked: int
    dropped: int


@dataclass(frozen=True)
class Warned:
    """Something that a person should know."""

    message: str


@dataclass(frozen=True)
class Ended:
    """How one step ended, in the order in which they ended."""

    step: str
    status: Status
    seconds: float
    outputs: Mapping[str, str]
    facts: Mapping[str, Any]
    failure: Failure | None


@dataclass(frozen=True)
class Result:
    """How all steps ended; `standing` are tests that are recorded as not passed and were not judged anew."""

    plan: str
    seconds: float
    interrupted: bool
    outcomes: tuple[Ended, ...]
    standing: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Error:
    """The command ends with an error; `diagnostics` where the configuration is wrong, `denials` where policies deny the plan."""

    code: str
    message: str
    hint: str | None
    diagnostics: tuple[Mapping[str, Any], ...]
    denials: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Exit:
    """The last line: the exit code. A stream without it was cut off."""

    code: Literal[0, 1, 2, 3, 70, 130]


LINES: Mapping[str, type] = {
    "version": Version,
    "plan": Plan,
    "ruling": Ruling,
    "run-started": RunStarted,
    "step-started": StepStarted,
    "step-progress": StepProgress,
    "step-heartbeat": StepHeartbeat,
    "step-retry": StepRetry,
    "step-ended": StepEnded,
    "run-ended": RunEnded,
    "warning": Warned,
    "result": Result,
    "error": Error,
    "exit": Exit,
}
"""What `event` says → what else the line holds, beside `at` and, where it is about one, `address` and `step`."""
