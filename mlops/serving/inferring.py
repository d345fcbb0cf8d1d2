"""From a request to infer to its answer, whatever the dialect and whatever carried it: read, ask the model, write, count.

A request holds the `Served` that its route led to when it began. Any bad input is a 4xx that says what is wrong; a 500 is the model's own
failure.
"""

from collections.abc import Awaitable
from time import perf_counter

from mlops.serving.answers import Answer, Headers, Refusal
from mlops.serving.dialects import Dialect
from mlops.serving.errors import BadRequestError, ModelFailedError
from mlops.serving.exchanges import Exchange, Scope
from mlops.serving.limits import Limits
from mlops.serving.logs import Log
from mlops.serving.models import Served


class Inferring:
    """The way of every request to infer of one replica."""

    def __init__(self, log: Log, limits: Limits) -> None:
        """Keep what requests are held to, and where failures are told."""
        self._log = log
        self._limits = limits

    async def over_http(self, served: Served, dialect: Dialect, scope: Scope, exchange: Exchange) -> Answer:
        """Answer a request that came over HTTP."""
        return await self.answer(served, dialect, scope.headers, read_body(scope.headers, exchange, self._limits.max_body))

    async def answer(self, served: Served, dialect: Dialect, headers: Headers, body: Awaitable[bytes]) -> Answer:
        """Answer a request, and count it whatever comes of it."""
        served.in_progress += 1
        start = perf_counter()
        try:
            answer = await _predict(served, dialect, headers, await body)
        except BadRequestError as error:
            answer = Refusal(400, str(error)).answer
        except Refusal as refusal:
            answer = refusal.answer
        except ModelFailedError as error:
            self._failed("model failed", error, served)
            answer = Refusal(500, "the model failed on this request; the server's log says how").answer
        except Exception as error:  # noqa: BLE001 - counted here, because a delivery judges a version by what is counted
            self._failed("request failed", error, served)
            answer = Refusal(500, "the server failed; its log says how").answer
        finally:
            served.in_progress -= 1
        served.counts.answered(answer.status, perf_counter() - start)
        return answer

    def _failed(self, event: str, error: Exception, served: Served) -> None:
        self._log.failed(event, error, model=served.name, version=served.version)


async def _predict(served: Served, dialect: Dialect, headers: Headers, body: bytes) -> Answer:
    start = perf_counter()
    question = dialect.read(served, headers, body)
    read = perf_counter() - start
    arrays, seconds = await served.predict(question.batch, question.rows)
    start = perf_counter()
    answer = dialect.write(served, question, arrays)
    served.counts.predicted(question.rows, read, seconds, perf_counter() - start)
    return answer


async def read_body(headers: Headers, exchange: Exchange, longest: int) -> bytes:
    """Return the body; raise a 413 as soon as it is known to be longer than `longest` bytes."""
    announced = headers.get("content-length")
    if announced is not None:
        if not announced.isdecimal() or int(announced) > longest:
            raise _too_long(longest)
        return await exchange()
    pieces, length = [], 0
    async for piece in exchange:
        length += len(piece)
        if length > longest:
            raise _too_long(longest)
        pieces.append(piece)
    return b"".join(pieces)


def _too_long(longest: int) -> Refusal:
    return Refusal(413, f"the body is longer than {longest} bytes", ("connection", "close"))
