"""What the door to processes says to a supervisor, and to the private sockets of its replicas."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from mlops.core.errors import Refused, Unavailable
from mlops.world import supervisor
from mlops.world.failures import explained, explaining

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ANSWER = 5.0  # seconds for a supervisor, which does nothing that takes long
_POLL = 0.02
_QUESTION = b"GET /v2/health/ready HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n"
_NOBODY = (FileNotFoundError, ConnectionError)  # never there, killed, or killed just now


class Row(TypedDict):
    """One replica as its supervisor tells; `code` and `ended` are None while it lives. Times are seconds since 1970."""

    id: int
    pid: int
    labels: dict[str, str]
    private: str
    log: str
    since: float
    is_stopping: bool
    code: int | None
    ended: float | None


class Control:
    """The control socket of the supervisor that has `folder`, whether one runs or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def look(self) -> tuple[str | None, list[Row]] | None:
        """Return the supervisor's address (None: it is about to end) and its replicas, oldest first; None where none runs."""
        answer = self._ask("look")
        return None if answer is None else (answer["address"], answer["replicas"])

    def rows(self) -> list[Row]:
        """Return the replicas; raise Unavailable where the supervisor is gone."""
        return self._must("look")["replicas"]  # type: ignore[no-any-return] # JSON

    def start(self, program: Sequence[str], labels: dict[str, str], log: Path) -> int:
        """Start a replica; return its id."""
        return int(self._must("start", program=list(program), labels=labels, log=str(log))["id"])

    def stop(self, ids: Sequence[int], within: float) -> None:
        """End replicas and wait until they are gone; those that still run after `within` seconds are killed."""
        self._must("stop", ids=list(ids), within=within)
        until = time.monotonic() + within + _ANSWER
        while any(row["id"] in ids for row in self.rows()):
            if time.monotonic() > until:
                message = f"replicas of {self.folder.name} do not end, not even when they are killed"
                raise Unavailable(message, "look for processes in state D: a disk or network does not answer")
            time.sleep(_POLL)

    def shutdown(self, within: float) -> None:
        """End replicas and supervisor, wait until they are gone, and remove the folder; nothing happens where there is none."""
        if not self.folder.exists():
            return
        self._ask("shutdown", within=within)
        until = time.monotonic() + within + _ANSWER
        with explaining(self.folder), (self.folder / supervisor.LOCK).open("ab") as lock:
            while not _is_free(lock.fileno()):
                if time.monotonic() > until:
                    message = f"the supervisor {self.folder.name} does not end"
                    raise Unavailable(message, "see `ps` for mlops.world.supervisor; its replicas end with it when it is killed")
                time.sleep(_POLL)
            shutil.rmtree(self.folder)  # while we hold the lock

    def _must(self, do: str, **arguments: Any) -> dict[str, Any]:
        answer = self._ask(do, **arguments)
        if answer is None:
            message = f"the supervisor {self.folder.name} ended meanwhile, and its replicas with it"
            raise Unavailable(message, "apply again")
        return answer

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_ANSWER)
                connection.connect(str(self.folder / supervisor.CONTROL))
                connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    line = stream.readline()
        except _NOBODY:
            return None
        except TimeoutError as error:
            message = f"the supervisor {self.folder.name} does not answer"
            raise Unavailable(
                message, "see `ps` for mlops.world.supervisor: is it stopped? Its replicas end with it when it is killed"
            ) from error
        except OSError as error:
            raise explained(error, self.folder) from error
        return self._understood(line) if line.endswith(b"\n") else None

    def _understood(self, line: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(line)
        if answer.get("protocol", supervisor.PROTOCOL) != supervisor.PROTOCOL:
            message = f"the supervisor {self.folder.name} (process {answer.get('pid')}) was started by another version of mlops"
            raise Refused(message, f"`kill {answer.get('pid')}` drains and ends its replicas; then apply again")
        if "error" in answer:
            message = f"the supervisor {self.folder.name} could not do it: {answer['error']}"
            raise Refused(message, "mend that and apply again; replicas that serve go on")
        return answer


def ending(row: Row) -> str:
    """Return how and when the replica ended, in words; empty while it lives."""
    if row["code"] is None or row["ended"] is None:
        return ""
    how = f"signal {-row['code']}" if row["code"] < 0 else f"exit code {row['code']}"
    return f"{how} at {datetime.fromtimestamp(row['ended'], UTC):%Y-%m-%d %H:%M:%S} UTC"


def ready(rows: Sequence[Row], within: float) -> list[bool]:
    """Ask all replicas at once, by their private sockets, whether they are ready; who does not answer `within` seconds is not."""
    until = time.monotonic() + within
    with contextlib.ExitStack() as open_sockets:
        asked = [_asked(row["private"], within, open_sockets) for row in rows]
        return [connection is not None and _is_well(connection, until) for connection in asked]


def _asked(path: str, within: float, open_sockets: contextlib.ExitStack) -> socket.socket | None:
    connection = open_sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    connection.settimeout(within)
    try:
        connection.connect(path)
        connection.sendall(_QUESTION)
    except OSError:
        return None
    return connection


def _is_well(connection: socket.socket, until: float) -> bool:
    connection.settimeout(max(0.001, until - time.monotonic()))
    try:
        with connection.makefile("rb") as stream:
            return stream.read().split(b" ", 2)[1:2] == [b"200"]  # to the end, or the replica sees a caller break off
    except OSError:
        return False


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
