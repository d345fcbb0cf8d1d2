"""What is said back over HTTP, whatever the dialect; and the headers that came with the request."""

from typing import Any, Protocol

import msgspec

from mlops.serving.protocols import encode

# What gRPC calls the statuses that a request to infer may get; INTERNAL for others.
GRPC_CODES = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class Headers(Protocol):
    """The request headers, as granian gives them; names in lower case."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return one header or the default."""


class Answer(msgspec.Struct, frozen=True):
    """A status, a body and the headers beside those that every answer has."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Refusal(Exception):  # noqa: N818 - it is an answer, no error of ours
    """An answer other than 2xx, raised where the request turns out not to be served."""

    def __init__(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        """Carry the status, what is said in `error`, and headers."""
        super().__init__(message)
        self.answer = Answer(status, encode({"error": message}), headers=headers)
