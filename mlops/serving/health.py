"""Whether a replica is live, started and ready, which are three things, and the paths at which probes ask for them."""

from mlops.serving.answers import Answer
from mlops.serving.exchanges import GET, Exchange, Route, Routes, Scope
from mlops.serving.protocols import encode


class Health:
    """The state of one replica under the name and version that it gives itself; `replicas` moves it."""

    def __init__(self, name: str, version: str) -> None:
        """Begin live, neither started nor ready."""
        self._name = name
        self._version = version
        self.is_started = False  # every model was loaded and has answered its own example
        self.is_draining = False

    @property
    def is_ready(self) -> bool:
        """Whether new requests should come here."""
        return self.is_started and not self.is_draining

    def routes(self) -> Routes:
        """Return the probes' paths: of the V2 protocol, of MLflow, and the customary ones."""
        return {
            **dict.fromkeys(("/v2/health/live", "/livez"), Route(GET, self._live)),
            **dict.fromkeys(("/v2/health/ready", "/readyz", "/ping", "/health"), Route(GET, self._ready)),
            "/startupz": Route(GET, self._started),
        }

    async def _live(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._answer(is_well=True)

    async def _ready(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._answer(is_well=self.is_ready)

    async def _started(self, _scope: Scope, _exchange: Exchange) -> Answer:
        return self._answer(is_well=self.is_started)

    def _answer(self, *, is_well: bool) -> Answer:
        """Return the superset of what the specification, KServe and MLServer say: both words, 200 or 503."""
        state = {
            "name": self._name,
            "version": self._version,
            "live": True,
            "started": self.is_started,
            "ready": self.is_ready,
        }
        return Answer(200 if is_well else 503, encode(state))
