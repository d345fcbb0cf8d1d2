"""The docker target: replicas in containers of a Docker engine, an HAProxy before them, and a new version by its strategy.

`Deliver.run → delivering.Driver.run → (sites.Site → world.containers, world.proxies)`; what is to be done next is `mlops.delivery`'s to say.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from mlops.core.digests import PREFIX, digest
from mlops.core.errors import DeliveryAborted, WorldError
from mlops.core.fronts import TRACKS, WHOLE, FoundFront, Front, Release
from mlops.core.ops import Bindable, Late, Made, Op, template
from mlops.core.settings import Engine
from mlops.core.specs import Spec
from mlops.core.worlds import Observation
from mlops.delivery import explaining, progressing
from mlops.delivery.deliveries import Seen
from mlops.delivery.strategies import Strategy  # noqa: TC001 - pydantic reads the annotations
from mlops.kinds.rollout import delivering
from mlops.kinds.rollout.sites import ADMIN, Site, Tracks, called, tracks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.fronts import Replica
    from mlops.core.ops import Template
    from mlops.core.states import Record
    from mlops.core.worlds import World
    from mlops.delivery.deliveries import Delivery
    from mlops.kinds.rollout import RolloutSpec

_ID = 12  # hex digits
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a client on the engine's machine finds who listens everywhere
_MODEL = "dev.mlops.model"  # labels of an image, which `kinds.container` writes
_NAME = "org.opencontainers.image.title"
_VERSION = "org.opencontainers.image.version"


class Proxy(Spec):
    """The HAProxy before the replicas."""

    image: str = Field(
        default="haproxy:2.6", min_length=1, max_length=300, description="Image with HAProxy 2.6 or newer and bash, on the engine"
    )


class Target(Spec):
    """Containers on a Docker engine behind one proxy."""

    type: Literal["docker"] = Field(description="Containers on a Docker engine")
    engine: Engine = Field(
        default=Engine(), description="Which engine; the one that DOCKER_HOST names, or this machine's, where absent"
    )
    host: str = Field(
        default="127.0.0.1",
        pattern=r"^[0-9A-Fa-f.:]+$",
        max_length=45,
        description="Address to listen on; 0.0.0.0: all",
    )
    port: int = Field(ge=1, le=65535, description="Port that it listens on")
    proxy: Proxy = Field(default=Proxy(), description="The proxy")


class Deliver(Op):
    """Bring a version to where all requests go to it, by the strategy; or take it back and say why."""

    verb: ClassVar[str] = "rollout.deliver"
    here: ClassVar[bool] = True

    rollout: str
    image: Annotated[str, Bindable()]
    target: Target
    port: int
    replicas: int
    memory: int | None
    cpus: float | None
    drain: float
    sticky: str | None
    strategy: Strategy

    def run(self, world: World) -> Made:
        """Deliver.

        Raises:
            DeliveryAborted: the version was taken back, and why.
            WorldError: the engine cannot be used, the port is in use.
        """
        release = self._release(world)
        site = self._site(world, release)
        done = delivering.Driver(world, site).run(self._delivery(world, site, release))
        if done.result == "aborted":
            world.requests.reject(done.reason)
        if done.result != "delivered":
            raise DeliveryAborted(done.reason, _HINTS[done.result or "aborted"])
        return Made({"serving": release.artifact}, self._facts(world, site))

    def _release(self, world: World) -> Release:
        """Return what is to serve, once its image is on the engine; no network is needed where it was there before."""
        folder = world.artifacts.folder(self.image)
        image = world.images.load(self.target.engine, folder)
        config = json.loads((folder / "config.json").read_bytes())["config"]
        labels = config["Labels"]
        port = int(next(iter(config["ExposedPorts"])).partition("/")[0])
        arguments = ("--bind", f"0.0.0.0:{port}", "--version", labels[_VERSION], "--private-bind", f"127.0.0.1:{ADMIN}")
        release = Release("", image, labels[_MODEL], labels[_NAME], labels[_VERSION], port, self.memory, self.cpus, arguments)
        return replace(release, id=digest(asdict(release)).removeprefix(PREFIX)[:_ID])

    def _site(self, world: World, release: Release) -> Site:
        """Return the site with its proxy as it is, or begun where there is none; what is to be there is noted beside it."""
        front = world.proxies.look(self.target.engine, self.rollout)
        replicas = world.containers.look(self.target.engine, self.rollout)
        noted = world.proxies.noted(self.target.engine, self.rollout)
        tracks = replace(_known(noted, replicas, front), candidate=release)
        wanted = Front(
            rollout=self.rollout,
            image=self.target.proxy.image,
            host=self.target.host,
            port=self.port,
            model=release.model,
            servers={},
            weight=front.weight,
            sticky=self.sticky,
            headers=tuple((step.header.name, step.header.value) for step in self.strategy.steps if step.header is not None),
            header=front.header,
            drain=self.drain,
        )
        site = Site(world, self.target.engine, wanted, tracks, world.report.progress)
        site.look()
        site.note(tracks)
        return site

    def _delivery(self, world: World, site: Site, release: Release) -> Delivery:
        """Return the delivery that an interrupted apply left, or a new one."""
        stable = site.name("stable")
        candidate = called(release, site.tracks.stable)
        found = delivering.resumed(world.report.last, candidate, stable)
        if found is not None:
            return found
        former = tuple(candidate if one.id == release.id else one.id for one in site.tracks.former)
        now = world.clock.now().timestamp()
        begun = progressing.begin(self.strategy, (stable, candidate), self.replicas, now, former)
        return replace(begun, heard=world.requests.newest())  # what was asked before was asked of another delivery

    def _facts(self, world: World, site: Site) -> dict[str, Any]:
        release = site.tracks.stable
        assert release is not None  # noqa: S101 - it has just been delivered
        address = _shown(self.target.host, self.port)
        return {
            "engine": self.target.engine.model_dump(mode="json", exclude_defaults=True),
            "engine_id": world.containers.identity(self.target.engine),
            "address": address,
            "url": f"http://{_shown(_ANY.get(self.target.host, self.target.host), self.port)}",
            "model": release.model,
            "version": release.version,
            "release": release.id,
            "image": release.image,
            "replicas": self.replicas,
            "former": [{"version": one.version, "serving": one.artifact, "image": one.image} for one in site.tracks.former],
        }


class Remove(Op):
    """End the replicas and the proxy of a rollout, and remove all that belongs to them."""

    verb: ClassVar[str] = "rollout.remove"
    here: ClassVar[bool] = True

    rollout: str
    engine: Engine
    drain: float

    def run(self, world: World) -> Made:
        """Remove: the proxy first, which takes no new request and finishes what is in flight."""
        world.proxies.remove(self.engine, self.rollout)
        names = [one.name for one in world.containers.look(self.engine, self.rollout)]
        world.containers.stop(self.engine, self.rollout, names, self.drain)
        return Made()


OPS = (Deliver, Remove)
_HINTS = {
    "aborted": "the version that served before serves alone; mend the new one, or `mlops rollout retry` to try it once more",
    "stranded": "what serves was left as it is: look at the engine, then apply again",
}


def steps(spec: RolloutSpec, target: Target, rollout: Address, revision: int) -> tuple[Template, ...]:
    """Return the one step `deliver`."""
    op = Deliver(
        rollout=rollout,
        image=Late.output(spec.serves.to("image")),
        target=target,
        port=spec.port or target.port,
        replicas=spec.replicas,
        memory=spec.memory,
        cpus=spec.cpus,
        drain=spec.drain,
        sticky=spec.sticky,
        strategy=spec.strategy,
    )
    return (template("deliver", op, ("serving",), revision),)


def observe(record: Record, world: World) -> Observation:
    """Compare replicas, proxy and route with the record.

    Raises:
        WorldError: the engine does not answer.
    """
    facts, engine = record.facts, _engine(record)
    front = world.proxies.look(engine, record.address)
    replicas = world.containers.look(engine, record.address)
    differences = list(_differences(facts, front, replicas)) if "release" in facts else ["its delivery did not finish"]
    if facts.get("engine_id") not in (None, found := world.containers.identity(engine)):
        differences = [f"another engine answers ({found}, not {facts['engine_id']})", *differences]
    rows = [_row(one, front) for one in replicas]
    return Observation(
        "; ".join(differences) or None, {"url": facts.get("url"), "replicas": rows, "weight": front.weight * 100 / WHOLE}
    )


def explain(record: Record, checkpoint: Mapping[str, Any], world: World) -> tuple[str, ...]:
    """Return where the delivery of the checkpoint stands, by a look that changes nothing."""
    delivery = delivering.read(checkpoint)
    if delivery is None:
        return ()
    engine, rollout, now = _engine(record), record.address, world.clock.now().timestamp()
    try:
        front, replicas = world.proxies.look(engine, rollout), world.containers.look(engine, rollout)
        tracks = _known(world.proxies.noted(engine, rollout), replicas, front)
    except WorldError as error:
        return explaining.explain(delivery, Seen(now, trouble=error.message, blind=True))
    unasked = Front(rollout, "", "", 0, "", {}, header=front.header)  # nothing is asked of the proxy
    found = Site(world, engine, unasked, tracks, lambda _: None).view(replicas, front)
    return explaining.explain(delivery, Seen(now, found.tracks["stable"], found.tracks["candidate"], found.traffic))


def undo(record: Record, drain: float) -> Remove:
    """Return the op that removes what the record names."""
    return Remove(rollout=record.address, engine=_engine(record), drain=record.body.get("drain", drain))


def _engine(record: Record) -> Engine:
    """Return the engine of a record; of an unfinished one, the spec's."""
    return Engine.model_validate(record.facts.get("engine", record.body.get("target", {}).get("engine", {})))


def _known(noted: Mapping[str, Any] | None, replicas: tuple[Replica, ...], front: FoundFront) -> Tracks:
    """Return what serves, from the note beside the proxy and from what the replicas say of themselves.

    Where the note was lost, it is what most replicas are. Where a kill came between the end of the old version and the note of the new one,
    it is the one that answers everything.
    """
    alive = [one.release for one in replicas if one.state == "running"]
    if noted is None:
        return Tracks(stable=max(alive, key=alive.count, default=None))
    tracks = tracks_of(noted)
    has_switched = front.weight == WHOLE and tracks.candidate in alive and tracks.stable not in alive
    return tracks.delivered() if has_switched and tracks.stable is not None else tracks


def _differences(facts: Mapping[str, Any], front: FoundFront, replicas: tuple[Replica, ...]) -> Iterator[str]:
    own = [one for one in replicas if one.release.id == facts["release"]]
    if len(own) != facts["replicas"]:
        yield f"{len(own)} of {facts['replicas']} replicas are there"
    up = {server.rpartition(":")[0] for server, is_up in front.servers.get("stable", {}).items() if is_up}
    for one in own:
        if one.state == "dead":
            yield f"replica {one.name} does not run ({one.ended})"
        elif front.address is not None and one.name not in up:
            yield f"replica {one.name} is not ready"
    for version in sorted({one.release.version for one in replicas if one not in own}):
        yield f"replicas of version {version} are there, from a delivery that nobody attends to"
    if front.address is None:
        yield f"nobody answers on {facts['address']}: {front.ended}"
    elif front.address != facts["address"]:
        yield f"the proxy listens on {front.address}, not on {facts['address']}"
    elif front.weight or front.header:
        yield f"{front.weight * 100 / WHOLE:g} % of the requests go to a candidate"


def _row(replica: Replica, front: FoundFront) -> dict[str, Any]:
    """Return a replica as a row for people, with the words that replicas of every target have."""
    is_up = any(front.servers.get(track, {}).get(f"{replica.name}:{replica.release.port}", False) for track in TRACKS)
    state = "dead" if replica.state == "dead" else "ready" if is_up else "unready"
    return {
        "name": replica.name,
        "version": replica.release.version,
        "state": state,
        "since": replica.since,
        "ended": replica.ended,
    }


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
