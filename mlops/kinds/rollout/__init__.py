"""Rollouts: a model that answers requests. A kind that keeps: each target, one module here, says how replicas are kept in its part of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mlops.core import specs
from mlops.core.addresses import Address, Ref  # noqa: TC001 - pydantic reads the annotations
from mlops.core.diagnostics import Diagnostic
from mlops.core.resources import Kind
from mlops.core.specs import REPLACES, Description, To
from mlops.kinds.rollout import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.ops import Op, Template
    from mlops.core.settings import Allow
    from mlops.core.states import Record
    from mlops.core.worlds import Observation, Request, World

_SERVABLE = "artifact"


class RolloutSpec(specs.Spec):
    """What serves where, how many times, and which tests must have passed."""

    description: Description = ""
    serves: Annotated[Ref, To("model", "container")] = Field(description="The model or container that answers")
    requires: tuple[Annotated[Ref, To("test")], ...] = Field(
        default=(), description="Tests that must pass before anything is touched"
    )
    target: Annotated[process.Target, REPLACES] = Field(description="Where the replicas run; usually ${target}")
    port: Annotated[int | None, REPLACES] = Field(default=None, ge=1, le=65535, description="In place of the target's port")
    replicas: int = Field(default=1, ge=1, le=64, description="How many processes answer on the one address")
    ready_timeout: float = Field(default=60.0, gt=0, le=3600, description="Seconds until a new replica must be ready")
    drain: float = Field(
        default=process.DRAIN, ge=0, le=3600, description="Seconds that requests in flight may take when a replica ends"
    )


class Rollout(Kind):
    """Replicas on an address, replaced without a refused request."""

    name = "rollout"
    Spec = RolloutSpec
    ops = process.OPS
    keeps = True

    def outputs(self, _spec: RolloutSpec) -> tuple[str, ...]:
        """Return `serving`: the digest of what answers."""
        return ("serving",)

    def inputs(self, _spec: RolloutSpec) -> Mapping[str, Request]:
        """Return what the target depends on."""
        return process.inputs()

    def gates(self, spec: RolloutSpec) -> tuple[Ref, ...]:
        """Return the required tests."""
        return spec.requires

    def steps(self, spec: RolloutSpec, address: Address) -> tuple[Template, ...]:
        """Return the one step `deploy`."""
        return process.steps(spec, address, self.revision)

    def check(self, spec: RolloutSpec, _find: Callable[[Ref], specs.Spec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield what the target cannot serve."""
        if spec.serves.address.kind != "model":
            summary = f"a process target serves a model, and {spec.serves.address} is a {spec.serves.address.kind}"
            yield Diagnostic(
                "cannot-serve", summary, path="serves", hint="write model.NAME, or choose a target that runs containers"
            )
        elif spec.serves.output not in (None, _SERVABLE):
            summary = f"'{spec.serves}' cannot be served: it is not the model itself"
            yield Diagnostic("cannot-serve", summary, path="serves", hint=f"write {spec.serves.address}")

    def observe(self, record: Record, world: World) -> Observation:
        """Look at the replicas; `facts` have a row for each."""
        return process.observe(record, world)

    def undo(self, record: Record) -> Op:
        """Return the op that ends them."""
        return process.undo(record)
