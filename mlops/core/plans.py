"""Plans: what will change and why, and the graph of steps that apply obeys; JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlops.core.addresses import Address  # noqa: TC001 - pydantic reads the annotations
from mlops.core.diagnostics import Origin  # noqa: TC001 - pydantic reads the annotations
from mlops.core.digests import digest
from mlops.core.errors import PlanError

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
    """One field of a spec that is recorded and desired otherwise; None where the field is not there."""

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
    blocked     {tests: {address: [failing check]}} required tests are known to fail
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
    inputs: Mapping[str, Any] = field(default_factory=dict)  # facts of its inputs (rows, bytes), to record
    steps: tuple[str, ...] = ()  # names of all steps the resource has now; records of others are dropped


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
    records: Mapping[str, int] = field(default_factory=dict)  # versions of the records behind the changes; 0: there was none
    unchanged: int = 0  # resources that stay as they are
    settings: Mapping[str, Any] = field(default_factory=dict)
    applyable: bool = True
    complete: bool = True
    errored: bool = False

    def count(self, action: Action) -> int:
        """Return how many resources this happens to."""
        return self.unchanged if action is Action.NOOP else sum(change.action is action for change in self.changes)


def identify(plan: Plan) -> Plan:
    """Return the plan with its id filled in."""
    data = to_json(plan)
    del data["id"]
    for change in data["changes"]:
        del change["seconds"]
        for one in change["fields"]:
            del one["origin"]
    return replace(plan, id=digest(data))


def to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON, by the schema in schemas/plan.json."""
    return TypeAdapter(Plan).dump_python(plan, mode="json")  # type: ignore[no-any-return]


def from_json(data: Any) -> Plan:
    """Return the plan written by `to_json`; keys that a newer minor format added are ignored.

    Raises:
        PlanError: it is no plan, of another major format, or was edited (its id does not match).
    """
    if not isinstance(data, dict) or not isinstance(data.get("format"), str):
        message = "this file is no plan"
        raise PlanError(message, "write one with: mlops plan --out plan.json")
    if data["format"].partition(".")[0] != FORMAT.partition(".")[0]:
        message = f"the plan has format {data['format']}, this mlops reads {FORMAT}"
        raise PlanError(message, "plan again with the mlops that applies it")
    try:
        plan = TypeAdapter(Plan).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = (
            f"the plan is damaged: {place} is {'missing' if first['type'].startswith('missing') else 'none that a plan can have'}"
        )
        raise PlanError(message, "plan again") from None
    if identify(plan).id != plan.id:
        message = "the plan was edited after it was made: its id does not match its content"
        raise PlanError(message, "plan again; a plan is applied as it was reviewed")
    return plan
