"""Plans: what will change and why, and the graph of steps that apply obeys; JSON in and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.addresses import Address
    from mlops.core.diagnostics import Origin

FORMAT = "1.0"


class Action(StrEnum):
    """What happens to a resource; the value is the sign."""

    CREATE = "+"
    UPDATE = "~"
    REPLACE = "±"
    DELETE = "-"
    REUSE = "="
    RECORD = "≈"
    NOOP = " "


class Do(StrEnum):
    """What a step does when its turn comes."""

    RUN = "run"  # the op, unless its key turns out to be recorded (skip) or realised (reuse)
    REUSE = "reuse"  # take over outputs that are known for this key
    UNDO = "undo"  # the op that removes a kept thing
    FORGET = "forget"  # drop the record; bytes are left to garbage collection
    RECORD = "record"  # write the record anew; nothing runs


class When(StrEnum):
    """The closed list of conditions a step may carry."""

    RECORDED = "key-as-recorded"  # then skip
    REALISED = "key-realised"  # then reuse
    PASSED = "verdict-passed"  # else blocked


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a spec, before and after; None on the side where the resource does not exist."""

    path: str
    before: Any
    after: Any
    replaces: bool = False
    cosmetic: bool = False
    origin: Origin | None = None  # outside the plan id, so that reformatting YAML keeps it


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a resource changes.

    code        detail
    new         {}                                  nothing is recorded
    removed     {}                                  no longer desired
    spec        {}                                  fields of the spec changed: see `fields`
    input       {name, before, after, facts, facts_before}    something outside changed
    output      {ref, before, after}                an output that it reads is another one
    upstream    {refs}                              outputs that it reads will be made anew, and may come out equal
    drift       {found}                             the kept thing is not as recorded
    kind        {}                                  the kind's revision was raised
    unfinished  {}                                  the last change of it did not finish
    asked       {}                                  by --replace
    blocked     {tests}                             a required test is known to fail
    """

    code: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What will happen to one resource."""

    address: Address
    action: Action
    reasons: tuple[Reason, ...] = ()
    fields: tuple[FieldChange, ...] = ()
    condition: tuple[str, ...] = ()  # outputs that must come out different, or nothing runs
    blocked: tuple[str, ...] = ()  # tests that are known to fail
    reused_from: tuple[str, ...] = ()  # environments that made the outputs first
    seconds: float | None = None  # estimate, from history
    body: Mapping[str, Any] = field(default_factory=dict)  # the spec to record
    digest: str = ""
    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One node of the graph. `id` is `address/name`; `values` are the late values known when planned."""

    id: str
    address: Address
    name: str
    do: Do
    verb: str = ""
    op: Mapping[str, Any] = field(default_factory=dict)
    template: str = ""
    reads: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    when: tuple[When, ...] = ()
    gates: tuple[str, ...] = ()  # addresses of the tests whose verdict must be passed
    key: str | None = None  # None where a value is not known yet
    here: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The only input of apply. `id` is the digest of everything but origins, estimates and `id` itself."""

    format: str
    id: str
    project: str
    environment: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    records: Mapping[str, int]  # version of every record that the plan read; 0: there was none
    settings: Mapping[str, Any] = field(default_factory=dict)
    applyable: bool = True
    complete: bool = True
    errored: bool = False

    def changed(self) -> tuple[Change, ...]:
        """Return the changes that are not NOOP."""
        return tuple(change for change in self.changes if change.action is not Action.NOOP)
