"""Plans: what will change and why, and the graph of steps that apply obeys; JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlops.core.addresses import Address  # noqa: TC001 - pydantic reads the annotations
from mlops.core.diagnostics import Diagnostic, Origin  # noqa: TC001 - pydantic reads the annotations
from mlops.core.digests import canonical, digest
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
    MOVE = "→"
    IMPORT = "←"
    FORGET = "×"
    NOOP = " "


class Do(StrEnum):
    """What a step does when its turn comes."""

    RUN = "run"  # the op, unless its key turns out to be recorded (skip) or realised (reuse)
    REUSE = "reuse"  # take over outputs that are known for this key
    UNDO = "undo"  # the op that removes a kept thing
    FORGET = "forget"  # drop the record; bytes are left to garbage collection
    RECORD = "record"  # write the record anew; nothing runs
    MOVE = "move"  # write the record under its new address, and drop it under the old one
    IMPORT = "import"  # take over the outputs that are given
    SWEEP = "sweep"  # the op that removes the old of a kept thing, once the new is there


class When(StrEnum):
    """The closed list of conditions a step may carry."""

    RECORDED = "key-as-recorded"  # then skip
    REALISED = "key-realised"  # then reuse
    PASSED = "verdict-passed"  # else blocked
    ACCEPTED = "key-not-rejected"  # else blocked


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
    drift       {found}                             the kept thing, or an artifact, is not as recorded
    kind        {}                                  the kind's revision was raised
    unfinished  {}                                  the last change of it did not finish
    asked       {}                                  by --replace
    moved       {from}                              `moved` says that it had another address
    guard       {protected}                         its lifecycle prevents that it is destroyed, or does so no longer
    imported    {outputs}                           `import` says that they are there already
    forgotten   {}                                  `removed` says that it is mlops's no more
    blocked     {tests: {address: [failing check]}} required tests are known to fail
    rejected    {at, by, reason}                    a delivery of this very version was taken back
    undone      {at}                                `mlops rollout undo` goes back to the version that was recorded then
    unattended  {since}                             its delivery is half-done, and nobody drives it
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
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of steps that stay but read under new names
    protected: bool = False  # to record: its lifecycle prevents that it is destroyed
    moved_from: Address | None = None  # its address so far

    @property
    def is_blocked(self) -> bool:
        """Tell whether nothing of it will run, as far as is known."""
        return bool(self.blocked) or any(reason.code == "rejected" for reason in self.reasons)

    notes: tuple[str, ...] = ()  # what the kind has to say of it to who reads the plan


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
    unknown: tuple[str, ...] = ()  # the late values that exist only when their turn comes, by sort and source
    outputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    when: tuple[When, ...] = ()
    gates: tuple[str, ...] = ()  # addresses of the tests whose verdict must be passed
    key: str | None = None  # None where a value is not known yet
    here: bool = False
    given: Mapping[str, str] = field(default_factory=dict)  # outputs that are imported


@dataclass(frozen=True, slots=True)
class Observed:
    """Something outside that the plan depends on: which door was asked, what it answered, and who reads the answer."""

    door: str
    arguments: Mapping[str, Any]
    value: Any
    readers: Mapping[str, str]  # address → name of the input


@dataclass(frozen=True, slots=True)
class Standing:
    """A desired test whose recorded verdict is not passed, and which the plan does not judge anew."""

    address: Address
    at: str  # when it was judged; UTC, ISO 8601
    checks: tuple[Mapping[str, Any], ...] = ()  # those that did not pass


@dataclass(frozen=True, slots=True)
class Plan:
    """The only input of apply. `id` is the digest of everything but origins, estimates and `id` itself.

    Three facts: `errored`, it has problems, is to be read and never applied; `complete`, once it is applied nothing is left
    to do; `applyable`, there is something to do, and it may be done.
    """

    format: str
    id: str
    project: str
    environment: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    records: Mapping[str, int] = field(default_factory=dict)  # versions of the records behind the changes; 0: there was none
    unchanged: int = 0  # resources that stay as they are
    standing: tuple[Standing, ...] = ()  # verdicts that stay, and are not passed
    observed: tuple[Observed, ...] = ()  # inputs of the steps
    drift: Mapping[str, Any] = field(default_factory=dict)  # kept things behind the changes, as found; null: as recorded
    deferred: Mapping[str, str] = field(default_factory=dict)  # address → why it cannot be planned yet
    problems: tuple[Diagnostic, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # the project's, without secrets: apply needs no YAML
    options: Mapping[str, Any] = field(default_factory=dict)  # what the plan was asked for, for people
    interrupted: tuple[str, ...] = ()  # steps that the last run began and did not end
    applyable: bool = True
    complete: bool = True
    errored: bool = False

    def count(self, action: Action) -> int:
        """Return how many resources this happens to."""
        return self.unchanged if action is Action.NOOP else sum(change.action is action for change in self.changes)


def identify(plan: Plan) -> Plan:
    """Return the plan with its id filled in."""
    return replace(plan, id=_identity(to_json(plan)))


def _identity(data: Mapping[str, Any]) -> str:
    """Return the digest of a plan's JSON; what a newer minor format added counts too."""
    changes = [
        {**_without(change, "seconds"), "fields": [_without(one, "origin") for one in change.get("fields", ())]}
        for change in data["changes"]
    ]
    problems = [_without(problem, "origin") for problem in data.get("problems", ())]
    return digest({**_without(data, "id"), "changes": changes, "problems": problems})


def _without(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Plan]:
    """Build what turns plans into JSON and back, which takes as long as a small plan does, once."""
    return TypeAdapter(Plan)


def to_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain JSON, by the schema in schemas/plan.json."""
    return _adapter().dump_python(plan, mode="json")  # type: ignore[no-any-return]


def to_bytes(plan: Plan) -> bytes:
    """Return the file of a plan: equal plans give equal bytes."""
    return canonical(to_json(plan)) + b"\n"


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
        plan = _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = (
            f"the plan is damaged: {place} is {'missing' if first['type'].startswith('missing') else 'none that a plan can have'}"
        )
        raise PlanError(message, "plan again") from None
    if _identity(data) != plan.id:
        message = "the plan was edited after it was made: its id does not match its content"
        raise PlanError(message, "plan again; a plan is applied as it was reviewed")
    return plan
