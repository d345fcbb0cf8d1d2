"""The process target: replicas of the model server as local processes on one address, through `world.processes`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mlops.core.digests import PREFIX
from mlops.core.ops import Bindable, Late, Made, Op, template
from mlops.core.specs import Spec
from mlops.core.worlds import Fleet, Observation, ObservedFleet, ObservedReplica, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.ops import Template
    from mlops.core.states import Record
    from mlops.core.worlds import World
    from mlops.kinds.rollout import RolloutSpec

DRAIN = 10.0  # seconds, where the spec does not say
_VERSION = 12  # hex digits of the model's digest that are the version on the wire
_HANDLE = ("host", "machine", "supervisor")
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a client on this machine finds who listens everywhere


class Target(Spec):
    """Local processes behind one listening socket."""

    type: Literal["process"] = Field(description="Processes on this machine")
    host: str = Field(
        default="127.0.0.1", pattern=r"^[A-Za-z0-9.:-]+$", max_length=253, description="Address to listen on; 0.0.0.0: all"
    )
    port: int = Field(ge=1, le=65535, description="Port to listen on")


class Deploy(Op):
    """Make the replicas what they should be, from whatever is found."""

    verb: ClassVar[str] = "rollout.deploy"
    here: ClassVar[bool] = True

    rollout: str
    machine: Annotated[str, Bindable()]  # the fleet stays where it was planned: another machine refuses
    artifact: Annotated[str, Bindable()]
    model: str
    host: str
    port: int
    replicas: int
    ready_timeout: float
    drain: float

    def run(self, world: World) -> Made:
        """Deploy, and return the handle on what is kept."""
        fleet = self._fleet()
        world.processes.deploy(fleet, world.artifacts.folder(self.artifact), world.report.progress)
        facts = {
            **world.processes.handle(self.rollout),
            "address": fleet.address,
            "url": f"http://{replace(fleet, host=_ANY.get(self.host, self.host)).address}",
            "model": self.model,
            "version": fleet.version,
            "replicas": self.replicas,
        }
        return Made({"serving": self.artifact}, facts)

    def _fleet(self) -> Fleet:
        own = self.model_dump(exclude={"rollout", "artifact"})
        return Fleet(name=self.rollout, version=self.artifact.removeprefix(PREFIX)[:_VERSION], **own)


class Stop(Op):
    """Drain and end the replicas and their supervisor; `handle` null: wherever this machine has them."""

    verb: ClassVar[str] = "rollout.stop"
    here: ClassVar[bool] = True

    rollout: str
    handle: dict[str, str] | None
    drain: float

    def run(self, world: World) -> Made:
        """Stop."""
        world.processes.stop(self.handle or world.processes.handle(self.rollout), self.drain)
        return Made()


OPS = (Deploy, Stop)


def inputs() -> Mapping[str, Request]:
    """Return the machine as an input: a plan is for one machine, and a fleet stays on one."""
    return {"machine": Request("host", {}, "target")}


def steps(spec: RolloutSpec, target: Target, rollout: Address, revision: int) -> tuple[Template, ...]:
    """Return the one step `deploy`."""
    op = Deploy(
        rollout=rollout,
        machine=Late.input("machine"),
        artifact=Late.output(spec.serves.to("artifact")),
        model=spec.serves.address.name,
        host=target.host,
        port=spec.port or target.port,
        replicas=spec.replicas,
        ready_timeout=spec.ready_timeout,
        drain=spec.drain,
    )
    return (template("deploy", op, ("serving",), revision),)


def observe(record: Record, world: World) -> Observation:
    """Compare the replicas with the record.

    Raises:
        WorldError: another machine holds them, or their supervisor does not answer.
    """
    facts = record.facts
    found = world.processes.look(_handle(facts) or world.processes.handle(record.address))
    differences = list(_differences(facts, found))
    rows = [asdict(replica) for replica in found.replicas]
    return Observation("; ".join(differences) or None, {"url": facts.get("url"), "replicas": rows})


def undo(record: Record) -> Stop:
    """Return the op that ends the replicas of the record."""
    drain = record.body.get("drain", DRAIN)
    return Stop(rollout=record.address, handle=_handle(record.facts), drain=drain)


def _handle(facts: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the recorded handle; a deploy that was interrupted has recorded none."""
    return {name: facts[name] for name in _HANDLE} if "supervisor" in facts else None


def _differences(facts: Mapping[str, Any], found: ObservedFleet) -> Iterator[str]:
    if "address" not in facts:
        yield "its deploy did not finish"
    elif found.address is None:
        yield f"no supervisor runs: nobody answers on {facts['address']}"
    elif found.address != facts["address"]:
        yield f"it listens on {found.address}, not on {facts['address']}"
    else:
        count = facts["replicas"]
        if len(found.replicas) != count:
            yield f"{len(found.replicas)} replicas are there, not {count}"
        for number, replica in enumerate(found.replicas, 1):
            for wrong in _wrong(replica, facts["version"]):
                yield f"replica {number} of {len(found.replicas)} {wrong}"


def _wrong(replica: ObservedReplica, version: str) -> Iterator[str]:
    if replica.state == "dead":
        yield f"died ({replica.ended})"
    elif replica.state == "stopping":
        yield "is being stopped"
    elif replica.state == "unready":
        yield "is not ready"
    if replica.version != version:
        yield f"serves version {replica.version}, not {version}"
