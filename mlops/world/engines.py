"""The door to Docker engines: opens one, and puts what its SDK raises into words; images, containers and steps go through it."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.core.errors import Refused, Unavailable, WorldError
from mlops.core.settings import OPEN_TO_ALL, Engine
from mlops.world import tunnels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient

SOCKET = "unix:///var/run/docker.sock"  # where Docker's own client looks when nothing is said
SECONDS = 60.0  # that one call may take
_SAID = (  # what an engine says, in lower case; what that means; what to do
    (
        "no space left on device",
        "its disk is full",
        "free some space there (docker system df, docker system prune); nothing is lost",
    ),
    ("is already in use by container", "{said}", "remove that container (docker rm --force NAME), or choose another name"),
    ("port is already allocated", "{said}", "choose another port, or stop what has it (docker ps)"),
    ("address already in use", "{said}", "choose another port, or stop what has it"),
    (
        "bind source path does not exist",
        "{said}",
        "is the engine on another machine, or mlops itself in a container? it mounts folders of its own machine",
    ),
    ("could not select device driver", "it has no driver for GPUs", "install the NVIDIA Container Toolkit on that machine"),
    ("http request to an https server", "it wants TLS", "name the folder of the certificates (tls)"),
    ("unauthorized", "{said}", "log in to the registry, or name the secret for it"),
)


@contextmanager
def opened(engine: Engine) -> Iterator[DockerClient]:
    """Open the engine for the block, whose errors of the SDK are put into words, too.

    Raises:
        Unavailable: it does not answer, or went away in the middle.
        Refused: there is none, it may not be used by this user, its certificate does not fit, or it said no.
    """
    client = open(engine)
    try:
        with explaining(engine):
            yield client
    finally:
        client.close()


def open(engine: Engine) -> DockerClient:  # noqa: A001 - called as engines.open
    """Return a client of the engine that has answered once; its user closes it, and calls it inside `explaining`.

    Raises:
        Unavailable, Refused: as `opened` does.
    """
    import docker

    host, folder = where(engine)
    with explaining(engine):
        url = tunnels.socket(host) if host.startswith("ssh://") else host
        tls = _certificates(folder) if folder is not None else False
        # The SDK asks for the version while it is being made. Then it would still heed REQUESTS_CA_BUNDLE and *_PROXY, which
        # are meant for the web: the engine's own authority would not count.
        api = docker.APIClient(url, version=docker.constants.MINIMUM_DOCKER_API_VERSION, tls=tls, timeout=SECONDS)
        api.trust_env = False
        try:
            version = api.version(api_version=False)["ApiVersion"]
        finally:
            api.close()
        client = docker.DockerClient(url, version=version, tls=tls, timeout=SECONDS)
        client.api.trust_env = False
        return client


def where(engine: Engine) -> tuple[str, Path | None]:
    """Return the URL of the engine, and the folder of its certificates; Docker's own variables say what the engine leaves open.

    Raises:
        Refused: DOCKER_HOST is no engine, or is open to all who reach it.
    """
    if engine.host is not None:
        return engine.host, Path(engine.tls).expanduser() if engine.tls else None
    host = os.environ.get("DOCKER_HOST") or SOCKET
    folder = os.environ.get("DOCKER_CERT_PATH") or "~/.docker"
    try:
        if host.startswith("tcp://") and os.environ.get("DOCKER_TLS_VERIFY"):
            return where(Engine(host=host, tls=folder))
        return where(Engine(host=host))
    except ValueError:
        if not host.startswith("tcp://"):
            message = f"DOCKER_HOST={host} is no engine"
            raise Refused(message, "set it to unix:///SOCKET, tcp://HOST:PORT or ssh://USER@HOST") from None
        message = f"DOCKER_HOST={host}: {OPEN_TO_ALL}"
        hint = (
            "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or say in the configuration that it is meant so: {host: …, tls: false}"
        )
        raise Refused(message, hint) from None


def is_here(engine: Engine) -> bool:
    """Tell whether the engine is on this machine, so that it mounts the folders that we see."""
    return where(engine)[0].startswith("unix://")


@contextmanager
def explaining(engine: Engine) -> Iterator[None]:
    """Turn what Docker's SDK raises in the block into the WorldError about this engine."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (DockerException, RequestException, HTTPError, ConnectionError, TimeoutError) as error:
        raise explained(error, engine) from error


def explained(error: Exception, engine: Engine) -> WorldError:
    """Return the WorldError that says what the SDK's `error` means."""
    from docker.errors import APIError, ImageNotFound, InvalidVersion

    name = f"the Docker engine at {where(engine)[0]}"
    if isinstance(error, ImageNotFound):
        return Refused(f"{name} has not the image: {_said(error)}", "pull it there (docker pull IMAGE), or build it")
    if isinstance(error, APIError):
        return _answered(error, name)
    if isinstance(error, InvalidVersion):
        return Refused(f"{name} is too old: {error}", "use Docker 20.10 or newer")
    for cause in _causes(error):
        if isinstance(cause, OSError) and (found := _unreached(cause, name, where(engine)[0])):
            return found
    return Unavailable(f"{name} broke off: {error}", "try again; is it running (docker info)?")


def _answered(error: Exception, name: str) -> WorldError:
    """Return what an answer of the engine means that is no success."""
    said = _said(error)
    for fragment, means, hint in _SAID:
        if fragment in said.lower():
            return Refused(f"{name} refused: {means.format(said=said)}", hint)
    status = getattr(error, "status_code", None)
    if status in (429, 502, 503, 504):
        return Unavailable(f"{name} cannot answer now ({status}): {said}", "try again")
    return Refused(f"{name} refused ({status}): {said}")


def _unreached(error: OSError, name: str, host: str) -> WorldError | None:
    """Return why there was no connection; None where this error does not tell."""
    path = host.removeprefix("unix://")
    match error:
        case ssl.SSLError():
            hint = "check ca.pem, cert.pem and key.pem, and the name in its certificate"
            found: WorldError | None = Refused(f"{name} was not trusted, or did not trust us: {error}", hint)
        case FileNotFoundError():
            hint = "start it, or say where it is (engine.host, or DOCKER_HOST)"
            found = Unavailable(f"there is no Docker engine at {host}: no such socket", hint)  # or it is being started anew
        case PermissionError():
            found = Refused(f"you have no permission on {path}, the socket of the Docker engine", _who_may(path))
        case ConnectionRefusedError():
            found = Unavailable(f"{name} is not running: nobody listens", "start it (systemctl start docker)")
        case TimeoutError():
            found = Unavailable(f"{name} did not answer in time", "try again; is it overloaded?")
        case socket.gaierror():
            found = Unavailable(f"{name} was not found: {error.strerror}", "check the name of the host")
        case _:
            found = None
    return found


def _who_may(path: str) -> str:
    try:
        group = Path(path).group()
    except (OSError, KeyError):
        return "ask its owner, or name another engine"
    return f"become a member of the group {group}, which is as mighty as root there: sudo usermod -aG {group} $USER; then log in anew"


def _said(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that led to it; urllib3 and requests hide the system's own in their arguments."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [*one.args, getattr(one, "reason", None), one.__context__, one.__cause__]


def _certificates(folder: Path) -> object:
    """Return the SDK's settings for TLS both ways."""
    from docker.tls import TLSConfig

    missing = [name for name in ("ca.pem", "cert.pem", "key.pem") if not (folder / name).is_file()]
    if missing:
        message = f"{folder} has no {', '.join(missing)}"
        raise Refused(message, "put the certificates of the engine there, under the names that Docker's own client looks for")
    return TLSConfig(client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")), ca_cert=str(folder / "ca.pem"), verify=True)
