"""Holding: the environment and its store in the hands of one apply; a database that goes away is waited for.

A lost connection loses nothing: the store finds out under the same token whether its last write was committed. The wait ends
with the lease, for from then on another process may hold the environment.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mlops.core.errors import StateUnavailable
from mlops.core.events import Event
from mlops.core.states import LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops.core.states import Entry, Realisation
    from mlops.engine.applying import Hands

T = TypeVar("T")
PAUSE = 1.0  # seconds between two attempts to reach the database


class Hold:
    """Writes and asks for one apply; `beat` is called while the database is waited for."""

    def __init__(self, hands: Hands, beat: Callable[[], object]) -> None:
        self._hands, self._beat = hands, beat
        self._renewed = hands.clock.monotonic()

    def write(self, entries: Sequence[Entry]) -> None:
        """Make the entries durable, in one transaction.

        Raises:
            StateLocked: the lease was lost.
            StateError: the database failed, or is away for longer than the lease lasts.
        """
        if entries:
            self._insist(partial(self._hands.store.append, self._hands.lease, entries))

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        """Return what is known of the keys, as `write` does about errors."""
        return self._insist(partial(self._hands.reader.realised, keys))

    def renew(self) -> None:
        """Keep the lease; where it was lost, StateLocked ends the run: nothing more is written."""
        started = self._hands.clock.monotonic()
        self._hands.lease = self._insist(partial(self._hands.store.renew, self._hands.lease))
        self._renewed = started

    def _insist(self, call: Callable[[], T]) -> T:
        has_said = False
        while True:
            try:
                return call()
            except StateUnavailable as error:
                left = self._renewed + LEASE.total_seconds() - self._hands.clock.monotonic()
                if left <= 0 or self._hands.is_aborting():
                    raise
                if not has_said:
                    message = f"{error.message}; it is waited for, at most {left:.0f} s; what runs goes on"
                    self._hands.emit(Event("warning", data={"message": message}))
                    has_said = True
            self._hands.clock.sleep(PAUSE)
            self._beat()
