"""The door to containers that run one step each, on a Docker engine of this machine; implements `core.boxes.Boxes`."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from mlops.core.boxes import Ending
from mlops.core.errors import Unavailable
from mlops.world import engines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import DockerClient

    from mlops.core.boxes import Box
    from mlops.core.settings import Engine

_STDOUT = 1
_ENDS = 10.0  # seconds for the engine to notice that a container whose output ended has ended itself
_ATTACHED = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}


class DockerBoxes:
    """Containers on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cores(self, image: str) -> int:
        """Return the number of processors of the engine's machine; raise Refused where it does not have the image."""
        with engines.opened(self._engine) as client:
            client.images.get(image)
            return int(client.info()["NCPU"])

    def sweep(self, labels: Mapping[str, str]) -> None:
        """Remove the containers with these labels: a process that was killed has left them."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with engines.opened(self._engine) as client:
            for row in client.api.containers(all=True, filters={"label": wanted}):
                _remove(client, row["Id"])

    @contextmanager
    def open(self, box: Box) -> Iterator[AttachedBox]:
        """Start a container that hears and is heard; it is removed when the block ends."""
        with engines.opened(self._engine) as client:
            made = client.api.create_container(
                box.image,
                list(box.command),
                user=box.user,
                labels=dict(box.labels),
                environment={"HOME": "/tmp"},  # noqa: S108 - in the container: the one place that it may always write to
                stdin_open=True,
                host_config=_host_config(client, box),
            )["Id"]
            try:
                with closing(AttachedBox(client, made, self._engine)) as opened:
                    client.api.start(made)
                    yield opened
            finally:
                _remove(client, made)


class AttachedBox:
    """A container whose input, output and errors are ours; its input ends with our connection, and so with us."""

    def __init__(self, client: DockerClient, identity: str, engine: Engine) -> None:
        self._client, self._identity, self._engine = client, identity, engine
        self._stream = client.api.attach_socket(identity, params=_ATTACHED)
        self._socket = getattr(self._stream, "_sock", self._stream)  # what TLS gives is the socket itself
        self._socket.settimeout(None)  # a step may be silent for hours

    def send(self, line: bytes) -> None:
        """Give it a line; nothing happens where it reads no more."""
        with suppress(OSError):  # it has ended, and `lines` tells
            self._socket.sendall(line)

    def lines(self) -> Iterator[tuple[bool, bytes]]:
        """Yield (True, a line of its stdout) and (False, some bytes of its stderr) until it ends."""
        from docker.utils.socket import frames_iter

        begun = b""
        for stream, data in frames_iter(self._stream, tty=False):
            if stream != _STDOUT:
                yield False, data
                continue
            *whole, begun = (begun + data).split(b"\n")
            for line in whole:
                yield True, line

    def ending(self) -> Ending:
        """Return how it ended; raise Unavailable where it did not, so that only the engine can have broken off."""
        with engines.explaining(self._engine):
            self._client.api.wait(self._identity, timeout=_ENDS)
            state = self._client.api.inspect_container(self._identity)["State"]
        if state["Running"]:
            message = "the Docker engine broke off while the step ran"
            raise Unavailable(message, "try again; was it restarted?")
        return Ending(int(state["ExitCode"]), bool(state["OOMKilled"]))

    def kill(self) -> None:
        """End it at once; where the engine is gone, our connection to it is, and so is the container's input."""
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        with suppress(DockerException, RequestException):
            self._client.api.kill(self._identity)

    def close(self) -> None:
        """Let go of it."""
        self._stream.close()
        self._socket.close()


def _host_config(client: DockerClient, box: Box) -> Any:
    from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

    limits: dict[str, Any] = {}
    if box.memory is not None:
        # The group's limit kills; before, each process is told that there is no more, as the executor `local` does it.
        data = Ulimit(name="data", soft=box.memory, hard=box.memory)
        limits = {"mem_limit": box.memory, "memswap_limit": box.memory, "ulimits": [data]}
    if box.cpuset:
        limits["cpuset_cpus"] = ",".join(map(str, box.cpuset))
    if box.gpus:
        limits["device_requests"] = [DeviceRequest(device_ids=[str(gpu) for gpu in box.gpus], capabilities=[["gpu"]])]
    return client.api.create_host_config(
        init=True,  # so that the step is not process 1, which signals do not end
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode=box.network,
        mounts=[Mount(one.target or one.source, one.source, type="bind", read_only=one.readonly) for one in box.mounts],
        tmpfs=dict.fromkeys(box.tmpfs, "mode=1777"),
        log_config=LogConfig(type="none"),  # what it says is ours alone
        **limits,
    )


def _remove(client: DockerClient, identity: str) -> None:
    """Remove the container, running or not; what cannot be removed now is swept by the next apply."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    with suppress(DockerException, RequestException):
        client.api.remove_container(identity, force=True, v=True)
