"""Work-conserving batching: requests for a slow model wait only while the model is busy, and are then asked together.

An idle model takes what comes at once, so that a single caller pays nothing. While it is asked, requests gather; the next batch is as many
of them, in order, as its rows allow; a request of more rows than that is asked alone and in one piece. Callers who were answered together
ask again together: after a batch the model is given a moment until those have come back whom it answered, else callers part into two groups of
which one always waits for the other. Nobody waits longer than the deadline: who would is refused at once, who did is not asked any more.
`models.Served` hands over what takes long; what takes microseconds never comes here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter

import numpy as np

from mlops.serving.counts import QueueCounts
from mlops.serving.errors import ClientGoneError, OverloadedError
from mlops.serving.limits import Limits
from mlops.serving.signatures import Array

Batch = Array | dict[str, Array]
Outputs = dict[str, Array]
# How long that moment may last: a share of the batch's seconds, and at most so many.
_MOMENT, _LONGEST_MOMENT = 0.5, 0.005
_MEMORY = 0.8  # how much of the expected seconds of a batch stays when another was measured


@dataclass(eq=False)
class _Request:
    """Rows that wait or are asked, and the future of their outputs."""

    batch: Batch
    rows: int
    since: float
    answer: asyncio.Future[tuple[Outputs, float]]
    is_waiting: bool = field(default=True, init=False)


class Queue:
    """The requests for one model, and the one thread that asks it. Everything but `_work` runs on the event loop."""

    def __init__(self, ask: Callable[[Batch], Outputs], limits: Limits, counts: QueueCounts) -> None:
        """Ask with `ask`, which is called in a thread with the joined rows, and returns named outputs with as many or raises."""
        self._ask = ask
        self._limits = limits
        self._counts = counts
        self._thread = ThreadPoolExecutor(1, "predict")
        self._waiting: deque[_Request] = deque()
        self._is_busy = False
        self._moment: asyncio.TimerHandle | None = None  # runs out when a batch is begun, however few wait
        self._awaited = 0  # requests that end the moment
        self._begun = 0.0
        self._expected = 0.0  # seconds of a batch

    async def ask(
        self, batch: Batch, rows: int, client_gone: Callable[[], Awaitable[None]] | None = None
    ) -> tuple[Outputs, float]:
        """Return the outputs for the rows of `batch`, and the seconds that the model took for all that was asked with them.

        `client_gone` returns once nobody waits for the answer any more.

        Raises:
            OverloadedError: too many rows wait, or the model does not come to these within the deadline.
            ClientGoneError: `client_gone` returned before the model came to these rows.
            ModelFailedError, BadRequestError: the model's own, for these rows.
        """
        self._admit(rows)
        loop = asyncio.get_running_loop()
        request = _Request(batch, rows, perf_counter(), loop.create_future())
        self._waiting.append(request)
        self._counts.rows += rows
        if not self._is_busy or (self._moment and len(self._waiting) >= self._awaited):
            self._take(loop)
        if not request.is_waiting:
            return await request.answer
        timer = loop.call_later(self._limits.deadline, self._expire, request)
        watch = loop.create_task(_drop(request, client_gone)) if client_gone else None
        try:
            return await request.answer
        finally:
            timer.cancel()
            if watch:
                watch.cancel()
            if request.is_waiting:
                self._waiting.remove(request)
                self._leave(request)

    def close(self) -> None:
        """End the thread after what it is asking now; for a model that no request reaches any more."""
        self._thread.shutdown(wait=False)

    def _admit(self, rows: int) -> None:
        """Refuse rows that would not fit or not be asked in time; an empty queue takes a request of any size."""
        queued, limits = self._counts.rows, self._limits
        if queued and queued + rows > limits.queue_rows:
            msg = f"{queued} rows wait for the model already, and at most {limits.queue_rows} may"
            raise OverloadedError(msg, self._retry_after())
        wait = self._wait()
        if wait > limits.deadline:
            msg = f"the model is busy: this request would wait {wait:.1f} s, and at most {limits.deadline:g} s are allowed"
            raise OverloadedError(msg, self._retry_after())

    def _wait(self) -> float:
        """Return the seconds after which a request that comes now is expected to be asked: the running batch, and full ones before it."""
        if not self._is_busy:
            return 0.0
        left = max(0.0, self._expected - (perf_counter() - self._begun))
        return left + self._expected * (self._counts.rows // self._limits.batch_rows)

    def _retry_after(self) -> int:
        return max(1, ceil(self._wait()))

    def _expire(self, request: _Request) -> None:
        if request.is_waiting and not request.answer.done():
            msg = f"the model did not come to this request within {self._limits.deadline:g} s"
            request.answer.set_exception(OverloadedError(msg, self._retry_after()))

    def _take(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ask the next batch, if anybody waits."""
        if self._moment:
            self._moment.cancel()
            self._moment = None
        requests = self._next()
        self._is_busy = bool(requests)
        if requests:
            self._begun = perf_counter()
            self._counts.batches.add([sum(request.rows for request in requests)])
            self._counts.waits.add([self._begun - request.since for request in requests])
            self._thread.submit(self._work, loop, requests)

    def _next(self) -> list[_Request]:
        """Take from the front of the queue what can be asked at once: rows of one layout, as many as allowed."""
        chosen: list[_Request] = []
        rows = 0
        while self._waiting:
            head = self._waiting[0]
            if not head.answer.done():
                if chosen and (rows + head.rows > self._limits.batch_rows or _layout(head.batch) != _layout(chosen[0].batch)):
                    break
                chosen.append(head)
                rows += head.rows
            self._leave(self._waiting.popleft())
        return chosen

    def _leave(self, request: _Request) -> None:
        request.is_waiting = False
        self._counts.rows -= request.rows

    def _work(self, loop: asyncio.AbstractEventLoop, requests: list[_Request]) -> None:
        """Ask the model, in its thread."""
        start = perf_counter()
        outcomes = self._outcomes(requests)
        loop.call_soon_threadsafe(self._deliver, loop, requests, outcomes, perf_counter() - start)

    def _outcomes(self, requests: Sequence[_Request]) -> list[Outputs | Exception]:
        """Return what each request gets; where they fail together, halves are asked again, until those that fail do so alone."""
        try:
            whole = self._ask(_joined([request.batch for request in requests]))
            return list(_parted(whole, [request.rows for request in requests]))
        except Exception as error:  # noqa: BLE001 - it belongs to a request, and the thread must live
            if len(requests) == 1:
                return [error]
        half = len(requests) // 2
        return self._outcomes(requests[:half]) + self._outcomes(requests[half:])

    def _deliver(
        self, loop: asyncio.AbstractEventLoop, requests: list[_Request], outcomes: list[Outputs | Exception], seconds: float
    ) -> None:
        """Give each request what it gets, and go on with those that came meanwhile."""
        self._expected = seconds if not self._expected else _MEMORY * self._expected + (1 - _MEMORY) * seconds
        self._awaited = len(requests) + len(self._waiting)
        self._moment = loop.call_later(min(_MOMENT * seconds, _LONGEST_MOMENT), self._take, loop)
        for request, outcome in zip(requests, outcomes, strict=True):
            if request.answer.done():
                continue  # its client left while it was asked
            if isinstance(outcome, Exception):
                request.answer.set_exception(outcome)
            else:
                request.answer.set_result((outcome, seconds))


async def _drop(request: _Request, client_gone: Callable[[], Awaitable[None]]) -> None:
    """Give up a request that still waits once its client has left."""
    await client_gone()
    if request.is_waiting and not request.answer.done():
        request.answer.set_exception(ClientGoneError())


def _layout(batch: Batch) -> object:
    """Return what two batches must have in common to be joined: their columns and dtypes."""
    if isinstance(batch, dict):
        return [(name, array.dtype) for name, array in batch.items()]
    return batch.dtype, batch.shape[1:]


def _joined(batches: list[Batch]) -> Batch:
    """Return the rows of batches of one layout."""
    if len(batches) == 1:
        return batches[0]
    matrices = [each for each in batches if not isinstance(each, dict)]
    if matrices:
        return np.concatenate(matrices)
    tables = [each for each in batches if isinstance(each, dict)]
    return {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}


def _parted(outputs: Outputs, rows: list[int]) -> list[Outputs]:
    """Return each request's own rows of the outputs."""
    if len(rows) == 1:
        return [outputs]
    ends = np.cumsum(rows)
    return [{name: array[end - count : end] for name, array in outputs.items()} for end, count in zip(ends, rows, strict=True)]
