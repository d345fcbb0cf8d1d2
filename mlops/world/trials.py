"""Trials: short runs of an image on an engine, which `images` asks for: what a base is, and whether an image of ours serves.

A trial ends itself: the program that asks stops the server, whoever started it may be gone. What a killed client leaves in the moments
before is found by its labels and removed by the next trial.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused
from mlops.core.images import Tried
from mlops.world import execs, owners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import DockerClient
    from docker.models.containers import Container

    from mlops.core.images import Trial

_TRIAL = "dev.mlops.trial"  # the label with the process that tries
_SHOWN = 20  # lines of a log in a message
_MARGIN = 30.0  # seconds for the answers
_PYTHONS = ("python3", "python")

_PROBE = """
import importlib.util, json, os, platform, sys
def words(path, mark):
    try:
        with open(path, encoding="utf-8") as file:
            return dict(line.rstrip().split(mark, 1) for line in file if mark in line)
    except OSError:
        return {}
packages = []
try:
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as file:
        for part in file.read().split("\\n\\n"):
            found = dict(line.split(": ", 1) for line in part.splitlines() if ": " in line and not line.startswith(" "))
            if "Version" in found and found.get("Status", "").endswith(" installed"):
                packages.append([found["Package"], found["Version"], found["Architecture"]])
except OSError:
    pass
libc = platform.libc_ver()
if not libc[0]:
    import glob
    libc = ("musl", "1.2") if glob.glob("/lib/ld-musl-*") else ("unknown", "0.0")
print(json.dumps({
    "python": {
        "executable": sys.executable,
        "version": "%d.%d" % sys.version_info[:2],
        "magic": importlib.util.MAGIC_NUMBER.hex(),
    },
    "machine": platform.machine(),
    "libc": libc,
    "distribution": words("/etc/os-release", "=").get("ID", "").strip('"'),
    "packages": sorted(packages),
}))
"""

_ASK = """
import http.client, json, os, signal, sys, time
said = sys.stdin.buffer.read(int(sys.argv[1]))
asked = json.loads(said)
def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=30)
    connection.request(method, path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")
def is_ready():
    try:
        return ask("GET", "/v2/health/ready")[0] == 200
    except OSError:
        return False
try:
    until = time.monotonic() + asked["seconds"]
    while not (ready := is_ready()) and time.monotonic() < until:
        time.sleep(0.01)
    path = "/v2/models/%s/infer" % asked["model"]
    print(json.dumps({"ready": ready, "answers": [ask("POST", path, body.encode()) for body in asked["bodies"]] if ready else []}))
finally:
    os.kill(1, signal.SIGTERM)
"""


def probe(client: DockerClient, image: str, name: str) -> dict[str, Any]:
    """Return what the base's own Python tells of itself and of the distribution around it.

    Raises:
        Refused: there is no Python in it, or none that runs.
    """
    from docker.errors import APIError

    said = b""
    for python in _PYTHONS:
        with _container(client, image, entrypoint=[python], command=["-I", "-c", _PROBE]) as container:
            with _attached(client, container) as stream:
                try:
                    container.start()
                except APIError as error:
                    if "not found" in str(error) or "no such file" in str(error):
                        continue
                    raise
                said = b"".join(data for _, data in stream)
            break
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError as error:
        words = f", and said: {said.decode(errors='replace').strip()[:300]}" if said else ""
        message = f"the base image {name} has no Python that runs{words}"
        raise Refused(message, "name an image that has, for example one of Python's own, slim ones") from error
    return found


def prove(client: DockerClient, image: str, trial: Trial) -> Tried:
    """Start the image, wait until it is ready, ask, and remove the container.

    Raises:
        Refused: it ended by itself or was not ready in time; the message has what it wrote last.
    """
    from docker.errors import APIError

    _sweep(client)
    client.api.timeout = trial.ready_timeout + _MARGIN
    python = client.images.get(image).attrs["Config"]["Entrypoint"][0]
    heard: list[bytes] = []
    failure: Exception | None = None
    how = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
    with _container(client, image, **how) as container, _attached(client, container) as stream:
        listening = Thread(target=_listen, args=(stream, heard), daemon=True)
        listening.start()
        container.start()
        try:
            started = client.api.inspect_container(container.id)["State"]["StartedAt"]
            answer = _asked(client, container, python, trial)
        except (APIError, Refused, ValueError) as error:
            failure = error
        _remove(container)
        listening.join(_MARGIN)
    if failure is not None:
        raise _ended(heard) from failure
    if not answer["ready"]:
        raise _late(heard, trial)
    answers = tuple((status, body.encode()) for status, body in answer["answers"])
    return Tried(_ready_after(started, heard), answers)


def _asked(client: DockerClient, container: Container, python: str, trial: Trial) -> dict[str, Any]:
    """Ask inside the container, once it is ready; the program that asks stops the server at the end."""
    bodies = [body.decode() for body in trial.bodies]
    asked = {"port": trial.port, "model": trial.model, "seconds": trial.ready_timeout, "bodies": bodies}
    said = json.dumps(asked).encode()
    argv = [python, "-I", "-c", _ASK, str(len(said))]
    answer: dict[str, Any] = json.loads(execs.run(client, str(container.id), argv, said, trial.ready_timeout + _MARGIN))
    return answer


@contextmanager
def _container(client: DockerClient, image: str, **how: Any) -> Iterator[Container]:
    """Make a container without network that the engine removes when it ends, and we in any case."""
    container = client.containers.create(image, network_mode="none", auto_remove=True, labels={_TRIAL: owners.owner()}, **how)
    try:
        yield container
    finally:
        _remove(container)


def _remove(container: Container) -> None:
    from docker.errors import APIError

    with suppress(APIError):  # it is gone already, or just going
        container.remove(force=True)


@contextmanager
def _attached(client: DockerClient, container: Container) -> Iterator[Iterator[tuple[int, bytes]]]:
    """Give what the container writes, from its first word on, as (stream, bytes)."""
    from docker.utils.socket import frames_iter

    stream = client.api.attach_socket(container.id, {"stdout": 1, "stderr": 1, "stream": 1, "logs": 1})
    connection = getattr(stream, "_sock", stream)  # of TLS it is the socket itself
    try:
        connection.settimeout(None)
        yield frames_iter(stream, tty=False)
    finally:
        stream.close()
        connection.close()


def _sweep(client: DockerClient) -> None:
    """Remove the containers of processes of this machine that were killed."""
    from docker.errors import APIError

    for row in client.api.containers(all=True, filters={"label": [_TRIAL]}):
        if owners.is_gone(row["Labels"][_TRIAL]):
            with suppress(APIError):
                client.api.remove_container(row["Id"], force=True)


def _listen(stream: Iterator[tuple[int, bytes]], heard: list[bytes]) -> None:
    with suppress(Exception):  # the connection breaks with the container; what was heard counts
        heard.extend(data for _, data in stream)


def _lines(heard: list[bytes]) -> list[str]:
    return b"".join(heard).decode(errors="replace").splitlines()


def _ended(heard: list[bytes]) -> Refused:
    message = "the image ended by itself when it was started to be proved; it wrote:\n  " + "\n  ".join(_lines(heard)[-_SHOWN:])
    return Refused(message, "does it lack a package? `packages` of the container adds some")


def _late(heard: list[bytes], trial: Trial) -> Refused:
    wrote = "\n  ".join(_lines(heard)[-_SHOWN:])
    message = f"the image was not ready within {trial.ready_timeout:g} s; it wrote:\n  {wrote}"
    return Refused(message, "raise `ready_timeout`, where the model takes that long to load")


def _ready_after(started: str, heard: list[bytes]) -> float:
    """Return seconds between the engine's start of the container and the server's line that it is ready: one clock wrote both."""
    begin = datetime.fromisoformat(started)
    for line in _lines(heard):
        with suppress(ValueError):
            entry = json.loads(line)
            if entry.get("event") == "ready":
                return max(0.0, (datetime.fromisoformat(entry["time"]) - begin).total_seconds())
    message = "the image answers, and never said that it is ready"
    raise Refused(message, "is its entry point mlops.serving?")
