"""Events: what happens while a command runs, without prose; rendering turns them into text, logs into lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    name              data
    run-started       {plan, environment, steps}
    step-started      {do, verb, seconds?}          seconds: estimate
    step-progress     {message, done?}
    step-heartbeat    {seconds, retry_in?}          so far; or since it failed, and when it is attempted again
    step-retry        {attempt, seconds, failure}   the attempt that follows, and when
    step-ended        {status, seconds, facts, outputs, failure?}
    run-ended         {done, failed, blocked, ...}  counts by status
    warning           {message}
    """

    name: str
    address: str = ""
    step: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]
