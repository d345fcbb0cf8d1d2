"""The door to this machine as such: which one it is, and who listens on a port of it (Linux: /etc and /proc)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.worlds import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.worlds import World

_LISTENS = "0A"
_SUPERVISOR = "mlops.world.supervisor"


def machine() -> str:
    """Return the id of this machine: 12 hex digits that stay over a reboot.

    Of the machine id and the host name, because clones of a machine share the first and containers the second.
    """
    try:
        number = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        number = ""
    return hashlib.sha256(f"{number} {name()}".encode()).hexdigest()[:12]


def name() -> str:
    """Return the name of this host."""
    return socket.gethostname()


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def observe(_arguments: Mapping[str, Any], _world: World) -> Observation:
    """Answer the request `host`."""
    return Observation(machine(), {"name": name()})


def listener(port: int) -> str | None:
    """Return who listens on the TCP port, in words, or None where that cannot be seen (another user's process)."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    found = [pid for pid in _pids() if inodes & _sockets(pid)]
    supervisors = [pid for pid in found if _SUPERVISOR in _arguments(pid)]
    if supervisors:  # its replicas have the socket, too
        return f"{_arguments(supervisors[0])[-1]} (pid {supervisors[0]})"
    return f"{_command(found[0])} (pid {found[0]})" if found else None


def _listening(port: int) -> list[str]:
    """Return the inodes of listening TCP sockets on the port; columns as in proc(5): 1 address:port, 3 state, 9 inode."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            continue
        found += [row[9] for row in rows if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port]
    return found


def _pids() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):  # another user's, or gone meanwhile
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(str(fd.readlink()))
    return found


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
