"""The body of a request, held to a size and to a time. `inferring` and whatever else takes a body reads it here."""

import asyncio
from typing import Any

from mlops.serving.answers import Headers, Refusal
from mlops.serving.exchanges import Exchange
from mlops.serving.limits import Limits

_LOOKS = 10  # within the time that a body may take


class Bodies:
    """Reads bodies. One watch looks after all that are awaited, because a timer for each would cost it as much as all its checks."""

    def __init__(self, limits: Limits) -> None:
        """Hold bodies to `max_body` and `body_seconds`."""
        self._limits = limits
        self._awaited: dict[asyncio.Task[Any], int] = {}  # and at which look they began
        self._looks = 0
        self._late: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.Task[None] | None = None

    async def read(self, headers: Headers, exchange: Exchange) -> bytes:
        """Return the body; raise a 413 as soon as it is known to be too long, and a 408 when it does not come."""
        announced = headers.get("content-length")
        if announced is not None and (not announced.isdecimal() or int(announced) > self._limits.max_body):
            raise self._too_long()
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # every coroutine runs in one
        self._awaited[task] = self._looks
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())
        try:
            return await (self._in_pieces(exchange) if announced is None else exchange())
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            task.uncancel()
            msg = f"the body did not come within {self._limits.body_seconds:g} s"
            raise Refusal(408, msg, ("connection", "close")) from None
        finally:
            del self._awaited[task]

    async def _look(self) -> None:
        """Give up the bodies that are late."""
        while True:
            await asyncio.sleep(self._limits.body_seconds / _LOOKS)
            self._looks += 1
            for task in [
                task for task, begun in self._awaited.items() if self._looks - begun > _LOOKS and task not in self._late
            ]:
                self._late.add(task)
                task.cancel()

    async def _in_pieces(self, exchange: Exchange) -> bytes:
        """Return a body of which nobody said how long it is."""
        pieces, length = [], 0
        async for piece in exchange:
            length += len(piece)
            if length > self._limits.max_body:
                raise self._too_long()
            pieces.append(piece)
        return b"".join(pieces)

    def _too_long(self) -> Refusal:
        return Refusal(413, f"the body is longer than {self._limits.max_body} bytes", ("connection", "close"))
