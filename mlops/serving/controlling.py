"""The model repository extension over REST: which models there are, and, where the operator allows it, load and unload.

Source: Triton's extension_model_repository.md, which MLServer and KServe speak as well.
"""

from functools import partial
from typing import Any

import msgspec

from mlops.serving.answers import Answer, Refusal
from mlops.serving.bodies import Bodies
from mlops.serving.errors import FolderError
from mlops.serving.exchanges import POST, Exchange, Route, Routes, Scope
from mlops.serving.limits import Limits
from mlops.serving.protocols import decode_as, encode
from mlops.serving.repositories import Repository, State


class IndexRequest(msgspec.Struct):
    """Which versions are asked for: all, or those that are ready."""

    ready: bool = False


class ControlRequest(msgspec.Struct):
    """What is said beside the model's name."""

    parameters: dict[str, Any] | None = None


class IndexEntry(msgspec.Struct):
    """One version and how it is."""

    name: str
    version: str
    state: str
    reason: str


_index_decoder = msgspec.json.Decoder(IndexRequest)
_control_decoder = msgspec.json.Decoder(ControlRequest)


class Controlling:
    """Answers about the repository, and changes what is loaded where `is_allowed`."""

    def __init__(self, repository: Repository, limits: Limits, *, is_allowed: bool) -> None:
        """Keep what is asked."""
        self._repository = repository
        self._bodies = Bodies(limits)
        self.is_allowed = is_allowed

    def routes(self) -> Routes:
        """Return the path of the index; those of the models stand in `control`."""
        return {"/v2/repository/index": Route(POST, self._index)}

    async def index(self, *, is_ready: bool) -> list[IndexEntry]:
        """Return every version there is, or those that are ready."""
        await self._repository.look()
        return [
            IndexEntry(each.name, each.version, each.state.value, each.reason)
            for each in self._repository.versions()
            if each.state is State.READY or not is_ready
        ]

    async def load(self, name: str, parameters: dict[str, Any]) -> None:
        """Load a model as it lies in the repository; raise `Refusal` where that is not allowed or fails."""
        self._check()
        changing = sorted(key for key in parameters if key == "config" or key.startswith("file:"))
        if changing:
            msg = f"the parameter {changing[0]!r} is not taken: a model is loaded as it lies in the repository"
            raise Refusal(400, msg)
        try:
            await self._repository.load(name)
        except FolderError as error:
            raise Refusal(400, f"failed to load {name!r}: {error}") from error

    async def unload(self, name: str) -> None:
        """Take a model back; raise `Refusal` where that is not allowed or there is none. No model depends on another."""
        self._check()
        await self._repository.unload(name)

    def route(self, path: str) -> Route | None:
        """Return what answers at the path of a model in the repository."""
        *front, name, verb = ["", *path.strip("/").split("/")]
        if front != ["", "v2", "repository", "models"] or verb not in ("load", "unload"):
            return None
        return Route(POST, partial(self._load if verb == "load" else self._unload, name))

    def _check(self) -> None:
        if not self.is_allowed:
            msg = "this server does not load or unload by request: start it with --repository DIR --model-control explicit"
            raise Refusal(403, msg)

    async def _index(self, scope: Scope, exchange: Exchange) -> Answer:
        body = await self._bodies.read(scope.headers, exchange)
        request = decode_as(_index_decoder, body or b"{}", "the model repository extension")
        return Answer(200, encode(await self.index(is_ready=request.ready)))

    async def _load(self, name: str, scope: Scope, exchange: Exchange) -> Answer:
        await self.load(name, await self._parameters(scope, exchange))
        return Answer(200, b"{}")

    async def _unload(self, name: str, scope: Scope, exchange: Exchange) -> Answer:
        await self._parameters(scope, exchange)
        await self.unload(name)
        return Answer(200, b"{}")

    async def _parameters(self, scope: Scope, exchange: Exchange) -> dict[str, Any]:
        body = await self._bodies.read(scope.headers, exchange)
        return decode_as(_control_decoder, body or b"{}", "the model repository extension").parameters or {}
