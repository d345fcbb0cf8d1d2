"""Ops: one verb as frozen data, with the run that performs it; values that are not known yet are `Late`.

A kind's `steps(spec)` yields templates: an op whose late values name where they come from. The planner and the
applier fill them in; the key of a step is the hash of its template and of the values that filled it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import core_schema

from mlops.core.addresses import Ref
from mlops.core.digests import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import GetCoreSchemaHandler

    from mlops.core.worlds import World

LATE = "$late"


class Late(str):
    """A value that exists only later, named by its source; in JSON `{"$late": "output:dataset.credit/train"}`.

    output:REF              the digest of a named output of a step
    input:NAME              the value of one of the resource's own inputs, observed when planned
    baseline:ROLLOUT|REF    the digest that ROLLOUT serves, from the record; while that is REF itself, the digest that was
                            compared with last time; null where nothing serves
    """

    __slots__ = ()

    @classmethod
    def output(cls, ref: Ref) -> Self:
        """Name a step's output by `kind.name/output`."""
        return cls(f"output:{ref}")

    @classmethod
    def input(cls, name: str) -> Self:
        """Name one of the resource's own `inputs`."""
        return cls(f"input:{name}")

    @classmethod
    def baseline(cls, rollout: Ref, candidate: Ref) -> Self:
        """Name what `rollout` serves, to be compared with `candidate`."""
        return cls(f"baseline:{rollout.address}|{candidate}")

    @property
    def sort(self) -> str:
        """`output`, `input` or `baseline`."""
        return self.partition(":")[0]

    @property
    def source(self) -> str:
        """What stands after the sort."""
        return self.partition(":")[2]

    @property
    def ref(self) -> Ref:
        """The output that an `output:` names, or the candidate of a `baseline:`."""
        return Ref(self.source.rpartition("|")[2])


def compared_with(serving: str | None, candidate: str | None, last: str | None) -> str | None:
    """Return what a `baseline:` is bound to: what serves; while the candidate itself serves, what it was compared with last."""
    return last if serving is not None and serving == candidate else serving


class Bindable:
    """Marks an op's field that may hold a `Late` until it is bound: `Annotated[str, Bindable()]`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let a Late through in both directions; hand everything else to the field's own type."""

        def read(value: Any, inner: Callable[[Any], Any]) -> Any:
            if isinstance(value, Late):
                return value
            if isinstance(value, dict) and value.keys() == {LATE}:
                return Late(value[LATE])
            return inner(value)

        def write(value: Any, inner: Callable[[Any], Any]) -> Any:
            return {LATE: str(value)} if isinstance(value, Late) else inner(value)

        return core_schema.no_info_wrap_validator_function(
            read, handler(source), serialization=core_schema.wrap_serializer_function_ser_schema(write)
        )


@dataclass(frozen=True, slots=True)
class Made:
    """What an op made: artifacts by output name (digests), and facts for people (JSON; not part of any key).

    A test puts its verdict into the facts under `passed`; a rollout its handle on what it keeps.
    """

    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Op(BaseModel):
    """One verb. Subclasses set `verb` to `kind.verb` and implement `run`.

    Fields are what the result depends on, and nothing else: they are the key. A field that may be late is annotated
    with `Bindable()`; when `run` is called every late value has been bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    verb: ClassVar[str]
    here: ClassVar[bool] = False
    """True where the op runs in the process of apply (deliveries), False where an executor runs it."""

    def run(self, world: World) -> Made:
        """Perform the verb through the doors of `world`; raise to fail."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Template:
    """A step before its late values are bound: the op as JSON, what it reads, and the outputs it makes."""

    name: str
    verb: str
    op: Mapping[str, Any]
    outputs: tuple[str, ...]
    reads: tuple[str, ...]
    digest: str
    here: bool = False


def template(name: str, op: Op, outputs: tuple[str, ...], revision: int) -> Template:
    """Turn an op into the template of the step `name`; `revision` is the kind's, and part of the digest.

    The digest has the places of late values and not their names: a resource that is renamed stays what it is.
    """
    data = op.model_dump(mode="json")
    reads = tuple(dict.fromkeys(_late_in(data)))
    places = {read: {LATE: place} for place, read in enumerate(reads)}
    identity = digest({"op": bind(data, places), "revision": revision, "verb": op.verb})
    return Template(name, op.verb, data, outputs, reads, identity, op.here)


def bind(data: Any, values: Mapping[str, Any]) -> Any:
    """Return the op's JSON with every late value replaced by the one of that name; unknown ones stay late."""
    if isinstance(data, dict):
        if data.keys() == {LATE}:
            return values.get(data[LATE], data)
        return {key: bind(item, values) for key, item in data.items()}
    if isinstance(data, list):
        return [bind(item, values) for item in data]
    return data


def key(template_digest: str, reads: Iterable[str], values: Mapping[str, Any]) -> str:
    """Return the input key of a step: the hash over its template and the values that its late fields are bound to."""
    return digest([template_digest, [values.get(read) for read in reads]])


def _late_in(data: Any) -> list[str]:
    """Return the late values in the order in which the canonical form has them."""
    if isinstance(data, dict):
        if data.keys() == {LATE}:
            return [data[LATE]]
        return [late for _, item in sorted(data.items()) for late in _late_in(item)]
    if isinstance(data, list):
        return [late for item in data for late in _late_in(item)]
    return []
