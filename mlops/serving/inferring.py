"""From a request to infer to its answer, whatever the dialect and whatever carried it: read, ask the model, write, count.

A request holds the `Served` that its route led to when it began. Any bad input is a 4xx that says what is wrong; a 500 is the model's own
failure.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter

from msgspec.structs import replace

from mlops.serving import traces
from mlops.serving.answers import Answer, Headers, Refusal
from mlops.serving.bodies import Bodies
from mlops.serving.dialects import Dialect
from mlops.serving.errors import BadRequestError, ClientGoneError, ModelFailedError, OverloadedError
from mlops.serving.exchanges import Exchange, Scope
from mlops.serving.limits import Limits
from mlops.serving.logs import Log
from mlops.serving.models import Served
from mlops.serving.observing import Observing

_CLIENT_GONE = 499  # nginx's number for it; nobody reads it but who counts


class Inferring:
    """The way of every request to infer of one replica."""

    def __init__(self, log: Log, limits: Limits) -> None:
        """Keep what requests are held to, and where failures are told; nobody looks on yet."""
        self._log = log
        self.observing = Observing(log)
        self._limits = limits
        self.bodies = Bodies(limits)

    def over_http(self, served: Served, dialect: Dialect, scope: Scope, exchange: Exchange) -> Awaitable[Answer]:
        """Answer a request that came over HTTP."""
        headers = scope.headers
        return self.answer(served, dialect, headers, self.bodies.read(headers, exchange), exchange.client_disconnect)

    async def answer(
        self,
        served: Served,
        dialect: Dialect,
        headers: Headers,
        body: Awaitable[bytes],
        client_gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Answer a request, and count it whatever comes of it; `client_gone` returns once nobody waits for it any more."""
        served.in_progress += 1
        begun = perf_counter()
        call = traces.read(headers)
        observing = self.observing
        try:
            raw = await body
            came = perf_counter()
            question = dialect.read(served, headers, raw)
            rows = question.rows
            self._check(rows)
            read = perf_counter()
            if served.is_slow(rows):
                arrays, seconds = await served.ask_in_turn(question.batch, rows, client_gone)
                asked = perf_counter()
            else:
                arrays = served.ask(question.batch)
                asked = perf_counter()
                seconds = asked - read
            answer = dialect.write(served, question, arrays)
            served.counts.predicted(rows, read - came, seconds, perf_counter() - asked)
            served.counts.predictions.add(arrays, rows)
            if observing.is_on:
                observing.answered(served, headers, question, arrays, call)
        except Exception as error:  # noqa: BLE001 - counted here, because a delivery judges a version by what is counted
            answer = self._refusal(error, served).answer
        finally:
            served.in_progress -= 1
        seconds = perf_counter() - begun
        served.counts.answered(answer.status, seconds)
        if observing.log_share:
            observing.told(served, call, answer.status, seconds)
        return answer if call is traces.UNNAMED else replace(answer, headers=(*answer.headers, *call.headers()))

    def _check(self, rows: int) -> None:
        if rows > self._limits.max_rows:
            raise Refusal(413, f"the request has {rows} rows, and at most {self._limits.max_rows} are taken at once")

    def _refusal(self, error: Exception, served: Served) -> Refusal:
        """Return what is said instead of a prediction; what is no fault of the caller is logged."""
        match error:
            case Refusal():
                return error
            case BadRequestError():
                return Refusal(400, str(error))
            case OverloadedError():
                return Refusal(503, str(error), ("retry-after", str(error.retry_after)))
            case ClientGoneError():
                return Refusal(_CLIENT_GONE, "the client left")
            case ModelFailedError():
                self._failed("model failed", error, served)
                return Refusal(500, "the model failed on this request; the server's log says how")
        self._failed("request failed", error, served)
        return Refusal(500, "the server failed; its log says how")

    def _failed(self, event: str, error: Exception, served: Served) -> None:
        self._log.failed(event, error, model=served.name, version=served.version)
