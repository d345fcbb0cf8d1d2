"""Explanations: why one resource changes or stays: what its keys are made of, as recorded and as they are now."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mlops.core.addresses import Address  # noqa: TC001 - the same
from mlops.core.plans import Change, Do  # noqa: TC001 - the same


class Comparison(StrEnum):
    """How a part of a key stands to what is recorded."""

    SAME = "same"
    CHANGED = "changed"
    NEW = "new"  # nothing is recorded to compare with
    UNKNOWN = "unknown"  # it exists only once another step is done


@dataclass(frozen=True, slots=True)
class Part:
    """One value that a step's key is made of."""

    name: str  # of the input, or the reference of the output
    sort: str  # input, output or baseline
    comparison: Comparison
    before: Any = None
    after: Any = None
    door: str = ""  # who was asked for an input: file, packages, code, …
    facts_before: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Outputs that are known for the step's key, and where they were first made."""

    environment: str
    address: str
    at: str


@dataclass(frozen=True, slots=True)
class StepExplanation:
    """One step: what it will do, and what its key is made of; `op` is all that the spec itself says."""

    name: str
    do: Do | None  # None: it stays as recorded
    op: Comparison
    parts: tuple[Part, ...]
    key_before: str | None = None
    key: str | None = None  # None: not known yet
    at: str = ""  # when it was done last
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """A test that must have passed; `passed` None: it is to be judged first."""

    address: Address
    passed: bool | None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of one resource; `change` None: nothing happens to it."""

    address: Address
    change: Change | None
    steps: tuple[StepExplanation, ...] = ()
    reads: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    deferred: str = ""  # why it cannot be planned yet
