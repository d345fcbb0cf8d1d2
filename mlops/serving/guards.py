"""Who may ask: bearer tokens (RFC 6750) before the routes of a public listener.

Health and metrics are answered to anybody, as KServe and Triton do, because a kubelet and a scraper by annotation carry no token. The private
listener, which only this user reaches, has no guard.
"""

import hmac
from hashlib import sha256
from pathlib import Path

from mlops.serving.errors import ServingError
from mlops.serving.exchanges import Answering, Exchange, Scope
from mlops.serving.protocols import encode

OPEN = frozenset(
    ("/livez", "/readyz", "/startupz", "/ping", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"),
)
_SHORTEST = 16  # characters; less can be guessed
_SCHEME = "bearer "


class Tokens:
    """The tokens of which a caller must name one."""

    def __init__(self, tokens: list[str]) -> None:
        """Keep digests of equal length, so that comparing takes as long whatever is sent."""
        self._digests = [_digest(token) for token in tokens]

    def allow(self, authorization: str | None) -> bool:
        """Tell whether the value of an `authorization` header names one of the tokens."""
        if authorization is None or not authorization.lower().startswith(_SCHEME):
            return False
        given = _digest(authorization[len(_SCHEME) :].strip())
        return any([hmac.compare_digest(given, digest) for digest in self._digests])  # noqa: C419 - all of them, every time


class Guard:
    """An application that answers those who have a token, and 401 to others."""

    def __init__(self, application: Answering, tokens: Tokens) -> None:
        """Stand before `application`."""
        self._application = application
        self._tokens = tokens

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request."""
        authorization = scope.headers.get("authorization")
        if scope.path.rstrip("/") in OPEN or self._tokens.allow(authorization):
            await self._application.__rsgi__(scope, exchange)
            return
        # The words of RFC 6750, section 3: no `error` where no token was sent.
        fault = "" if authorization is None else ', error="invalid_token"'
        headers = [("content-type", "application/json"), ("www-authenticate", f'Bearer realm="mlops"{fault}')]
        message = (
            "a token is needed: send the header `Authorization: Bearer TOKEN`" if not fault else "this token is not known here"
        )
        exchange.response_bytes(401, headers, encode({"error": message}))


def read_tokens(path: Path) -> Tokens:
    """Return the tokens in a file, one a line, several while they are exchanged; raise `ServingError` for none or one that is too short."""
    try:
        lines = [line.strip() for line in path.read_text("ascii").splitlines()]
    except OSError as error:
        msg = f"the tokens in {path} cannot be read: {error.strerror}"
        raise ServingError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"the tokens in {path} are not plain ASCII"
        raise ServingError(msg) from error
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        msg = f"there is no token in {path}; write one a line"
        raise ServingError(msg)
    for number, token in enumerate(lines, 1):
        if token in tokens and (len(token) < _SHORTEST or not token.isprintable() or " " in token):
            msg = f"{path}:{number}: a token has at least {_SHORTEST} characters and no blanks (make one: openssl rand -hex 32)"
            raise ServingError(msg)
    return Tokens(tokens)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
