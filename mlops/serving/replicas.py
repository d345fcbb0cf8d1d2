"""The life of one replica: starting, ready, draining, gone.

`run` is called by `main` once the sockets are open. A private listener answers from the first moment, so that a supervisor can tell a
replica that is loading from one that hangs; an inherited public socket is not touched before the model has answered its own example. On
SIGTERM readiness fails at once and each answer carries `Connection: close`, new connections are left to the siblings on the same socket, and
after `drain` seconds what is in flight is finished.
"""

import asyncio
import gc
import os
import signal
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import uvloop

from mlops.serving.applications import SERVER_NAME, SERVER_VERSION, Application
from mlops.serving.boards import Seat
from mlops.serving.errors import ServingError
from mlops.serving.guards import Guard, Tokens
from mlops.serving.health import Health
from mlops.serving.layouts import Layout
from mlops.serving.limits import Limits
from mlops.serving.listeners import Listener
from mlops.serving.logs import Log
from mlops.serving.mirroring import Private
from mlops.serving.observing import Observing
from mlops.serving.parents import watch_parent
from mlops.serving.payloads import Payloads, Wanted
from mlops.serving.repositories import Repository
from mlops.serving.tls import Tls

if TYPE_CHECKING:
    from mlops.serving.grpc_listener import GrpcListener
_SHARE_INTERVAL = 1.0  # seconds


@dataclass(frozen=True)
class Replica:
    """What one replica serves, where, and within which limits: `drain` and `grace` in seconds, `grpc` host and port.

    `name` and `version` are those of its only model, or None where it serves a repository.
    """

    layout: Layout
    name: str | None
    version: str | None
    is_controlled: bool
    track: str
    public: socket.socket
    private: socket.socket | None
    is_shared: bool
    grpc: tuple[str, int] | None
    drain: float
    grace: float
    limits: Limits
    parent: int | None
    tokens: Tokens | None
    tls: Tls | None
    log_share: float = 0.0
    payloads: Wanted | None = None
    seat: Seat | None = None


def run(replica: Replica) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises `ServingError` if the model cannot be served."""
    return uvloop.run(_live(replica))


async def _live(replica: Replica) -> int:
    log, application = _opened(replica)
    observing = application.inferring.observing = _observing(replica, log)
    stop = _stop_event()
    watcher = watch_parent(replica.parent, stop.set) if replica.parent is not None else None
    address = _shown(replica.public)
    listeners = [Listener(Private(application, observing, replica.limits), replica.private)] if replica.private else []
    guarded = Guard(application, replica.tokens) if replica.tokens else application
    sharing = asyncio.create_task(_share(application, replica.seat)) if replica.seat else None
    # A socket of its own is served at once and says that it is loading; a shared one belongs to the siblings until we are ready.
    if not replica.is_shared:
        listeners.append(Listener(guarded, replica.public, replica.tls))
    calls = [_grpc_listener(application, replica)] if replica.grpc else []
    addresses = {"address": address, **({"grpc": calls[0].address} if calls else {})}
    log.write("info", "starting", pid=os.getpid(), **addresses)
    if await _load(application.repository, stop):
        _check_privacy(observing, application.repository)
        application.health.is_started = True
        # What was loaded stays: the collector need not look through it again and again while requests are answered.
        gc.collect()
        gc.freeze()
        if replica.is_shared:
            listeners.append(Listener(guarded, replica.public, replica.tls))
        log.write("info", "ready", **addresses)
    fault = await _wait(stop, [*listeners, *calls])
    is_finished = await _drain(replica, application, listeners, calls, log)
    await asyncio.to_thread(observing.close)
    for each in (watcher, sharing):
        if each:
            each.cancel()
    if fault:
        raise ServingError(fault)
    if not (application.health.is_started and is_finished):
        os._exit(0)  # a thread still loads or predicts, and nobody waits for what it brings
    return 0


def _opened(replica: Replica) -> tuple[Log, Application]:
    """Return the log and the application, with nothing loaded yet."""
    known = {"model": replica.name, "version": replica.version} if replica.name and replica.version else {}
    log = Log({**known, "track": replica.track})
    health = Health(replica.name or SERVER_NAME, replica.version or SERVER_VERSION)
    repository = Repository(replica.layout, log, replica.limits)
    application = Application(
        repository, health, replica.track, log, replica.limits, replica.version, is_controlled=replica.is_controlled
    )
    return log, application


def _observing(replica: Replica, log: Log) -> Observing:
    payloads = Payloads(replica.payloads, replica.track, log) if replica.payloads else None
    return Observing(log, replica.log_share, payloads)


def _check_privacy(observing: Observing, repository: Repository) -> None:
    """Raise `ServingError` where what is to be hidden is nowhere among what was loaded."""
    if observing.payloads is not None:
        observing.payloads.privacy.check([each.served.manifest.signature for each in repository.versions() if each.served])


async def _share(application: Application, seat: Seat) -> None:
    """Keep what this worker counted where the others read it."""
    application.share = seat.shared
    while True:
        application.exposition()
        await asyncio.sleep(_SHARE_INTERVAL)


def _grpc_listener(application: Application, replica: Replica) -> "GrpcListener":
    if not find_spec("grpc"):
        msg = "--grpc needs the package grpcio, which is not installed: pip install 'mlops[grpc]'"
        raise ServingError(msg)
    from mlops.serving.grpc_listener import GrpcListener

    return GrpcListener(application, replica)


async def _drain(
    replica: Replica, application: Application, listeners: list[Listener], calls: list["GrpcListener"], log: Log
) -> bool:
    """Send every caller away, finish what is in flight and stop; return whether it was finished within the grace."""
    application.drain()
    log.write("info", "draining", seconds=replica.drain)
    # Workers are drained all at once: who stayed away from the socket would leave callers to nobody.
    if replica.is_shared and replica.seat is None and application.health.is_started:
        listeners[-1].stop_accepting()
    if application.health.is_started:
        await asyncio.sleep(replica.drain)
    # The private socket, which is the first, is the last to go: health is told until the end.
    every: list[Listener | GrpcListener] = [*calls, *reversed(listeners)]
    is_finished = all([await each.stop(replica.grace) for each in every])
    log.write("info" if is_finished else "warning", "stopped", is_finished=is_finished)
    return is_finished


def _stop_event() -> asyncio.Event:
    """Return the event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _load(repository: Repository, stop: asyncio.Event) -> bool:
    """Load all models; return whether that was done before the replica was told to stop. Raises `ServingError` for one that fails."""
    loop = asyncio.get_running_loop()
    loading, stopping = loop.create_task(repository.load_all()), loop.create_task(stop.wait())
    either: set[asyncio.Task[Any]] = {loading, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if loading.done():
        loading.result()
    return loading.done()


async def _wait(stop: asyncio.Event, listeners: "list[Listener | GrpcListener]") -> str | None:
    """Wait for the end; return what is wrong if it came from a listener and not from a signal."""
    stopping = asyncio.get_running_loop().create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, *(each.task for each in listeners)}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    return None if stop.is_set() else "a listener ended by itself"


def _shown(public: socket.socket) -> str:
    if public.family == socket.AF_UNIX:
        return f"unix:{public.getsockname()}"
    host, port = public.getsockname()[:2]
    return f"{host}:{port}"
