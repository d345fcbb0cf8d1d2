"""What is wrong with the world while a command runs: a port that is taken, a full disk, another user, a held environment."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops.stores.sql import SqlStore
from mlops.world import owners
from mlops.world.clock import SystemClock

from shell import ROOT, free_port

NOBODY = "65534"


@dataclass
class Condition:
    """The command that commands begin with, the port that is meant, and names that differ from machine to machine."""

    prefix: tuple[str, ...] = ()
    port: int = 0
    names: tuple[str, ...] = ()


@contextmanager
def holding(name, folder):
    """Let the condition of that name hold inside."""
    with {None: _nothing, **_KNOWN}[name](folder) as condition:
        yield condition


@contextmanager
def _nothing(_folder):
    yield Condition()


@contextmanager
def _taken_port(_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield Condition(port=taken.getsockname()[1])


@contextmanager
def _free_port(_folder):
    yield Condition(port=free_port())


@contextmanager
def _held(folder):
    """Another process, which lives, holds the environment dev."""
    store = SqlStore("sqlite:///.mlops/state.db", folder, SystemClock(), owners.is_gone)
    owner = owners.owner()
    lease = store.acquire("dev", owner)
    try:
        yield Condition(names=(owner,))
    finally:
        store.release(lease)
        store.close()


@contextmanager
def _future(folder):
    """The state has a schema that only a newer mlops knows."""
    with closing(sqlite3.connect(folder / ".mlops" / "state.db")) as database, database:
        database.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    yield Condition()


@contextmanager
def _full(folder, where, size):
    """A tiny disk of its own stands at `where`; the mount ends with the process that sees it."""
    place = folder / where
    place.mkdir(parents=True, exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(place))}"
    _need(["unshare", "--mount", "sh", "-c", mount], "a disk that is full")
    yield Condition(prefix=("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"))


@contextmanager
def _nobody(folder, *, owned=True, closed=None):
    """Another user runs the command; the interpreter is mounted where that user may read it.

    That user owns the project or not; the file `closed` is root's.
    """
    script = f'{_opened()}exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups -- env HOME=/ "$@"'
    prefix = ("unshare", "--mount", "sh", "-e", "-c", script, "sh")
    _need([*prefix, sys.executable, "-c", "import mlops.cli"], "another user who may read this installation")
    for path in [folder, *folder.rglob("*")] if owned else ():
        os.chown(path, int(NOBODY), int(NOBODY))
    if closed is not None:
        os.chown(folder / closed, 0, 0)
        (folder / closed).chmod(0o600)
    yield Condition(prefix=prefix)


def _opened():
    """Return shell lines that let anybody read the interpreter and the package, where a folder above them is closed."""
    wanted = {Path(sys.base_prefix), Path(sys.prefix), ROOT}
    lines = []
    for path in sorted(wanted):
        closed = [above for above in reversed(path.parents) if not above.stat().st_mode & 0o001]
        if closed:
            stage = f"/mnt/{len(lines)}"
            lines.append((path, closed[0], stage))
    if not lines:
        return ""
    quoted = shlex.quote
    script = ["mount -t tmpfs -o mode=755 tmpfs /mnt"]
    script += [f"mkdir {stage} && mount --bind {quoted(str(path))} {stage}" for path, _, stage in lines]
    script += [f"mount -t tmpfs -o mode=755 tmpfs {quoted(str(top))}" for top in dict.fromkeys(top for _, top, _ in lines)]
    script += [f"mkdir -p {quoted(str(path))} && mount --bind {stage} {quoted(str(path))}" for path, _, stage in lines]
    return "".join(f"{line}\n" for line in script)


def _need(probe, what):
    """Skip, or fail in CI, where the probe does not work here."""
    why = "unshare is missing"
    if shutil.which(probe[0]):
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        why = done.stderr.strip()
    message = f"{what} cannot be had here: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


_KNOWN = {
    "taken port": _taken_port,
    "free port": _free_port,
    "held": _held,
    "future": _future,
    "full artifacts": lambda folder: _full(folder, ".mlops/artifacts", "4k"),
    "full state": lambda folder: _full(folder, ".mlops", "16k"),
    "another user": _nobody,
    "another user, not the owner": lambda folder: _nobody(folder, owned=False),
    "another user, closed model": lambda folder: _nobody(folder, closed="conf/model/buyer.yaml"),
    "another user, closed data": lambda folder: _nobody(folder, closed="data/people.csv"),
}
