"""Programs inside running containers: argv lists that the doors to replicas and proxies run, with their input on stdin.

An exec works over every connection to an engine (socket, TCP, SSH) and opens no port. Input has no end that the program could wait for: over TLS
half a connection cannot be closed. So every program reads as many lines or bytes as it was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import DockerClient

SECONDS = 30.0  # that a program may be silent
_STDOUT = 1
_LONGEST = 300  # characters of what a program says that stand in an error


def run(client: DockerClient, container: str, argv: Sequence[str], said: bytes = b"", seconds: float = SECONDS) -> bytes:
    """Run a program in a container, say `said` to it, and return what it writes to stdout.

    Raises:
        Refused: it failed, or the image has no such program.
        Unavailable: it was silent for `seconds`.
    """
    from docker.utils.socket import frames_iter

    made = client.api.exec_create(container, list(argv), stdin=bool(said), stdout=True, stderr=True)
    stream = client.api.exec_start(made["Id"], socket=True)
    connection = getattr(stream, "_sock", stream)  # of TLS it is the socket itself
    written: dict[int, list[bytes]] = {}
    try:
        connection.settimeout(seconds)
        if said:
            connection.sendall(said)
        for number, data in frames_iter(stream, tty=False):
            written.setdefault(number, []).append(data)
    except TimeoutError as error:
        message = f"{argv[0]} in container {container} did not answer within {seconds:g} s"
        raise Unavailable(message, "is the machine overloaded?") from error
    finally:
        stream.close()
        connection.close()
    code = client.api.exec_inspect(made["Id"])["ExitCode"]
    if code != 0:
        last = b"".join(part for number in sorted(written, reverse=True) for part in written[number])
        words = " ".join(last.decode(errors="replace").split())[-_LONGEST:]
        message = f"{argv[0]} in container {container} failed (exit code {code}): {words}"
        raise Refused(message, f"see docker logs {container}")
    return b"".join(written.get(_STDOUT, ()))
