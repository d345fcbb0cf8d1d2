"""The door to what answers over HTTP elsewhere: Prometheus, that a delivery asks, and webhooks, that it calls."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from mlops.core.errors import Refused, Unavailable
from mlops.core.settings import without_password

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 1024 * 1024  # bytes of an answer that are read
_WORDS = 200  # characters of one that stand in an error
_MAY_PASS = 500


class UrlWeb:
    """Plain HTTP and HTTPS, by the machine's own certificates and proxies."""

    def fetch(self, url: str, seconds: float) -> bytes:
        """Return the body of a GET.

        Raises:
            Refused: the answer is not 2xx, and will not be; Unavailable: it is 5xx, or does not come in time.
        """
        return self._asked(urllib.request.Request(url), seconds)  # noqa: S310 - specs take http and https only

    def post(self, url: str, data: Mapping[str, Any], seconds: float) -> str:
        """Post JSON and return the body.

        Raises:
            Refused, Unavailable: as `fetch` does.
        """
        request = urllib.request.Request(url, json.dumps(data).encode(), {"content-type": "application/json"})  # noqa: S310 - as above
        return self._asked(request, seconds).decode(errors="replace").strip()

    def _asked(self, request: urllib.request.Request, seconds: float) -> bytes:
        where = without_password(f"{urlsplit(request.full_url).scheme}://{urlsplit(request.full_url).netloc}")
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above
                return bytes(answer.read(_LONGEST))
        except HTTPError as error:
            with error:
                said = " ".join(error.read(_LONGEST).decode(errors="replace").split())[:_WORDS]
            sort = Unavailable if error.code >= _MAY_PASS else Refused
            message = f"{where} answered {error.code} {error.reason}{f': {said}' if said else ''}"
            raise sort(message) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            message = f"{where} does not answer: {reason}"
            raise Unavailable(message, "is it running, and is its name known here?") from error
