"""The door to signals: Ctrl-C and SIGTERM, while a plan is applied.

The first one asks to begin nothing more and lets what runs finish; the second one asks to leave what runs. Both are asked of
the loop that applies, at points where everything is whole. Only the third, should the loop itself hang, breaks in anywhere.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 2  # signals that the loop may answer in its own time


class Interrupts:
    """Counts the signals that come while it is entered."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def is_stopping(self) -> bool:
        """Tell whether nothing more is to begin."""
        return self._count > 0

    def is_aborting(self) -> bool:
        """Tell whether what runs is to be left."""
        return self._count >= _PATIENCE

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._count > _PATIENCE:
            raise KeyboardInterrupt
