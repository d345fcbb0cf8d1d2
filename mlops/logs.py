"""Logs: an event becomes a JSON line in `.mlops/logs/<run>.jsonl`, with its run, plan, address and step.

The only importer of structlog, which is imported with the first event: planning does not pay for it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from mlops.core.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from mlops.core.events import Event

FOLDER = ".mlops/logs"
HIDDEN = "[secret]"


class Log:
    """The log of one run. A disk that is full ends the log, not the run: `failure` then says why."""

    def __init__(self, root: Path, run: str, now: Callable[[], datetime]) -> None:
        self.path = root / FOLDER / f"{run}.jsonl"
        self.failure: str | None = None
        self._now = now
        self._bound = {"run": run, "plan": ""}
        self._file: TextIO | None = None
        self._logger: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __call__(self, event: Event) -> None:
        """Write one line."""
        if self.failure is not None:
            return
        if event.name == "run-started":
            self._bound["plan"] = str(event.data["plan"])
        try:
            self._open()
            self._logger.msg(event.name, **self._bound, address=event.address, step=event.step, data=dict(event.data))
        except OSError as error:
            self.failure = f"{self.path}: {error.strerror}"

    def _open(self) -> None:
        if self._logger is not None:
            return
        import structlog

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[self._stamp, self._flatten, structlog.processors.JSONRenderer(ensure_ascii=False)],
            wrapper_class=structlog.BoundLogger,
        )

    def _stamp(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
        return {"at": self._now().isoformat(timespec="milliseconds"), **line}

    def _flatten(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
        """Put the event's data beside its address; a name that the line has already keeps its value."""
        data = line.pop("data")
        first = {name: line[name] for name in ("at", "event", "run", "plan", "address", "step")}
        return {**first, **{name: value for name, value in data.items() if name not in first}}


def hidden(value: Any, secrets: Sequence[str]) -> Any:
    """Return the JSON value with every secret in its texts replaced, should a library have put one into its message."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN) if secret else value
        return value
    if isinstance(value, dict):
        return {name: hidden(item, secrets) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(item, secrets) for item in value]
    return value


@dataclass(frozen=True)
class Lines:
    """Which lines of a log are wanted."""

    address: str | None = None
    step: str | None = None  # `address/name`, or a name alone
    since: datetime | None = None

    def has(self, line: str) -> bool:
        """Tell whether the line is one of them; one that was cut off by a full disk is none where anything is asked."""
        if self == Lines():
            return True
        try:
            data = json.loads(line)
        except ValueError:
            return False
        is_step = self.step is None or data["step"] == self.step or data["step"].endswith(f"/{self.step}")
        is_address = self.address is None or data["address"] == self.address
        return is_step and is_address and (self.since is None or datetime.fromisoformat(data["at"]) >= self.since)


def read(root: Path, run: str | None = None, wanted: Lines = Lines()) -> str:
    """Return the wanted lines of a run's log; of the last run where none is named.

    Raises:
        StateError: there is no such log.
    """
    found = sorted((root / FOLDER).glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    names = [path.stem for path in found]
    if not found:
        message = "there is no log yet"
        raise StateError(message, "a log is written by: mlops apply")
    if run is not None and run not in names:
        message = f"there is no log of run '{run}'"
        raise StateError(message, f"the last runs: {', '.join(names[-5:])}")
    path = found[names.index(run) if run is not None else -1]
    try:
        return "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if wanted.has(line))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise StateError(message) from None
