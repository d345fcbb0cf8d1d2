"""Resources and kinds: a resource is one desired thing, compiled; a kind is what must be written to have a new sort of thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mlops.core import specs
from mlops.core.digests import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.addresses import Address, Ref
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.ops import Op, Template
    from mlops.core.settings import Allow
    from mlops.core.states import Record
    from mlops.core.worlds import Observation, Request, World


class Lifecycle(specs.Spec):
    """What a plan may do to the resource, whatever its kind; `lifecycle:` beside the fields of its spec."""

    prevent_destroy: bool = Field(default=False, description="A plan that would delete or replace it cannot be applied")
    ignore_changes: tuple[str, ...] = Field(
        default=(), description="Paths of fields (`params.max_depth`) that stay as recorded, whatever is written"
    )
    create_before_destroy: bool = Field(
        default=False, description="A replacement is there before the old thing goes, where the kind can have both"
    )


PLAIN = Lifecycle()


@dataclass(frozen=True, slots=True)
class Resource:
    """A desired thing, compiled from its spec: all that planning needs, without the spec itself.

    Compiling is a pure function of the spec, so a resource may be cached by the content of its file.
    """

    address: Address
    body: Mapping[str, Any]  # the spec as plain JSON without default values
    digest: str  # of the body
    outputs: tuple[str, ...]
    steps: tuple[Template, ...]
    inputs: Mapping[str, Request] = field(default_factory=dict)
    gates: tuple[Ref, ...] = ()  # tests whose verdict must be passed before any step runs
    refs: tuple[tuple[str, Ref], ...] = ()  # every reference, with the path of its field
    lifecycle: Lifecycle = PLAIN


class Kind:
    """One sort of resource. A kind that makes is content-addressed and reused; a kind that keeps is observed and undone."""

    name: ClassVar[str]
    Spec: ClassVar[type[specs.Spec]]
    ops: ClassVar[tuple[type[Op], ...]]
    keeps: ClassVar[bool] = False
    revision: ClassVar[int] = 1
    """Raised by hand when the same spec gives another result; part of every key."""
    can_import: ClassVar[bool] = True
    """For a kind that makes: False where an output alone does not say all that a record must, such as a verdict."""
    can_overlap: ClassVar[bool] = False
    """For a kind that keeps: True where the old and the new thing can stand beside each other; then it has `sweep`."""

    def outputs(self, spec: Any) -> tuple[str, ...]:
        """Return the names that others may refer to."""
        raise NotImplementedError

    def steps(self, spec: Any, address: Address) -> tuple[Template, ...]:
        """Return the steps in order; pure. Each output is made by one step; a later step may read an earlier one's."""
        raise NotImplementedError

    def inputs(self, _spec: Any) -> Mapping[str, Request]:
        """Return what outside the project's records the steps depend on, by the names that `Late.input` uses; pure."""
        return {}

    def gates(self, _spec: Any) -> tuple[Ref, ...]:
        """Return the tests that must have passed before a step of this resource runs."""
        return ()

    def check(self, _spec: Any, _find: Callable[[Ref], specs.Spec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield what is wrong between this spec, those it refers to and what the project allows; pure.

        `path` of a diagnostic is the field's; address and origin are filled in by composing.
        """
        return ()

    def notes(self, _spec: Any) -> tuple[str, ...]:
        """For a kind that keeps: return sentences that a reader of the plan should know before what is kept is changed; pure."""
        return ()

    def observe(self, _record: Record, _world: World) -> Observation:
        """For a kind that keeps: look at the thing. `value` is None where all is as recorded, else what is not, in words."""
        raise NotImplementedError

    def explain(self, _record: Record, _checkpoint: Mapping[str, Any], _world: World) -> tuple[str, ...]:
        """For a kind that keeps: return sentences on where a step stands that left this checkpoint. Looks, and changes nothing."""
        return ()

    def undo(self, _record: Record) -> Op:
        """For a kind that keeps: return the op that removes the thing."""
        raise NotImplementedError

    def sweep(self, _spec: Any, _address: Address) -> Op:
        """For a kind that can overlap: return the op that removes all things of this address that are not as the spec says."""
        raise NotImplementedError


def compile_spec(kind: Kind, address: Address, spec: specs.Spec, lifecycle: Lifecycle = PLAIN) -> Resource:
    """Return all that planning needs of the spec; pure.

    Raises:
        ValueError: a number in it is not finite.
    """
    body = specs.body(spec)
    return Resource(
        address=address,
        body=body,
        digest=digest(body),
        outputs=kind.outputs(spec),
        steps=kind.steps(spec, address),
        inputs=kind.inputs(spec),
        gates=tuple(kind.gates(spec)),
        refs=specs.refs(spec),
        lifecycle=lifecycle,
    )
