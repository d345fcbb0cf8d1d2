"""Tunnels to Docker engines behind SSH: the user's own `ssh` forwards the engine's socket to one of ours.

The SDK's own way needs paramiko, which knows nothing of ~/.ssh/config, agents and jump hosts as `ssh` does. A tunnel lives as
long as this process, and serves every client of the same engine.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from mlops.core.errors import Refused, Unavailable

SECONDS = 20.0  # that a tunnel may take to stand
_REMOTE = "/var/run/docker.sock"
_PASSING = ("refused", "timed out", "unreachable", "no route", "reset", "resolve", "closed by", "no answer")
_tunnels: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
_lock = Lock()


def socket(host: str) -> str:
    """Return `unix://SOCKET` through which the engine behind `ssh://USER@HOST:PORT/SOCKET` answers.

    Raises:
        Unavailable: the host does not answer.
        Refused: there is no `ssh`, or the host does not let us in.
    """
    with _lock:
        if host in _tunnels and _tunnels[host][0].poll() is not None:
            _close(host)
        if host not in _tunnels:
            _tunnels[host] = _dig(host)
        return f"unix://{_tunnels[host][1]}"


def _dig(host: str) -> tuple[subprocess.Popen[bytes], Path]:
    program = shutil.which("ssh")
    if program is None:
        message = f"there is no program 'ssh', which the engine at {host} needs"
        raise Refused(message, "install OpenSSH's client")
    url = urlsplit(host)
    ours = Path(tempfile.mkdtemp(prefix="mlops-ssh-"), "docker.sock")
    options = ["BatchMode=yes", "ExitOnForwardFailure=yes", f"ConnectTimeout={SECONDS:.0f}", "ServerAliveInterval=10"]
    command = [program, "-T", *(word for option in options for word in ("-o", option))]
    command += ["-L", f"{ours}:{url.path or _REMOTE}"]
    command += ["-p", str(url.port)] if url.port else []
    command += [f"{url.username}@{url.hostname}" if url.username else str(url.hostname), "cat"]
    with (ours.parent / "said").open("w") as said:
        # `cat` waits for what we never send: when we die, however we do, its input ends, and the tunnel with it.
        process = subprocess.Popen(  # noqa: S603 - an argv list, no word of which may begin with a dash (core.settings.Engine)
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
    until = time.monotonic() + SECONDS
    while not ours.exists():  # ssh makes it once it was let in
        if process.poll() is not None or time.monotonic() > until:
            raise _refusal(host, process, ours)
        time.sleep(0.02)
    return process, ours


def _refusal(host: str, process: subprocess.Popen[bytes], ours: Path) -> Refused | Unavailable:
    _end(process)
    said = (ours.parent / "said").read_text(errors="replace").strip() or "no answer"
    shutil.rmtree(ours.parent, ignore_errors=True)
    message = f"ssh does not reach the Docker engine at {host}: {said.splitlines()[-1]}"
    if any(word in said.lower() for word in _PASSING):
        return Unavailable(message, "try again; does `ssh` reach that host?")
    return Refused(message, "see that `ssh` gets there without a question: its key in the agent, the host among the known ones")


@atexit.register
def _close_all() -> None:
    for host in tuple(_tunnels):
        _close(host)


def _close(host: str) -> None:
    process, ours = _tunnels.pop(host)
    _end(process)
    shutil.rmtree(ours.parent, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()
