"""Where CloudEvents go: a file, standard output, or an HTTP address; each raises `OSError` where it cannot take one.

Sources: CloudEvents 1.0.2, its JSON format (one event a line) and its HTTP binding (binary mode, as KServe's logger posts). Asked by the
payload log's thread alone.
"""

import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from mlops.serving.protocols import encode

Event = dict[str, Any]  # the attributes, and `data`
Sink = Callable[[Event], None]
_TIMEOUT = 5.0  # seconds
_LAST_SUCCESS = 299


def is_http(target: str) -> bool:
    """Tell whether a text names an HTTP address."""
    return target.startswith(("http://", "https://"))


def sink(target: str) -> Sink:
    """Return what takes events to `target`: `-` for standard output, an address, else a file, to which they are added."""
    if target == "-":
        return _print
    return Poster(target).event if is_http(target) else _File(Path(target)).event


def _line(event: Event) -> bytes:
    line: bytes = encode(event) + b"\n"
    return line


def _print(event: Event) -> None:
    sys.stdout.buffer.write(_line(event))
    sys.stdout.buffer.flush()


class _File:
    """A file that is opened for each event, so that it may be moved away, and written in one piece, so that replicas may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def event(self, event: Event) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(_line(event))


class Poster:
    """Posts to one HTTP address over a connection that is kept; for one thread."""

    def __init__(self, url: str) -> None:
        """Connect when something is posted first."""
        self._address = urlsplit(url)
        self._connection: HTTPConnection | None = None

    def event(self, event: Event) -> None:
        """Post an event in binary mode: attributes as headers."""
        kinds = {"content-type": str(event["datacontenttype"])}
        attributes = {f"ce-{name}": str(value) for name, value in event.items() if name not in ("data", "datacontenttype")}
        self.post("", encode(event["data"]), {**kinds, **attributes})

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Post to `path` below the address; return the answer's body. A connection that was kept may have ended: it is tried anew once.

        Raises:
            OSError: nobody answers in time, or not with a 2xx.
        """
        for is_last in (self._connection is None, True):
            try:
                return self._post(path, body, headers)
            except TimeoutError:
                self._drop()
                raise
            except (OSError, HTTPException) as error:
                self._drop()
                if is_last or isinstance(error, _RefusedError):
                    msg = f"{type(error).__name__}: {error}"
                    raise OSError(msg) from error
        raise AssertionError  # the last one returns or raises

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        connection = self._connection = self._connection or _connect(self._address)
        place = (self._address.path.rstrip("/") + path) or "/"
        connection.request("POST", f"{place}?{self._address.query}" if self._address.query else place, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status > _LAST_SUCCESS:
            msg = f"answered {answer.status}"
            raise _RefusedError(msg)
        return content

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _RefusedError(OSError):
    """The other side took the request and did not like it."""


def _connect(address: SplitResult) -> HTTPConnection:
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    return kind(address.hostname or "", address.port, timeout=_TIMEOUT)
