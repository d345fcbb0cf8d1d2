"""The wire: what `mlops step` reads and writes, a line of JSON each, so that a step runs anywhere.

In goes the work: {"place", "step", "last", "secrets"}. Out come {"event"}, {"checkpoint"} and at last {"outcome"}. After a
checkpoint the step waits until the line `durable` comes in.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from mlops.core.events import Event
from mlops.core.executions import Checkpoint, Failure, Outcome, Status
from mlops.core.plans import Step
from mlops.core.settings import Allow, StoreSettings
from mlops.core.worlds import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

DURABLE = b"durable\n"


@dataclass(frozen=True, slots=True)
class Work:
    """One step to run, and where. `secrets` are environment variables; no argv, label or file has them."""

    place: Place
    step: Step
    last: Mapping[str, Any] | None
    secrets: Mapping[str, str]


def from_work(work: Work) -> bytes:
    """Return the line that asks for the work."""
    settings = {name: getattr(work.place, name).model_dump(mode="json") for name in ("allow", "store")}
    place = {**asdict(work.place), **settings}
    step = TypeAdapter(Step).dump_python(work.step, mode="json")
    return _line({"place": place, "step": step, "last": work.last, "secrets": dict(work.secrets)})


def to_work(line: bytes) -> Work:
    """Return the work that a line asks for.

    Raises:
        ValueError, KeyError, TypeError: it asks for none.
    """
    data = json.loads(line)
    told = data["place"]
    settings = {"allow": Allow.model_validate(told["allow"]), "store": StoreSettings.model_validate(told["store"])}
    place = Place(**{**told, **settings})
    return Work(place, TypeAdapter(Step).validate_python(data["step"]), data["last"], data["secrets"])


def from_message(message: Event | Checkpoint | Outcome) -> bytes:
    """Return the line that tells the message."""
    return _line({type(message).__name__.lower(): asdict(message)})


def to_message(line: bytes) -> Event | Checkpoint | Outcome:
    """Return the message that a line tells.

    Raises:
        ValueError, KeyError, TypeError: it tells none.
    """
    ((name, data),) = json.loads(line).items()
    if name == "outcome":
        failure = Failure(**data["failure"]) if data["failure"] is not None else None
        return Outcome(**{**data, "status": Status(data["status"]), "failure": failure})
    return Event(**data) if name == "event" else Checkpoint(**data)


def _line(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"
