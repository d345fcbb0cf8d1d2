"""One deploy of a fleet: new replicas are started and get ready before old ones are drained.

`processes` calls it. It can be killed between any two lines: the supervisor goes on with what it was told, and the next deploy looks anew.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused, Unavailable, WorldError
from mlops.world import controls, hosts, secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from mlops.core.worlds import Fleet
    from mlops.world.controls import Control, Row

_CLOSING = 0.5  # seconds in which a replica asks its clients to leave, before what is in flight is counted
_MARGIN = 2.0  # seconds for a replica to end once nothing is in flight
_PATIENCE = 5.0  # seconds for a replica that may be busy to say whether it is ready, before it is taken for hung
_POLL = 0.02
_LAST_LINES = 5
_SAYS = "mlops-serve: "  # how `mlops.serving` begins the one line in which it gives up
_KEPT_LOGS = 20  # of replicas that ended; the names begin with the time


def within(drain: float) -> float:
    """Return the seconds after which a replica that was told to end is killed."""
    return _CLOSING + drain + _MARGIN


def launch(folder: Path, fleet: Fleet, owner: str, log: Path) -> None:
    """Start the supervisor that has `folder`; return once it listens. Its session is its own, and no secret is in its environment.

    Raises:
        Refused: the address cannot be listened on.
        Unavailable: another supervisor has the folder, and does not answer.
    """
    program = [sys.executable, "-P", "-m", "mlops.world.supervisor", str(folder), fleet.address, owner]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(secrets.PREFIX)}
    with log.open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - an argv list; nothing of it is run by a shell
            program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            cwd="/",
            env=environment,
            check=False,
        )
    if ended.returncode != 0:
        raise _hindrance(ended.stdout, fleet, log)


def _hindrance(told: bytes, fleet: Fleet, log: Path) -> WorldError:
    try:
        hindrance: dict[str, Any] = json.loads(told)
    except ValueError:
        return Refused(f"the supervisor of {fleet.name} does not start", f"see {log}")
    if hindrance["doing"] == "lock":
        return Unavailable(f"another supervisor of {fleet.name} is about to start or to end", "try again")
    if hindrance["doing"] == "listen":
        return _unusable(fleet, hindrance)
    return Refused(f"the supervisor of {fleet.name} does not start: {hindrance['reason']}", f"see {log}")


def _unusable(fleet: Fleet, hindrance: dict[str, Any]) -> Refused:
    """Return what is wrong with the address."""
    if hindrance["errno"] == errno.EADDRINUSE:
        who = hosts.listener(fleet.port) or "a process of another user"
        message = f"port {fleet.port} of {fleet.host} is in use by {who}"
        return Refused(message, "stop that, or choose another port in the target, or with `port:` in the rollout")
    if hindrance["errno"] in (errno.EACCES, errno.EPERM):
        message = f"port {fleet.port} of {fleet.host} may not be opened: {hindrance['reason']}"
        return Refused(message, "choose a port from 1024 on: those below need privileges")
    message = f"this machine cannot listen on {fleet.host}: {hindrance['reason']}"
    return Refused(message, "127.0.0.1 is this machine alone, 0.0.0.0 every network that it is in")


class Deployment:
    """The replicas of a fleet on their way to what is wanted. `program` is the argv of a replica; `say` hears how it goes."""

    def __init__(
        self, control: Control, fleet: Fleet, program: Sequence[str], logs: Path, say: Callable[[str, float | None], None]
    ) -> None:
        self._control = control
        self._fleet = fleet
        self._program = program
        self._logs = logs
        self._say = say

    def run(self) -> None:
        """Keep the replicas that are right, start those that are missing, and once these are ready end all others."""
        found = self._control.rows()
        kept = self._right(found)[: self._fleet.replicas]
        new: list[int] = []
        try:
            self._bring_up(new, self._fleet.replicas - len(kept), _at_once(found))
        except BaseException:
            self._take_back(new)
            raise
        self._end([row for row in found if row["id"] not in kept])
        self._await_ready([*kept, *new])  # none may have been lost meanwhile
        self._remove_old_logs()

    def _bring_up(self, new: list[int], count: int, at_once: int) -> None:
        """Add `count` replicas to `new`, some at a time, so that each has the time of the spec for itself."""
        while len(new) < count:
            for _ in range(min(at_once, count - len(new))):
                new.append(self._start())  # noqa: PERF401 - what was started must be known where the next start fails
            self._await_ready(new)
            self._say(f"{len(new)} of {count} new replicas ready", len(new) / count)

    def _labels(self) -> dict[str, str]:
        return {"model": self._fleet.model, "version": self._fleet.version}

    def _right(self, rows: list[Row]) -> list[int]:
        """Return the replicas that serve what is wanted; one that is not ready is hung, or not worth waiting for."""
        is_ready = controls.ready(rows, _PATIENCE)
        candidates = [row for row, is_well in zip(rows, is_ready, strict=True) if is_well and not row["is_stopping"]]
        return [row["id"] for row in candidates if row["labels"] == self._labels()]

    def _start(self) -> int:
        log = self._logs / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{self._fleet.version}.log"
        grace = ["--grace", str(self._fleet.drain)]
        return self._control.start([*self._program, "--drain", str(_CLOSING), *grace], self._labels(), log)

    def _await_ready(self, ids: list[int]) -> None:
        until = time.monotonic() + self._fleet.ready_timeout
        while True:
            rows = [row for row in self._control.rows() if row["id"] in ids]
            self._check(rows, len(ids))
            left = until - time.monotonic()
            is_ready = controls.ready(rows, max(_POLL, min(left, _PATIENCE)))
            if all(is_ready):
                return
            if left <= 0:
                raise self._late(rows[is_ready.index(False)])
            time.sleep(_POLL)

    def _check(self, rows: list[Row], count: int) -> None:
        """Raise where one of `count` replicas ended."""
        for row in rows:
            if row["code"] is not None:
                message = (
                    f"a replica of {self._fleet.model} {self._fleet.version} died ({controls.ending(row)}): {_reason(row['log'])}"
                )
                raise Refused(message, f"its log is {row['log']}")
        if len(rows) < count:
            message = f"replicas of {self._fleet.name} were stopped by another hand"
            raise Unavailable(message, "apply again")

    def _late(self, row: Row) -> Refused:
        seconds = f"{self._fleet.ready_timeout:g} s"
        lines = "".join(f"\n  {line}" for line in _last_lines(row["log"], _LAST_LINES)) or " nothing"
        message = f"a replica of {self._fleet.model} {self._fleet.version} was not ready within {seconds}; it wrote last:{lines}"
        return Refused(message, f"its log is {row['log']}; raise `ready_timeout` if it only needs longer")

    def _take_back(self, new: list[int]) -> None:
        """End the new replicas; with nothing else there, the supervisor too, so that it does not hold the port for nobody."""
        with contextlib.suppress(WorldError):  # what went wrong before is what is told
            self._control.stop(new, _MARGIN)
            if not self._control.rows():
                self._control.shutdown(_MARGIN)

    def _end(self, others: list[Row]) -> None:
        alive = sum(row["code"] is None for row in others)
        if alive:
            self._say(f"draining {alive} replica{'s' if alive > 1 else ''}", None)
        self._control.stop([row["id"] for row in others], within(self._fleet.drain))

    def _remove_old_logs(self) -> None:
        used = {row["log"] for row in self._control.rows()}
        by_time = sorted(self._logs.glob("*T*-*.log"))
        for log in by_time[:-_KEPT_LOGS]:
            if str(log) not in used:
                log.unlink(missing_ok=True)


def _at_once(found: list[Row]) -> int:
    """Return how many replicas may start together: one per core, and only one where others need the cores to answer."""
    is_serving = any(row["code"] is None for row in found)
    return 1 if is_serving else len(os.sched_getaffinity(0))


def _reason(log: str) -> str:
    """Return why a replica ended: the line in which the server says so, for libraries may write after it; else its last line."""
    lines = _last_lines(log, _LAST_LINES * 4)
    own = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
    return [*lines, *own][-1] if lines else "it wrote nothing"


def _last_lines(log: str, count: int) -> list[str]:
    """Return the last lines of a log that are not blank."""
    try:
        with open(log, "rb") as file:  # noqa: PTH123 - as the supervisor told it
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]
