"""Rollouts: a model that answers requests. A kind that keeps: each target, one module here, says how replicas are kept in its part of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ByteSize, Field

from mlops.core import specs
from mlops.core.addresses import Address, Ref  # noqa: TC001 - pydantic reads the annotations
from mlops.core.diagnostics import Diagnostic
from mlops.core.resources import Kind
from mlops.core.specs import REPLACES, Description, To
from mlops.delivery import checking, reaching, sizing
from mlops.delivery.strategies import Rolling, Strategy
from mlops.kinds.rollout import docker, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.ops import Op, Template
    from mlops.core.settings import Allow
    from mlops.core.states import Record
    from mlops.core.worlds import Observation, Request, World

Target = Annotated[process.Target | docker.Target, Field(discriminator="type")]


class RolloutSpec(specs.Spec):
    """What serves where, how many times, and which tests must have passed."""

    description: Description = ""
    serves: Annotated[Ref, To("model", "container")] = Field(description="The model or container that answers")
    requires: tuple[Annotated[Ref, To("test")], ...] = Field(
        default=(), description="Tests that must pass before anything is touched"
    )
    target: Annotated[Target, REPLACES] = Field(description="Where the replicas run; usually ${target}")
    port: Annotated[int | None, REPLACES] = Field(default=None, ge=1, le=65535, description="In place of the target's port")
    replicas: int = Field(default=1, ge=1, le=64, description="How many processes answer on the one address")
    strategy: Strategy = Field(
        default=Strategy(rolling=Rolling()), description="How a new version takes the place of the one that serves"
    )
    sticky: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = Field(
        default=None, description="A header: requests with equal values of it go to the same version while the weight stays"
    )
    memory: ByteSize | None = Field(default=None, ge=64 * 1024 * 1024, description="Memory that a container may take: 512MiB")
    cpus: float | None = Field(default=None, gt=0, le=1024, description="Processors that a container may use")
    ready_timeout: float = Field(
        default=60.0, gt=0, le=3600, description="Seconds until a new process must be ready; of containers, see progress_deadline"
    )
    drain: float = Field(
        default=process.DRAIN, ge=0, le=3600, description="Seconds that requests in flight may take when a replica ends"
    )


class Rollout(Kind):
    """Replicas on an address, replaced without a refused request."""

    name = "rollout"
    Spec = RolloutSpec
    ops = (*process.OPS, *docker.OPS)
    keeps = True

    def outputs(self, _spec: RolloutSpec) -> tuple[str, ...]:
        """Return `serving`: the digest of what answers."""
        return ("serving",)

    def inputs(self, spec: RolloutSpec) -> Mapping[str, Request]:
        """Return what the target depends on."""
        return process.inputs() if isinstance(spec.target, process.Target) else {}

    def gates(self, spec: RolloutSpec) -> tuple[Ref, ...]:
        """Return the required tests."""
        return spec.requires

    def steps(self, spec: RolloutSpec, address: Address) -> tuple[Template, ...]:
        """Return the one step of the target."""
        if isinstance(spec.target, process.Target):
            return process.steps(spec, spec.target, address, self.revision)
        return docker.steps(spec, spec.target, address, self.revision)

    def check(self, spec: RolloutSpec, _find: Callable[[Ref], specs.Spec | None], allow: Allow) -> Iterable[Diagnostic]:
        """Yield what the target cannot serve, and what a strategy cannot be."""
        kind, output = _SERVABLE[spec.target.type]
        if spec.serves.address.kind != kind:
            wanted = "a process target serves a model" if kind == "model" else "a docker target serves a container"
            summary = f"{wanted}, and {spec.serves.address} is a {spec.serves.address.kind}"
            yield Diagnostic("cannot-serve", summary, path="serves", hint=f"write {kind}.NAME, or choose another target")
        elif spec.serves.output not in (None, output):
            summary = f"'{spec.serves}' cannot be served: it is not the {kind} itself"
            yield Diagnostic("cannot-serve", summary, path="serves", hint=f"write {spec.serves.address}")
        yield from checking.check(spec.strategy)
        yield from _without_proxy(spec) if kind == "model" else _with_proxy(spec, allow)

    def notes(self, spec: RolloutSpec) -> tuple[str, ...]:
        """Return how many requests it takes until the analysis can see what it is to see."""
        return sizing.sizes(spec.strategy)

    def observe(self, record: Record, world: World) -> Observation:
        """Look at the replicas; `facts` have a row for each."""
        return docker.observe(record, world) if _is_docker(record) else process.observe(record, world)

    def explain(self, record: Record, checkpoint: Mapping[str, Any], world: World) -> tuple[str, ...]:
        """Return where the delivery stands and what it waits for; of processes only what was noted last."""
        if _is_docker(record):
            return docker.explain(record, checkpoint, world)
        return ("its replicas are being replaced, one by one",)

    def undo(self, record: Record) -> Op:
        """Return the op that ends them."""
        return docker.undo(record, process.DRAIN) if _is_docker(record) else process.undo(record)


_SERVABLE = {
    "process": ("model", "artifact"),
    "docker": ("container", "image"),
}  # by target: the kind that it serves, and which output


def _is_docker(record: Record) -> bool:
    return bool(record.body.get("target", {}).get("type") == "docker")


def _without_proxy(spec: RolloutSpec) -> Iterable[Diagnostic]:
    """Yield what processes on one socket cannot do."""
    if spec.strategy.rolling is None:
        weights = ", ".join(f"{weight:.4g}" for weight in reaching.reachable(spec.replicas))
        count = "1 replica" if spec.replicas == 1 else f"{spec.replicas} replicas"
        hint = f"{count} without a proxy can reach the weights {weights} % only; take `rolling`, or another target"
        summary = f"`{spec.strategy.name}` needs a target with a proxy: docker"
        yield Diagnostic("needs-proxy", summary, path=f"strategy.{spec.strategy.name}", hint=hint)
    for name in ("sticky", "memory", "cpus"):
        if getattr(spec, name) is not None:
            yield Diagnostic("needs-proxy", f"`{name}` is for containers: target docker", path=name, hint="take it away")


def _with_proxy(spec: RolloutSpec, allow: Allow) -> Iterable[Diagnostic]:
    """Yield what containers cannot have, and programs that the project does not allow."""
    if "ready_timeout" in spec.model_fields_set:
        hint = f"write `progress_deadline: {spec.ready_timeout:g}s` under strategy.{spec.strategy.name}"
        yield Diagnostic("not-here", "`ready_timeout` is for processes", path="ready_timeout", hint=hint)
    calls = [(f"steps.{index}.{step.verb}", step.gate or step.hook) for index, step in enumerate(spec.strategy.steps)]
    programs = [path for path, call in calls if call is not None and call.command is not None]
    programs += [f"analysis.commands.{name}" for name in (spec.strategy.analysis.commands if spec.strategy.analysis else ())]
    for path in programs if not allow.commands else ():
        hint = "in conf/config.yaml itself: `allow: {commands: true}`"
        yield Diagnostic(
            "not-allowed", "the project does not allow commands", path=f"strategy.{spec.strategy.name}.{path}", hint=hint
        )
