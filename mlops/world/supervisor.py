"""The supervisor of one fleet: it owns the listening socket, hands it to replicas, and outlives apply.

    python -P -m mlops.world.supervisor FOLDER HOST:PORT OWNER

`processes.Supervisors` starts it and is the only one to talk to it. It decides nothing and restarts nobody: it starts, stops and
tells what became of its replicas. One thread, the standard library only: it is small, and nothing in it can hang. FOLDER holds

    lock         locked while the supervisor lives: there is never a second one
    control      a unix socket; a connection is one request and one answer, each a line of JSON
    <id>         the private socket of a replica

Requests, by their "do":

    look                                → protocol, pid, address (null: about to end), replicas: [row]
    start     program, labels, log      → id       PROGRAM --fd N --private-uds PATH, output going to the file `log`
    stop      ids, within               → {}       SIGTERM now, SIGKILL after `within` seconds; rows of the dead are dropped
    shutdown  within                    → {}       stop all, then end

`labels` are the caller's own and come back in the rows. Before all that it writes one line of JSON to stdout, `{}` or what hinders it, and
goes on in the background. OWNER is read by people, in `ps` and where the port is in use.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

PROTOCOL = 1
LOCK = "lock"
CONTROL = "control"
BACKLOG = 4096  # connections that wait while no replica accepts; the kernel lowers it to its own limit
PATIENCE = 2.0  # seconds for a supervisor that was killed, and for its replicas, to leave the lock and the port
CLIENT = 1.0  # seconds that a caller may take to send its line
WITHIN = 30.0  # seconds for replicas to end when the supervisor itself is told to by SIGTERM
_LONGEST = 1 << 20  # bytes of a request
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
Result = TypeVar("Result")


@dataclass
class Replica:
    """One replica: the process, and what is told about it. Times are seconds since 1970, but `kill_at` is monotonic."""

    id: int
    labels: dict[str, str]
    private: str
    log: str
    process: subprocess.Popen[bytes]
    since: float = field(default_factory=time.time)
    is_stopping: bool = False
    kill_at: float | None = None
    code: int | None = None  # as subprocess has it: -9 for signal 9
    ended: float | None = None

    def row(self) -> dict[str, Any]:
        """Return what is told about the replica."""
        told = ("id", "labels", "private", "log", "since", "is_stopping", "code", "ended")
        return {"pid": self.process.pid, **{name: getattr(self, name) for name in told}}


class Supervisor:
    """The replicas of one listening socket, and the loop that serves requests about them."""

    def __init__(self, folder: Path, address: str, listening: socket.socket, control: socket.socket) -> None:
        self._folder = folder
        self._address = address
        self._listening = listening
        self._control = control
        self._replicas: dict[int, Replica] = {}
        self._last_id = 0
        self._is_ending = False

    def run(self) -> None:
        """Serve requests until told to end and all replicas are gone."""
        with selectors.DefaultSelector() as selector, _woken_by_signals() as woken:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while self._replicas or not self._is_ending:
                for key, _ in selector.select(self._until_kill()):
                    if key.fileobj is self._control:
                        self._serve()
                    elif signal.SIGTERM in woken.recv(4096):
                        self._shutdown(WITHIN)
                self._reap()

    def _serve(self) -> None:
        """Take one request and answer it; a caller that breaks off or talks nonsense harms nobody."""
        with contextlib.suppress(OSError):
            caller, _ = self._control.accept()
            with caller:
                caller.settimeout(CLIENT)
                if _user_of(caller) == os.getuid():
                    answer = self._answer(_line_from(caller))
                    caller.sendall(json.dumps(answer).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        verbs: dict[str, Callable[..., dict[str, Any] | None]] = {
            "look": self._look,
            "start": self._start,
            "stop": self._stop,
            "shutdown": self._shutdown,
        }
        try:
            request = json.loads(line)
            self._reap()
            return verbs[request.pop("do")](**request) or {}
        except (ValueError, KeyError, TypeError, AttributeError, OSError, subprocess.SubprocessError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _look(self) -> dict[str, Any]:
        rows = [replica.row() for replica in self._replicas.values()]
        address = None if self._is_ending else self._address
        return {"protocol": PROTOCOL, "pid": os.getpid(), "address": address, "replicas": rows}

    def _start(self, program: list[str], labels: dict[str, str], log: str) -> dict[str, Any]:
        if self._is_ending:
            return {"error": "the supervisor is about to end"}
        self._last_id += 1
        private = str(self._folder / str(self._last_id))
        fd = self._listening.fileno()
        with Path(log).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - an argv list from our own user; no shell
                [*program, "--fd", str(fd), "--private-uds", private],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(fd,),
                preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509 - one thread, so nothing can be locked in the child
            )
        self._replicas[self._last_id] = Replica(self._last_id, labels, private, log, process)
        return {"id": self._last_id}

    def _stop(self, ids: list[int], within: float) -> None:
        for replica in [self._replicas[each] for each in ids if each in self._replicas]:
            kill_at = time.monotonic() + within
            replica.kill_at = kill_at if replica.kill_at is None else min(replica.kill_at, kill_at)
            if not replica.is_stopping and replica.code is None:
                replica.process.terminate()
            replica.is_stopping = True
        self._reap()

    def _shutdown(self, within: float) -> None:
        self._is_ending = True
        self._stop(list(self._replicas), within)

    def _until_kill(self) -> float | None:
        times = [replica.kill_at for replica in self._replicas.values() if replica.kill_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _reap(self) -> None:
        """Note who ended; kill who is late; drop those who were told to end."""
        for replica in list(self._replicas.values()):
            if replica.code is None:
                replica.code = replica.process.poll()
                replica.ended = time.time() if replica.code is not None else None
            if replica.is_stopping and replica.code is not None:
                Path(replica.private).unlink(missing_ok=True)
                del self._replicas[replica.id]
            elif replica.kill_at is not None and time.monotonic() >= replica.kill_at:
                replica.process.kill()
                replica.kill_at = time.monotonic() + 1.0


def _dying_with(parent: int) -> Callable[[], None]:
    """Return what a child runs before its program: the kernel kills it when its parent dies, which may have happened already."""

    def arrange() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)

    return arrange


@contextlib.contextmanager
def _woken_by_signals() -> Iterator[socket.socket]:
    """Yield a socket on which the number of each signal that came is read, one byte each; SIGCHLD is the end of a replica."""
    woken, waker = socket.socketpair()
    with woken, waker:
        waker.settimeout(0.0)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        yield woken
        signal.set_wakeup_fd(-1)


def _user_of(caller: socket.socket) -> int:
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(user)


def _line_from(caller: socket.socket) -> bytes:
    with caller.makefile("rb") as stream:
        return stream.readline(_LONGEST)


def _lock(folder: Path) -> IO[bytes]:
    """Return the locked file that shows that the supervisor lives; raise BlockingIOError where another one does."""
    file = (folder / LOCK).open("ab")
    _persist(errno.EAGAIN, PATIENCE, lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))
    if not os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
        raise BlockingIOError(errno.EAGAIN, "the folder was removed meanwhile")
    return file


def _persist(passing: int, seconds: float, act: Callable[[], Result]) -> Result:
    """Do it; where it fails with the error number `passing`, try again for `seconds`."""
    until = time.monotonic() + seconds
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno != passing or time.monotonic() >= until:
                raise
        time.sleep(0.02)


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, place = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _open_control(folder: Path) -> socket.socket:
    """Return the control socket, in place of what a supervisor that was killed has left."""
    for left in folder.iterdir():
        if left.name != LOCK:
            left.unlink()
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(folder / CONTROL))
    control.listen(64)
    return control


def _into_background() -> None:
    """Leave the caller, who reads that all is well and then the end of our output; stderr stays."""
    if os.fork():
        sys.stdout.write("{}\n")
        sys.stdout.flush()
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(nothing, fd)
    os.close(nothing)


def main(arguments: list[str]) -> int:
    """Supervise until told to end; return 1, having written what hinders it, where that cannot begin."""
    folder, address = Path(arguments[0]), arguments[1]
    doing = "lock"
    try:
        lock = _lock(folder)
        doing = "listen"
        was_killed = (folder / CONTROL).exists()
        listening = _persist(errno.EADDRINUSE, PATIENCE if was_killed else 0.0, lambda: _listen(address))
        doing = "control"
        control = _open_control(folder)
    except OSError as error:
        if doing != "lock":  # the folder is ours
            shutil.rmtree(folder, ignore_errors=True)
        sys.stdout.write(json.dumps({"doing": doing, "errno": error.errno, "reason": error.strerror or str(error)}) + "\n")
        return 1
    _into_background()
    with lock, listening, control:
        Supervisor(folder, address, listening, control).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
