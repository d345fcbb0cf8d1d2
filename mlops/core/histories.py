"""Histories: what the journal has to say of one resource: who did what to it, why, how it ended, and from which data."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - plain data, also for programs
from dataclasses import dataclass, field
from typing import Any

from mlops.core.states import Record  # noqa: TC001 - the same


@dataclass(frozen=True, slots=True)
class Run:
    """One apply or destroy; `owner` and `reason` are empty in journals that an older mlops wrote."""

    id: str
    at: str = ""
    owner: str = ""
    reason: str = ""  # as its user gave it
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one step of a run ended; `status` is empty where nothing ever said so: the run was cut off."""

    step: str
    status: str = ""
    seconds: float = 0.0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """What one run did to the resource. `record` is what holds after it, if anything; None where it changed nothing or forgot it."""

    run: Run
    at: str  # when the record was written, or else when the last step began or ended
    endings: tuple[Ending, ...]
    reasons: tuple[Mapping[str, Any], ...] = ()
    fields: tuple[tuple[str, Any, Any], ...] = ()  # path, before, after
    record: Record | None = None
    is_forgotten: bool = False
    until: str = ""  # when another record took its place; empty: it holds to this day


@dataclass(frozen=True, slots=True)
class Source:
    """What a record was made from: the outputs that were read, the record that made them, and what that was made from."""

    address: str
    outputs: Mapping[str, str]
    record: Record | None  # None: the journal does not know who made them
    sources: tuple[Source, ...] = field(default=())
