"""The door to who we are: the owner that a lease names, and whether such an owner is still alive."""

from __future__ import annotations

import getpass
import os
import re
import socket
from pathlib import Path

_owner = re.compile(r".*@(?P<host>\S+) \(process (?P<pid>\d+), started (?P<start>\d+)\)")


def owner() -> str:
    """Return this process in words: user, host, process id, and its start in clock ticks, which tells reused ids apart."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()}, started {_started(os.getpid())})"


def person() -> str:
    """Return who we are, for people: USER@HOST."""
    return owner().partition(" (")[0]


def is_gone(text: str) -> bool:
    """Tell whether the owner was a process of this host that no longer runs. Of other hosts nothing is known."""
    match = _owner.fullmatch(text)
    if match is None or match["host"] != socket.gethostname():
        return False
    return _started(int(match["pid"])) != int(match["start"])


def _started(pid: int) -> int:
    """Return when the process started, in clock ticks since boot (proc(5), field 22), or 0 where it is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[19]) if fields[0] not in "ZX" else 0
