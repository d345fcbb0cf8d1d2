"""One request and its answer as granian gives and takes them (RSGI specification 1.5), and where a path and a method lead."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from mlops.serving.answers import Answer, Headers

GET = ("GET", "HEAD")
POST = ("POST",)


class Scope(Protocol):
    """The head of a request; the path is decoded."""

    method: str
    path: str
    headers: Headers


class Exchange(Protocol):
    """The rest of a request and the way to answer it."""

    def __call__(self) -> Awaitable[bytes]:
        """Read the whole body."""

    def __aiter__(self) -> Any:
        """Read the body in pieces."""

    def client_disconnect(self) -> Awaitable[None]:
        """Return once the client has left."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""


class Answering(Protocol):
    """What granian calls for each request."""

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""


class Route(NamedTuple):
    """What answers at a path: the methods it takes, and the headers that each of its answers has."""

    methods: tuple[str, ...]
    answer: Callable[[Scope, Exchange], Awaitable[Answer]]
    headers: tuple[tuple[str, str], ...] = ()


Routes = dict[str, Route]
