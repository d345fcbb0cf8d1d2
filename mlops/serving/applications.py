"""What granian calls for each request: look the path up, let its route answer, send the answer.

A route returns an `Answer` or raises a `Refusal`. The rooms behind it: `routing` knows the paths, `offering` those of a model, `inferring`
asks one, `controlling` loads and unloads, `health` and `metrics` tell how things are, `describing` what the models take and give.
"""

from mlops.serving.answers import Answer, Refusal
from mlops.serving.controlling import Controlling
from mlops.serving.describing import Describing
from mlops.serving.errors import BadRequestError
from mlops.serving.exchanges import GET, Exchange, Route, Routes, Scope
from mlops.serving.health import Health
from mlops.serving.inferring import Inferring
from mlops.serving.limits import Limits
from mlops.serving.logs import Log
from mlops.serving.metrics import Exposition
from mlops.serving.offering import VERSION_HEADER, Offering
from mlops.serving.protocols import encode
from mlops.serving.repositories import Repository
from mlops.serving.routing import Routing

SERVER_NAME = "mlops"
SERVER_VERSION = "1"
EXTENSIONS = ("binary_tensor_data", "model_repository")


class Application:
    """The whole of one replica as it is seen over HTTP.

    `version` is what answers that no model gives are marked with: that of the only model, or None where there are several.
    """

    def __init__(
        self,
        repository: Repository,
        health: Health,
        track: str,
        log: Log,
        limits: Limits,
        version: str | None,
        *,
        is_controlled: bool,
    ) -> None:
        """Open the rooms."""
        self.repository = repository
        self.health = health
        self.inferring = Inferring(log, limits)
        self.controlling = Controlling(repository, limits, is_allowed=is_controlled)
        self._log = log
        self._metrics = Exposition(track, repository.versions, lambda: health.is_ready)
        self._routing = Routing(self._routes(), Offering(self.inferring, health), repository, self.controlling)
        self._headers = ((VERSION_HEADER, version),) if version else ()
        self._closing: list[tuple[str, str]] = []
        # What `/metrics` says of this process becomes what it says of the server, where that has several.
        self.share = _alone

    def drain(self) -> None:
        """Stop being ready, and ask every caller to leave with its next answer."""
        self.health.is_draining = True
        self._closing = [("connection", "close")]

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        marks: tuple[tuple[str, str], ...] = self._headers
        try:
            route = self._routing.find(scope.method, scope.path)
            marks = route.headers or marks
            answer = await route.answer(scope, exchange)
        except Refusal as refusal:
            answer = refusal.answer
        except BadRequestError as error:
            answer = Refusal(400, str(error)).answer
        except Exception as error:  # noqa: BLE001 - the last place before granian; a fault of ours must not look like a lost connection
            answer = self.fault(error, scope.path).answer
        headers = [("content-type", answer.content_type), *answer.headers, *marks, *self._closing]
        exchange.response_bytes(answer.status, headers, answer.body)

    def fault(self, error: Exception, path: str) -> Refusal:
        """Log a fault of ours, and return what is said of it."""
        self._log.failed("request failed", error, path=path)
        return Refusal(500, "the server failed; its log says how")

    def _routes(self) -> Routes:
        """Return the paths that name no model."""
        return {
            "/v2": Route(GET, self._metadata),
            **dict.fromkeys(("/v2/models", "/v1/models"), Route(GET, self._models)),
            "/version": Route(GET, self._version),
            "/metrics": Route(GET, self._exposition),
            **self.health.routes(),
            **self.controlling.routes(),
            **Describing(self.repository.loaded).routes(),
        }

    async def _metadata(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, encode({"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS}))

    async def _version(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, SERVER_VERSION.encode(), "text/plain; charset=utf-8")

    async def _models(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, encode({"models": list(self.repository.loaded())}))

    def exposition(self) -> bytes:
        """Return what Prometheus scrapes."""
        return self.share(self._metrics.text())

    async def _exposition(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return Answer(200, self.exposition(), "text/plain; version=0.0.4; charset=utf-8")


def _alone(exposition: bytes) -> bytes:
    return exposition
