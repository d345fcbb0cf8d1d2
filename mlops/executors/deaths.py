"""Deaths: why a worker is gone, in words for the user."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.executions import Failure
from mlops.executors.needs import size

if TYPE_CHECKING:
    from mlops.core.executions import Outcome
    from mlops.executors.needs import Need

MEMORY = "memory"  # code of failures for want of memory
_RAISE = "raise `memory` of the step under executor.limits"


def explain(code: int, need: Need, peak: int, *, is_late: bool, was_short: bool) -> Failure:
    """Return the failure of the step whose worker ended with the exit code (a signal where negative).

    `peak` is the most memory that it was seen to hold, in bytes; `was_short`: the kernel has killed something for memory.
    """
    held = f"; it was seen to hold {size(peak)}" if peak else ""
    limit = f" of its limit of {size(need.memory)}" if need.memory else ""
    if is_late:
        message = f"took more than {need.seconds:g} s and was stopped"
        return Failure("timeout", message, "raise `timeout` of the executor, or of the step under executor.limits")
    if code == -signal.SIGKILL and was_short:
        hint = "run fewer steps at once (executor.workers=1), or give the machine or its container more memory"
        return Failure(MEMORY, f"the machine ran out of memory and killed the worker{held}{limit}", hint, may_retry=True)
    if code == -signal.SIGKILL:
        hint = "somebody killed it, or a limit on memory that this machine does not tell of"
        return Failure("killed", f"the worker was killed (SIGKILL){held}{limit}", hint, may_retry=True)
    what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    hint = "a library that the step uses crashed; see mlops log"
    if need.memory:
        hint = (
            f"a library that the step uses crashed, perhaps for want of memory: its limit is {size(need.memory)}; see mlops log"
        )
    return Failure("died", f"the worker died ({what}){held}", hint)


def over(need: Need) -> Failure:
    """Return the failure of a step that was killed because it met its own limit of memory."""
    message = f"needed more memory than it could have, and was killed; its limit is {size(need.memory or 0)}"
    return Failure(MEMORY, message, _RAISE)


def out_of_memory(outcome: Outcome, need: Need | None) -> Outcome:
    """Return the outcome; one that failed for want of memory names the limit that it met."""
    failure = outcome.failure
    if failure is None or failure.code != MEMORY or need is None or need.memory is None:
        return outcome
    message = f"{failure.message}; its limit is {size(need.memory)}"
    return replace(outcome, failure=replace(failure, message=message, hint=_RAISE))
