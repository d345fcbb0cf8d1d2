"""`inference.GRPCInferenceService` (Open Inference Protocol V2, with Triton's repository extension) on a listener of its own.

Only where it is asked for is grpc imported. Each call is answered from the same rooms as its path over HTTP: `inferring`, `controlling`,
`health` and the repository; what HTTP says by a status is said by gRPC's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import msgspec
from google.protobuf.message import DecodeError

from mlops.serving.answers import GRPC_CODES, Refusal
from mlops.serving.applications import EXTENSIONS, SERVER_NAME, SERVER_VERSION, Application
from mlops.serving.errors import BadRequestError, ServingError
from mlops.serving.grpc_inference import Message
from mlops.serving.grpc_messages import SERVICE, message_classes
from mlops.serving.guards import Tokens
from mlops.serving.offering import VERSION_HEADER
from mlops.serving.protocols import model_metadata
from mlops.serving.tls import Tls

if TYPE_CHECKING:
    from mlops.serving.replicas import Replica

_OPEN = frozenset((f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"))  # answered to anybody, as over HTTP
Call = Any  # grpc.aio.ServicerContext; the package ships no types


class GrpcListener:
    """The service, listening from the moment it is made at `address`; `task` ends with it."""

    def __init__(self, application: Application, replica: "Replica") -> None:
        """Listen where `replica` says, port 0 takes a free one; raise `ServingError` for a port in use."""
        host, port = replica.grpc or ("", 0)
        options = [
            ("grpc.max_receive_message_length", replica.limits.max_body),
            # A port in use is an error, as with HTTP; only the workers of one server share it.
            ("grpc.so_reuseport", int(replica.seat is not None)),
        ]
        guards = [_Guard(replica.tokens)] if replica.tokens else []
        self._server = grpc.aio.server(options=options, interceptors=guards)
        self._server.add_generic_rpc_handlers((_Service(application).rpcs(),))
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if replica.tls:
                port = self._server.add_secure_port(place, _credentials(replica.tls))
            else:
                port = self._server.add_insecure_port(place)
        except RuntimeError as error:
            msg = f"cannot listen on {place} for gRPC: the address is in use or not ours"
            raise ServingError(msg) from error
        self.address = f"{host}:{port}"
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self, grace: float) -> bool:
        """Take no new call, finish what is in flight, close; return whether that was done within `grace` seconds."""
        stopping = asyncio.get_running_loop().create_task(self._server.stop(grace))
        done, _ = await asyncio.wait({stopping}, timeout=grace)
        return bool(done)


class _Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc] # the package ships no types
    """Lets those call who name a token in the metadata `authorization`; see `guards`."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """Return what answers the call."""
        if details.method in _OPEN or self._tokens.allow(dict(details.invocation_metadata).get("authorization")):
            return await continuation(details)
        return grpc.unary_unary_rpc_method_handler(_refuse)


async def _refuse(_raw: bytes, context: Call) -> Any:
    await _abort(context, Refusal(401, "a token is needed: send the metadata `authorization: Bearer TOKEN`"))


def _credentials(tls: Tls) -> Any:
    authorities = tls.client_authorities.read_bytes() if tls.client_authorities else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], authorities, require_client_auth=authorities is not None)


class _Service:
    """What each call answers."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._classes = message_classes()

    def rpcs(self) -> Any:
        """Return the calls by name, as grpc wants them."""
        calls = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        methods = {name: self._unary(name, answer) for name, answer in calls.items()}
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _unary(self, name: str, answer: Callable[[Any], Awaitable[dict[str, Any]]]) -> Any:
        """Return a call that reads a message, and answers with the fields that `answer` returns."""
        request, response = self._classes[f"{name}Request"], self._classes[f"{name}Response"]

        async def call(raw: bytes, context: Call) -> bytes:
            try:
                made: bytes = response(**await answer(_parsed(request, raw))).SerializeToString()
            except Exception as error:  # noqa: BLE001 - the last place before grpc, which would tell the caller of our insides
                await _abort(context, self._refusal(error, name))
            return made

        return grpc.unary_unary_rpc_method_handler(call)

    async def _infer(self, raw: bytes, context: Call) -> bytes:
        try:
            message = _parsed(self._classes["ModelInferRequest"], raw)
            served = self._application.repository.find(message.model_name, message.model_version)
        except Exception as error:  # noqa: BLE001 - as above
            await _abort(context, self._refusal(error, "ModelInfer"))
        dialect = Message(message, self._classes["ModelInferResponse"])
        headers = dict(context.invocation_metadata())
        answer = await self._application.inferring.answer(served, dialect, headers, _given(raw))
        calls = served.counts.calls
        calls[answer.status] = calls.get(answer.status, 0) + 1
        context.set_trailing_metadata((*answer.headers, (VERSION_HEADER, served.version)))
        if answer.status != 200:  # noqa: PLR2004 - what every dialect answers that has an answer
            await _abort(context, Refusal(answer.status, msgspec.json.decode(answer.body)["error"]))
        return answer.body

    def _refusal(self, error: Exception, name: str) -> Refusal:
        match error:
            case Refusal():
                return error
            case BadRequestError():
                return Refusal(400, str(error))
        return self._application.fault(error, f"/{SERVICE}/{name}")

    async def _server_live(self, _request: Any) -> dict[str, Any]:
        return {"live": True}

    async def _server_ready(self, _request: Any) -> dict[str, Any]:
        return {"ready": self._application.health.is_ready}

    async def _server_metadata(self, _request: Any) -> dict[str, Any]:
        return {"name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS}

    async def _model_ready(self, request: Any) -> dict[str, Any]:
        """Answer false for a model that is not there, as Triton does."""
        try:
            self._application.repository.find(request.name, request.version)
        except Refusal:
            return {"ready": False}
        return {"ready": self._application.health.is_ready}

    async def _model_metadata(self, request: Any) -> dict[str, Any]:
        served = self._application.repository.find(request.name, request.version)
        versions = [each.version for each in self._application.repository.loaded()[request.name]]
        made: dict[str, Any] = msgspec.to_builtins(model_metadata(served.name, versions, served.manifest))
        return made

    async def _index(self, request: Any) -> dict[str, Any]:
        return {"models": msgspec.to_builtins(await self._application.controlling.index(is_ready=request.ready))}

    async def _load(self, request: Any) -> dict[str, Any]:
        name = _model(request)
        await self._application.controlling.load(name, dict(request.parameters))
        return {"model_name": name, "isLoaded": True}

    async def _unload(self, request: Any) -> dict[str, Any]:
        name = _model(request)
        await self._application.controlling.unload(name)
        return {"model_name": name, "isUnloaded": True}


def _model(request: Any) -> str:
    """Return the model that is meant: Triton's clients name it in the second field, KServe's in the first."""
    return str(request.model_name or request.repository_name)


def _parsed(message: Any, raw: bytes) -> Any:
    try:
        return message.FromString(raw)
    except DecodeError as error:
        msg = f"the message is no {message.DESCRIPTOR.name}"
        raise BadRequestError(msg) from error


async def _given(raw: bytes) -> bytes:
    return raw


async def _abort(context: Call, refusal: Refusal) -> Any:
    """End the call with the gRPC status for an HTTP one; never returns."""
    code = GRPC_CODES.get(refusal.answer.status, "INTERNAL")
    await context.abort(grpc.StatusCode[code], str(refusal))
