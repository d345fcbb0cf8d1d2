"""Sockets, and granian's HTTP server around each: one for the public, one that asks this replica by itself.

granian 2.8 has no public option for a socket that exists already, so `_EmbeddedServer` overrides the one method that makes it (measured in
facts.md; a test holds it). Every socket is made here, in Python, so that a port in use is one clear error and a supervisor's inherited
socket is nothing special. One event loop drives all listeners of the process.
"""

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from mlops.serving.errors import ServingError
from mlops.serving.exchanges import Answering
from mlops.serving.tls import Tls

BACKLOG = 1024  # connections that wait to be accepted; also granian's limit of requests at once
# Bytes of a connection that wait to be read: a head that is longer by a reading is refused. hyper takes no more than 100 headers, and closes
# a connection whose next head is not there after 30 s.
_BUFFER = 64 * 1024
_PROC_FDS = Path("/proc/self/fd")
_HOLDER: Any = SocketHolder  # its type stub lacks the constructor


def bind_tcp(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `ServingError` for a port in use or an address that is not ours."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, number)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        msg = f"cannot listen on {host}:{port}: {error.strerror}"
        raise ServingError(msg) from error
    return _listen(bound)


def bind_uds(path: Path) -> socket.socket:
    """Return a listening unix socket that only this user may connect to; one that a dead process left at `path` is replaced."""
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _is_answered(path):
            path.unlink()
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            bound.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        msg = f"cannot listen on {path}: {error.strerror or error}"
        raise ServingError(msg) from error
    return _listen(bound)


def inherit(fd: int) -> socket.socket:
    """Return the listening socket that a supervisor passed on as `fd`; raise `ServingError` if it is none."""
    try:
        inherited = socket.socket(fileno=fd)
        is_listening = bool(inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError as error:
        msg = f"file descriptor {fd} is no socket: {error.strerror}"
        raise ServingError(msg) from error
    if not is_listening:
        inherited.detach()
        msg = f"file descriptor {fd} is a socket that does not listen"
        raise ServingError(msg)
    return _listen(inherited)


def _listen(bound: socket.socket) -> socket.socket:
    bound.settimeout(0.0)
    bound.listen(BACKLOG)
    return bound


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


class _EmbeddedServer(Server):
    """granian in our event loop, on a socket that exists already."""

    _shd: Any
    _sfd: Any

    def __init__(self, application: Answering, listening: socket.socket, tls: Tls | None) -> None:
        # HTTP/1.1 only: `Connection: close` is how a replica is drained, and gRPC will have a listener of its own.
        super().__init__(
            application,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(max_buffer_size=_BUFFER),
            websockets=False,
            backlog=BACKLOG,
            log_enabled=False,
            ssl_cert=tls.certificate if tls else None,
            ssl_key=tls.key if tls else None,
            ssl_protocol_min=SSLProtocols.tls12,
            ssl_ca=tls.client_authorities if tls else None,
            ssl_client_verify=bool(tls and tls.client_authorities),
        )
        self._is_uds = listening.family == socket.AF_UNIX
        self._fd = listening.fileno()

    def _init_shared_socket(self) -> None:
        self._shd = _HOLDER(self._fd, self._is_uds, BACKLOG)
        self._sfd = self._fd


class Listener:
    """One listening socket that is being served."""

    def __init__(self, application: Answering, listening: socket.socket, tls: Tls | None = None) -> None:
        """Take `listening` over; granian closes its descriptor when it stops."""
        self._description = os.fstat(listening.fileno()).st_ino
        self._server: Any = _EmbeddedServer(application, listening, tls)
        self._path = listening.getsockname() if listening.family == socket.AF_UNIX else None
        listening.detach()
        self.task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._server.serve())

    def stop_accepting(self) -> None:
        """Leave new connections to the other processes on this socket, and go on serving those that are open.

        granian can only stop as a whole, and a connection whose request is still to come is lost then: of callers that connect and ask
        0.2 s later 55 of 1,643 in six replacements, and 0 of 1,745 with this. So its descriptor is made to name another socket, to which
        nobody connects: its next accept finds nothing. Without /proc nothing is done.
        """
        same = [fd for fd in _own_fds() if _inode(fd) == self._description]
        if not same:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            silent.settimeout(0.0)
            for fd in same:
                os.dup2(silent.fileno(), fd, inheritable=False)

    async def stop(self, grace: float) -> bool:
        """Stop accepting, finish what is in flight, close; return whether that was done within `grace` seconds."""
        self._server.stop()
        done, _ = await asyncio.wait({self.task}, timeout=grace)
        self._remove_path()
        return bool(done)

    def _remove_path(self) -> None:
        if self._path:
            with contextlib.suppress(OSError):
                Path(self._path).unlink()


def _own_fds() -> list[int]:
    try:
        return [int(entry.name) for entry in _PROC_FDS.iterdir()]
    except OSError:
        return []


def _inode(fd: int) -> int | None:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None
