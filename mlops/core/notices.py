"""Notices: what persons ask of deliveries, and what deliveries decided about versions: the one thing that is written without the lease.

A running delivery reads them as an observation. They are appended to the table `requests` of the state, and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Verb = Literal["abort", "promote", "promote-full", "pause", "resume", "retry", "rejected"]


@dataclass(frozen=True, slots=True)
class Notice:
    """One of them. `key` is the key of the step that is rejected, else empty."""

    sequence: int  # rises, in the order in which they became durable
    environment: str
    address: str
    verb: Verb
    key: str
    at: str  # UTC, ISO 8601
    by: str
    reason: str


def rejections(notices: Iterable[Notice]) -> dict[str, dict[str, Notice]]:
    """Return {address: {key: notice}} of the steps that stand rejected: since the last `retry` of the address."""
    standing: dict[str, dict[str, Notice]] = {}
    for notice in notices:
        if notice.verb == "rejected":
            standing.setdefault(notice.address, {})[notice.key] = notice
        elif notice.verb == "retry":
            standing.pop(notice.address, None)
    return standing


class Requests(Protocol):
    """What the delivery of one step hears and says. Opened for the step; it knows the step's address and key."""

    def newest(self) -> int:
        """Return the sequence of the newest notice, 0 where there is none: older ones are none of a new delivery's."""
        ...

    def since(self, sequence: int) -> tuple[Notice, ...]:
        """Return the notices about the address that are newer, in order."""
        ...

    def reject(self, reason: str) -> None:
        """Keep the step's key from being delivered again, until somebody asks to retry or the key is another one."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...


def rejection(rejected: Mapping[str, Mapping[str, Notice]], address: str, key: str | None) -> Notice | None:
    """Return the notice that keeps the key from being delivered, or None."""
    return rejected.get(address, {}).get(key or "")
