"""The paths of a loaded model: what it is, whether it is ready, and how it is asked in each protocol.

Made anew whenever a version of it is loaded or taken back. A path without a version leads to the latest.
"""

from functools import partial

from mlops.serving.answers import Answer
from mlops.serving.dialects import Dialect, Inference
from mlops.serving.exchanges import GET, POST, Exchange, Route, Routes, Scope
from mlops.serving.health import Health
from mlops.serving.inferring import Inferring
from mlops.serving.models import Served
from mlops.serving.protocols import encode, model_metadata
from mlops.serving.tabular import Instances, Invocations

VERSION_HEADER = "x-mlops-version"


class Offering:
    """Makes the routes of models."""

    def __init__(self, inferring: Inferring, health: Health) -> None:
        """Keep what the routes need."""
        self._inferring = inferring
        self._health = health

    def routes(self, name: str, loaded: list[Served]) -> Routes:
        """Return the paths of a model whose versions `loaded` answer, the latest last."""
        routes: Routes = {}
        if not loaded:
            return routes
        versions = [each.version for each in loaded]
        for each in loaded:
            routes |= self._version(f"/v2/models/{name}/versions/{each.version}", each, versions)
        latest = loaded[-1]
        routes |= self._version(f"/v2/models/{name}", latest, versions)
        routes[f"/v1/models/{name}"] = routes[f"/v2/models/{name}/ready"]
        routes[f"/v1/models/{name}:predict"] = self._infer(latest, Instances())
        return routes

    def invocations(self, served: Served) -> Route:
        """Return MLflow's route, whose path names no model."""
        return self._infer(served, Invocations())

    def _version(self, path: str, served: Served, versions: list[str]) -> Routes:
        headers = _headers(served)
        metadata = Answer(200, encode(model_metadata(served.name, versions, served.manifest)))
        return {
            path: Route(GET, partial(_say, metadata), headers),
            f"{path}/ready": Route(GET, partial(self._ready, served.name), headers),
            f"{path}/infer": self._infer(served, Inference()),
        }

    def _infer(self, served: Served, dialect: Dialect) -> Route:
        return Route(POST, partial(self._inferring.over_http, served, dialect), _headers(served))

    async def _ready(self, name: str, _scope: Scope, _exchange: Exchange) -> Answer:
        is_ready = self._health.is_ready
        return Answer(200 if is_ready else 503, encode({"name": name, "ready": is_ready}))


def _headers(served: Served) -> tuple[tuple[str, str], ...]:
    return ((VERSION_HEADER, served.version),)


async def _say(answer: Answer, _scope: Scope, _exchange: Exchange) -> Answer:
    return answer
