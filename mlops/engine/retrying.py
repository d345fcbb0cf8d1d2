"""Retrying: how long to wait before a step is attempted once more. Counts and draws; applying journals and begins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.core.executions import Outcome

LONGEST = 60.0  # seconds: no wait is longer, however many attempts there were


@dataclass(frozen=True, slots=True)
class Retries:
    """What the settings say of failures that may pass."""

    count: int = 0  # attempts after the first one
    delay: float = 1.0  # seconds before the second attempt, at most
    fraction: Callable[[], float] = field(default=lambda: 1.0)  # a random number from 0 to 1: the world's


class Attempts:
    """How often each step of one apply was attempted."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._made: dict[str, int] = {}

    def of(self, step: str) -> int:
        """Return the number of the step's attempt, counted from 1."""
        return self._made.get(step, 0) + 1

    def told(self, outcome: Outcome) -> Outcome:
        """Return the outcome; its failure says how often the step was attempted, where that is more than once."""
        failure, made = outcome.failure, self.of(outcome.step)
        if failure is None or made == 1:
            return outcome
        return replace(outcome, failure=replace(failure, message=f"{failure.message} ({made} attempts)"))

    def pause(self, outcome: Outcome) -> float | None:
        """Return the seconds to wait before the step is attempted again, or None where the outcome stands.

        The bound doubles with each attempt, and what is waited is drawn evenly below it, so that steps which failed
        together do not come back together.
        """
        failure, made = outcome.failure, self.of(outcome.step)
        if failure is None or not failure.may_retry or made > self._retries.count:
            return None
        self._made[outcome.step] = made
        bound = min(LONGEST, self._retries.delay * 2.0 ** (made - 1))
        return bound * self._retries.fraction()
