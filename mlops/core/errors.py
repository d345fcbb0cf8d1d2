"""Errors, as one tree.

MlopsError                  code, message, hint
├─ SpecError      exit 1    every diagnostic, not the first
├─ PlanError      exit 1
│  ├─ CycleError            the cycle as addresses
│  ├─ StalePlan             what changed since the plan was made
│  └─ PolicyDenied          what the project's policies say against it
├─ StateError     exit 1
│  ├─ StateLocked           who, since when, what to do
│  ├─ StateUnavailable      the database went away, and may come back
│  └─ StateVersion          a state written by a newer mlops
├─ WorldError               raised only in mlops.world
│  ├─ Unavailable           may be retried
│  ├─ Deferred              will be known once other resources are applied
│  └─ Refused               may not
├─ DataError                data does not fit what its spec says of it
├─ DeliveryAborted exit 3   a new version does not serve, and the old one does
└─ StepsFailed    exit 3    failed outcomes and failed verdicts

cli turns a MlopsError into text and an exit code in one place; anything else is a bug: exit 70.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.diagnostics import Diagnostic
    from mlops.core.rulings import Ruling


class MlopsError(Exception):
    """What went wrong and what to do about it, in words for the user."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SpecError(MlopsError):
    """The YAML or an override is wrong; carries every diagnostic that was found."""

    code = "spec"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the configuration")
        self.diagnostics = tuple(diagnostics)


class PlanError(MlopsError):
    """No plan can be made, or the plan cannot be applied."""

    code = "plan"


class CycleError(PlanError):
    """Resources refer to each other in a circle."""

    code = "cycle"


class StalePlan(PlanError):  # noqa: N818 - design.md names it so
    """A record or an observation that the plan read was changed by another hand."""

    code = "stale-plan"


class PolicyDenied(PlanError):  # noqa: N818 - design.md names it so
    """The project's own policies deny the plan; carries every denial."""

    code = "policy-denied"

    def __init__(self, denials: Sequence[Ruling]) -> None:
        lines = [str(one).replace("\n", "\n  ") for one in denials]
        super().__init__(
            "\n  ".join(["the project's policies deny this plan:", *lines]), "`policies` in conf/config.yaml lists them"
        )
        self.denials = tuple(denials)


class StateError(MlopsError):
    """The recorded state cannot be read or written."""

    code = "state"


class StateLocked(StateError):  # noqa: N818 - design.md names it so
    """Another process holds the environment."""

    code = "state-locked"


class StateUnavailable(StateError):  # noqa: N818 - as Unavailable
    """The connection to the database was lost; the same call may work later."""

    code = "state-unavailable"


class StateVersion(StateError):  # noqa: N818 - design.md names it so
    """The state was written by a newer mlops."""

    code = "state-version"


class WorldError(MlopsError):
    """The outside did not do what was asked. Raised only in `mlops.world`, mapped from the library's own errors."""

    code = "world"


class Unavailable(WorldError):  # noqa: N818 - design.md names it so
    """The outside did not answer; the same call may work later."""

    code = "unavailable"


class Deferred(WorldError):  # noqa: N818 - design.md's words for errors
    """What was asked cannot be known before other resources are applied; planning leaves the asker to the next plan."""

    code = "deferred"


class Refused(WorldError):  # noqa: N818 - design.md names it so
    """The outside answered no; the same call will fail again."""

    code = "refused"


class DataError(MlopsError):
    """Data does not fit what its spec says of it; the message has a line per problem."""

    code = "data"


class DeliveryAborted(MlopsError):  # noqa: N818 - design.md's words for errors
    """A delivery took itself back, or could not be finished; the message says why, in one line."""

    code = "delivery-aborted"
    exit_code = 3


class StepsFailed(MlopsError):  # noqa: N818 - design.md names it so
    """Steps failed or a verdict blocked them."""

    code = "steps-failed"
    exit_code = 3
