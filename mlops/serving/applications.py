"""What the server answers to each path and method: the routes of one model, its health and its metrics.

`Application.__rsgi__` is what granian calls for each request; a route returns an `Answer` or raises. Any bad input is a 4xx that says what
is wrong; a 500 is the model's own failure. `replicas` moves the application from starting to ready to draining.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from mlops.serving.answers import Answer, Headers, Refusal
from mlops.serving.dialects import Dialect, Inference
from mlops.serving.errors import BadRequestError, ModelFailedError
from mlops.serving.logs import Log
from mlops.serving.metrics import Metrics
from mlops.serving.models import Served
from mlops.serving.protocols import encode
from mlops.serving.tabular import Instances, Invocations

SERVER_NAME = "mlops"
SERVER_VERSION = "1"
_GET = ("GET", "HEAD")


class Scope(Protocol):
    """The head of a request, as granian gives it (RSGI specification 1.5); the path is decoded."""

    method: str
    path: str
    headers: Headers


class Exchange(Protocol):
    """The rest of a request and the way to answer it (RSGI specification 1.5)."""

    def __call__(self) -> Awaitable[bytes]:
        """Read the whole body."""

    def __aiter__(self) -> Any:
        """Read the body in pieces."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


Route = Callable[[Scope, Exchange], Awaitable[Answer]]


class Application:
    """The routes of one replica and the state that its health tells."""

    def __init__(self, name: str, version: str, metrics: Metrics, log: Log, max_body: int) -> None:
        """Begin in the state starting: live, neither started nor ready. `max_body` is in bytes."""
        self._name = name
        self._version = version
        self.metrics = metrics
        self._log = log
        self._max_body = max_body
        self._thread = ThreadPoolExecutor(1, "predict")
        self._served: Served | None = None
        self._is_draining = False
        self._headers = [("x-mlops-version", version)]
        self._routes: dict[str, tuple[tuple[str, ...], Route]] = {
            path: (_GET, route) for path, route in self._server_routes().items()
        }
        self._routes["/v2/repository/index"] = (("POST",), self._index)
        self._routes["/invocations"] = (("POST",), partial(self._infer, Invocations()))
        self._routes[f"/v1/models/{name}:predict"] = (("POST",), partial(self._infer, Instances()))

    def start(self, served: Served) -> None:
        """Become ready to serve this model."""
        self._served = served
        for path in (f"/v2/models/{served.name}", f"/v2/models/{served.name}/versions/{served.version}"):
            self._routes[path] = (_GET, self._metadata)
            self._routes[f"{path}/ready"] = (_GET, self._model_ready)
            self._routes[f"{path}/infer"] = (("POST",), partial(self._infer, Inference()))
        self.metrics.is_ready = True

    def drain(self) -> None:
        """Stop being ready, and ask every caller to leave with its next answer."""
        self._is_draining = True
        self.metrics.is_ready = False
        self._headers = [*self._headers, ("connection", "close")]

    @property
    def is_started(self) -> bool:
        """Whether the model was loaded and has answered its own example."""
        return self._served is not None

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return self._served is not None and not self._is_draining

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            answer = await self._find(scope.method, scope.path)(scope, exchange)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception as error:  # noqa: BLE001 - the last place before granian; a fault of ours must not look like a lost connection
            answer = self._fault(error, scope)
        headers = [("content-type", answer.content_type), *answer.headers, *self._headers]
        exchange.response_bytes(answer.status, headers, answer.body)

    def _fault(self, error: Exception, scope: Scope) -> Answer:
        self._log.failed("request failed", error, path=scope.path)
        return Refusal(500, "the server failed; its log says how").answer

    def _find(self, method: str, path: str) -> Route:
        found = self._routes.get(path) or self._routes.get(path.rstrip("/"))
        if found is None:
            raise self._unknown(path)
        methods, route = found
        if method not in methods:
            raise Refusal(405, f"{path} takes {methods[0]}, not {method}", ("allow", ", ".join(methods)))
        return route

    def _unknown(self, path: str) -> Refusal:
        """Return the refusal of a path that is not routed, saying which part of it is unknown."""
        parts = path.strip("/").split("/")
        if parts[:2] != ["v2", "models"] or len(parts) < 3:  # noqa: PLR2004 - v2, models and a name
            return Refusal(404, f"there is nothing at {path}")
        if self._served is None:
            return Refusal(503, f"model {self._name!r} is being loaded", ("retry-after", "1"))
        if parts[2] != self._name:
            return Refusal(404, f"there is no model {parts[2]!r}; this server has {self._name!r}")
        if len(parts) > 4 and parts[3] == "versions" and parts[4] != self._version:  # noqa: PLR2004 - and versions, a version
            return Refusal(404, f"there is no version {parts[4]!r} of model {self._name!r}; this server has {self._version!r}")
        return Refusal(404, f"there is nothing at {path}")

    def _server_routes(self) -> dict[str, Route]:
        return {
            "/v2": self._server_metadata,
            **dict.fromkeys(("/v2/models", "/v1/models"), self._models),
            f"/v1/models/{self._name}": self._model_ready,
            "/version": self._server_version,
            "/metrics": self._metrics,
            **dict.fromkeys(("/v2/health/live", "/livez"), self._live),
            **dict.fromkeys(("/v2/health/ready", "/readyz", "/ping", "/health"), self._ready),
            "/startupz": self._started,
        }

    async def _server_metadata(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, encode({"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": ["binary_tensor_data"]}))

    async def _server_version(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, SERVER_VERSION.encode(), "text/plain; charset=utf-8")

    async def _index(self, _scope: Scope, _exchange: Exchange) -> Answer:
        """Answer the model repository extension's index: one model, which is loaded or being loaded."""
        state = "READY" if self.is_ready else "UNAVAILABLE"
        reason = "" if self.is_ready else "draining" if self._is_draining else "loading"
        return Answer(200, encode([{"name": self._name, "version": self._version, "state": state, "reason": reason}]))

    async def _models(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, encode({"models": [self._name] if self._served else []}))

    async def _metrics(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, self.metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8")

    async def _live(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._health(is_well=True)

    async def _ready(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._health(is_well=self.is_ready)

    async def _started(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._health(is_well=self._served is not None)

    def _health(self, *, is_well: bool) -> Answer:
        """Return the superset of what the specification, KServe and MLServer say: both words, 200 or 503."""
        state = {
            "name": self._name,
            "version": self._version,
            "live": True,
            "started": self._served is not None,
            "ready": self.is_ready,
        }
        return Answer(200 if is_well else 503, encode(state))

    async def _metadata(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, self._loaded.metadata)

    async def _model_ready(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200 if self.is_ready else 503, encode({"name": self._name, "ready": self.is_ready}))

    @property
    def _loaded(self) -> Served:
        """The model; its routes exist only once it is loaded."""
        if self._served is None:
            raise Refusal(503, f"model {self._name!r} is being loaded", ("retry-after", "1"))
        return self._served

    async def _infer(self, dialect: Dialect, scope: Scope, exchange: Exchange) -> Answer:
        """Answer a request to infer, and count it whatever comes of it."""
        metrics = self.metrics
        metrics.in_progress += 1
        start = perf_counter()
        try:
            answer = await self._predict(dialect, scope.headers, await self._body(scope.headers, exchange))
        except BadRequestError as error:
            answer = Refusal(400, str(error)).answer
        except Refusal as refusal:
            answer = refusal.answer
        except ModelFailedError as error:
            self._log.failed("model failed", error)
            answer = Refusal(500, "the model failed on this request; the server's log says how").answer
        except Exception as error:  # noqa: BLE001 - counted here, because a delivery judges a version by what is counted
            answer = self._fault(error, scope)
        finally:
            metrics.in_progress -= 1
        metrics.answered(answer.status, perf_counter() - start)
        return answer

    async def _predict(self, dialect: Dialect, headers: Headers, body: bytes) -> Answer:
        served = self._loaded
        start = perf_counter()
        question = dialect.read(served, headers, body)
        read = perf_counter() - start
        if served.is_slow(question.rows):
            arrays, seconds = await asyncio.get_running_loop().run_in_executor(self._thread, served.ask, question.batch)
        else:
            arrays, seconds = served.ask(question.batch)
        start = perf_counter()
        answer = dialect.write(served, question, arrays)
        self.metrics.predicted(question.rows, read, seconds, perf_counter() - start)
        return answer

    async def _body(self, headers: Headers, exchange: Exchange) -> bytes:
        """Return the body; raise a 413 as soon as it is known to be longer than allowed."""
        announced = headers.get("content-length")
        if announced is not None:
            if not announced.isdecimal() or int(announced) > self._max_body:
                raise self._too_long()
            return await exchange()
        pieces, length = [], 0
        async for piece in exchange:
            length += len(piece)
            if length > self._max_body:
                raise self._too_long()
            pieces.append(piece)
        return b"".join(pieces)

    def _too_long(self) -> Refusal:
        return Refusal(413, f"the body is longer than {self._max_body} bytes", ("connection", "close"))
