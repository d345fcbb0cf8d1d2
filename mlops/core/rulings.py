"""Rulings: what the project's policies say of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Effect(StrEnum):
    """A denial stops apply; a warning is shown."""

    DENY = "deny"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Ruling:
    """One thing that one policy has to say, perhaps of one resource."""

    policy: str  # as conf/config.yaml names it
    effect: Effect
    message: str
    address: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.policy, self.address, self.message) if part)
