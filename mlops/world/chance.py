"""The door to chance: nothing else in the program draws a random number that is not seeded."""

from __future__ import annotations

import random


def fraction() -> float:
    """Return a number from 0 to 1, each as likely as any other."""
    return random.random()  # noqa: S311 - it spreads retries in time and keeps no secret
