"""The door to processes: fleets of server replicas on this machine. kinds.rollout asks; `supervisor` keeps them while nobody does.

    /tmp/mlops-UID/NAME/     the supervisor's lock and sockets: short, because a unix socket's path has 107 bytes at most, and not below
                             TMPDIR or XDG_RUNTIME_DIR, which differ between the sessions of one user and end with them
    .mlops/run/NAME/VERSION  the model that the replicas serve; our own copy, so that the artifacts' folders may be cleaned
    .mlops/logs/NAME/        what supervisor and replicas wrote

NAME is the rollout's address and a hash of project folder, project and environment: whoever deploys again finds what an interrupted deploy
has left. Nothing is remembered between calls: each looks, and does what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops.core.errors import Refused
from mlops.core.worlds import ObservedFleet, ObservedReplica
from mlops.world import controls, deploying, hosts
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops.core.worlds import Fleet, Place
    from mlops.world.controls import Control, Row

PROGRAM = (sys.executable, "-P", "-m", "mlops.serving")
_HEALTH = 1.0  # seconds for a replica to say that it is ready, which takes less than one thousandth of that
_RUNTIME = Path("/tmp")  # noqa: S108 - the folder below it is checked to be ours alone


class Supervisors:
    """Fleets of one project and environment. `program` is the replica's argv, to which its flags are added."""

    def __init__(self, place: Place, program: Sequence[str] = PROGRAM) -> None:
        self._root = Path(place.root).resolve()
        self._owner = f"of project {place.project}, environment {place.environment}, in {self._root}"
        self._program = program

    def handle(self, name: str) -> Mapping[str, str]:
        """Return the handle that the fleet `name` of this project and environment has on this machine."""
        unique = hashlib.sha256(f"{name} {self._owner}".encode()).hexdigest()[:12]
        return {"host": hosts.name(), "machine": hosts.machine(), "supervisor": f"{name}-{unique}"}

    def look(self, handle: Mapping[str, str]) -> ObservedFleet:
        """Return what is found of a fleet: one question to its supervisor, one to each replica, all within a second.

        Raises:
            Refused: another machine holds it.
            Unavailable: the supervisor is there and does not answer.
        """
        _check_host(handle)
        found = _control(handle).look()
        if found is None:
            return ObservedFleet(None, ())
        address, rows = found
        return ObservedFleet(address, tuple(map(_observed, rows, controls.ready(rows, _HEALTH))))

    def deploy(self, fleet: Fleet, folder: Path, say: Callable[[str, float | None], None]) -> None:
        """Make it so, from whatever is found; no request is refused meanwhile.

        Raises:
            Refused: the port is taken, a new replica fails or is not ready in time; replicas that served before still do.
            Unavailable: the supervisor does not answer.
        """
        if sys.platform != "linux":
            message = f"replicas as local processes need Linux; this is {sys.platform}"
            raise Refused(message, "choose another target")
        handle = self.handle(fleet.name)
        if fleet.machine != handle["machine"]:
            message = f"the plan was made for another host (machine {fleet.machine}; this is {handle['host']}, machine {handle['machine']})"
            raise Refused(message, "apply the plan where it was made, or plan again here")
        run, logs = self._folders(handle)
        model = _copied(folder, run / fleet.version)
        with explaining(logs):
            logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        control = self._supervised(fleet, _control(handle), logs)
        program = [*self._program, "--model", str(model), "--name", fleet.model, "--version", fleet.version]
        deploying.Deployment(control, fleet, program, logs, say).run()
        _remove_others(run, model)

    def stop(self, handle: Mapping[str, str], drain: float) -> None:
        """Drain and end replicas and supervisor, and remove their files; nothing happens where there are none.

        Raises:
            Refused: another machine holds it.
        """
        _check_host(handle)
        _control(handle).shutdown(deploying.within(drain))
        run, _ = self._folders(handle)
        shutil.rmtree(run, ignore_errors=True)

    def _folders(self, handle: Mapping[str, str]) -> tuple[Path, Path]:
        name = Path(handle["supervisor"]).name
        return self._root / ".mlops" / "run" / name, self._root / ".mlops" / "logs" / name

    def _supervised(self, fleet: Fleet, control: Control, logs: Path) -> Control:
        """Return the control of a supervisor that holds the fleet's address: the one that runs, or a new one."""
        found = control.look()
        if found is not None and found[0] == fleet.address:
            return control
        if found is not None:  # from an interrupted deploy on another address, or an interrupted stop
            control.shutdown(deploying.within(fleet.drain))
        with explaining(control.folder):
            control.folder.mkdir(mode=0o700, exist_ok=True)
        deploying.launch(control.folder, fleet, f"{fleet.name} {self._owner}", logs / "supervisor.log")
        return control


def _check_host(handle: Mapping[str, str]) -> None:
    if handle["machine"] != hosts.machine():
        message = (
            f"{handle['supervisor'].rpartition('-')[0]} is held by host {handle['host']} (machine {handle['machine']}); "
            f"this is host {hosts.name()} (machine {hosts.machine()})"
        )
        raise Refused(message, f"run mlops on {handle['host']}; `mlops destroy` there, and it can be applied here")


def _control(handle: Mapping[str, str]) -> Control:
    return controls.Control(_runtime() / Path(handle["supervisor"]).name)


def _runtime() -> Path:
    """Return the folder of this user's sockets; anyone may write to /tmp, so it must be ours and closed to all others."""
    folder = _RUNTIME / f"mlops-{os.getuid()}"
    with explaining(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{folder} is not a folder that only you can enter (owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o})"
        raise Refused(message, "find out who made it, remove it and try again")
    return folder


def _copied(folder: Path, place: Path) -> Path:
    """Return `place` with a copy of the model folder; it appears whole or not at all."""
    if not place.is_dir():
        with explaining(place.parent):
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(dir=place.parent))
        with explaining(folder):
            shutil.copytree(folder, temporary / place.name, copy_function=shutil.copyfile)
            (temporary / place.name).rename(place)
    return place


def _remove_others(run: Path, model: Path) -> None:
    for other in run.iterdir():
        if other != model:
            shutil.rmtree(other, ignore_errors=True)


def _observed(row: Row, is_ready: bool) -> ObservedReplica:  # noqa: FBT001 - mapped over two lists
    state: Literal["ready", "unready", "stopping", "dead"] = "ready" if is_ready else "unready"
    if row["code"] is not None:
        state = "dead"
    elif row["is_stopping"]:
        state = "stopping"
    since = datetime.fromtimestamp(row["since"], UTC).isoformat(timespec="seconds")
    return ObservedReplica(row["pid"], row["labels"]["version"], state, since, controls.ending(row), row["log"])
