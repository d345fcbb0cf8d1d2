"""Sites: where a delivery happens, as its driver sees it; here an engine with replicas in containers and a proxy before them.

The two tracks of a delivery are the two backends of the proxy. Only once a delivery is done do the candidate's replicas become servers of the
stable backend too, and the candidate backend is emptied: no request is without a server meanwhile. What the tracks are made of is noted beside
the proxy, for whoever comes after a kill.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops.core.errors import DeliveryAborted
from mlops.core.fronts import TRACKS, WHOLE, Front, Group, Release, Track
from mlops.delivery.deliveries import Answers, Death, Replicas, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops.core.fronts import FoundFront, Replica
    from mlops.core.settings import Engine
    from mlops.core.worlds import World

KEPT = 3  # versions that served before, and to which one can go back without network
ADMIN = 8081  # where a replica listens for us alone, on the loopback inside its container
_PATIENCE = 60.0  # seconds for servers that are ready to be found so by the proxy, under the other track
_POLL = 0.2
_FIRST_NO = 300  # HTTP status


@dataclass(frozen=True, slots=True)
class Tracks:
    """What the tracks of a rollout are made of; `former` served before, newest first."""

    stable: Release | None = None
    candidate: Release | None = None
    former: tuple[Release, ...] = ()

    def of(self, track: Track) -> Release | None:
        """Return what one of the tracks is made of."""
        return self.stable if track == "stable" else self.candidate

    def delivered(self) -> Tracks:
        """Return the tracks once the candidate is the stable version."""
        if self.candidate is None or self.candidate == self.stable:
            return replace(self, candidate=None)
        before = [one for one in (self.stable, *self.former) if one is not None and one.id != self.candidate.id]
        return Tracks(self.candidate, None, tuple(before[:KEPT]))

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON, for a note."""
        return asdict(self)


def tracks_of(data: Mapping[str, Any] | None) -> Tracks:
    """Return the tracks that a note tells of."""
    told = data or {}
    stable, candidate = (_release(told.get(track)) for track in TRACKS)
    return Tracks(stable, candidate, tuple(one for each in told.get("former", ()) if (one := _release(each)) is not None))


def _release(data: Mapping[str, Any] | None) -> Release | None:
    return None if data is None else Release(**{**data, "arguments": tuple(data["arguments"])})


def called(release: Release, other: Release | None) -> str:
    """Return what a release is called in a delivery: its version, and more only where the other one has the same."""
    if other is None or other.id == release.id or other.version != release.version:
        return release.version
    return f"{release.version}+{release.id}"


@dataclass(slots=True)
class Look:
    """One look at a site: its tracks, what the route says of itself, and what was found, for the differences."""

    tracks: dict[Track, Replicas]
    traffic: Traffic | None
    front: FoundFront
    replicas: tuple[Replica, ...]


@dataclass(slots=True)
class Site:
    """One rollout on an engine. `front` is what is wanted of the proxy; it changes as the delivery goes."""

    world: World
    engine: Engine
    front: Front
    tracks: Tracks
    say: Callable[[str], None]
    answers: Answers | None = None
    _mirrored: dict[str, tuple[str, float]] = field(default_factory=dict)  # replica and start → where its copies go, how many

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Return what is found of replicas and proxy; the proxy is first told again what it may have missed."""
        found = self.world.containers.look(self.engine, self.front.rollout)
        self.front = replace(self.front, servers={track: self._servers(track, found) for track in TRACKS})
        self.world.proxies.ensure(self.engine, self.front, self.say)
        return self.view(found, self.world.proxies.look(self.engine, self.front.rollout))

    def view(self, found: tuple[Replica, ...], front: FoundFront) -> Look:
        """Return what these replicas and this proxy are to the delivery."""
        return Look({track: self._track(track, found, front) for track in TRACKS}, self._traffic(front), front, found)

    def name(self, track: Track) -> str | None:
        """Return what the release of a track is called."""
        own, other = self.tracks.of(track), self.tracks.of("candidate" if track == "stable" else "stable")
        return None if own is None else called(own, other)

    def _servers(self, track: Track, found: tuple[Replica, ...]) -> tuple[str, ...]:
        """Return the servers that a track should have: its replicas that are there.

        Those of another candidate stay in the route until the delivery has taken their share away: the stable version may not be whole.
        """
        return tuple(f"{one.name}:{one.release.port}" for one in self._own(track, found))

    def _track(self, track: Track, found: tuple[Replica, ...], front: FoundFront) -> Replicas:
        own = self._own(track, found)
        if not own:
            return Replicas()
        alive = [one for one in own if one.state == "running"]
        up = {server.rpartition(":")[0] for server, is_up in front.servers.get(track, {}).items() if is_up}
        # The engine starts again what died: for the candidate that is a death all the same.
        lost = [one for one in own if one.died and (track == "candidate" or one.state == "dead")]
        deaths = tuple(Death(f"{one.name} of {one.died[:19]}", one.ended or "it was started again") for one in lost)
        return Replicas(self._version(track, own), len(alive), sum(one.name in up for one in alive), deaths)

    def _own(self, track: Track, found: tuple[Replica, ...]) -> list[Replica]:
        """Return the replicas of a track: the stable release's, or all others; where another candidate is left over, only that."""
        stable, candidate = self.tracks.stable, self.tracks.candidate
        if track == "stable":
            return [one for one in found if stable is not None and one.release == stable]
        others = [one for one in found if stable is None or one.release != stable]
        foreign = [one for one in others if candidate is None or one.release != candidate]
        return foreign or others

    def _version(self, track: Track, own: list[Replica]) -> str | None:
        release = own[0].release
        return self.name(track) if release == self.tracks.of(track) else f"{release.version}+{release.id}"

    def _traffic(self, front: FoundFront) -> Traffic | None:
        if front.address is None:
            return None
        header = front.header
        if header is not None and self.front.header is not None and header[0] == self.front.header[0].lower():
            header = self.front.header  # the proxy knows names of headers in lower case
        return Traffic(front.weight * 100 / WHOLE, header, next((percent for _, percent in self._mirrored.values()), 0.0))

    # -- acting ------------------------------------------------------------------------------------------------------

    def scale(self, track: Track, replicas: int) -> None:
        """Have so many replicas of the track; those too many are out of the route before they are ended."""
        release = self.tracks.of(track)
        if release is None:
            return
        group = Group(self.front.rollout, release, replicas)
        self.world.containers.ensure(self.engine, group, self.say)
        names = self.world.containers.names(group)
        self._tell(servers={**self.front.servers, track: names})
        found = self.world.containers.look(self.engine, self.front.rollout)
        self._stop([one for one in found if one.release == release and f"{one.name}:{release.port}" not in names])

    def route(self, number: int, traffic: Traffic) -> None:
        """Route requests so, and copy them so; answers are counted anew."""
        self.answers = Answers(number)
        self._tell(weight=round(traffic.weight * WHOLE / 100), header=traffic.header)
        self._mirror(traffic.mirror)

    def probe(self, number: int, times: int) -> None:
        """Ask through the route and count who answers."""
        if self.answers is None or self.answers.route != number:
            self.answers = Answers(number)
        found = self.world.proxies.probe(self.engine, self.front.rollout, f"/v2/models/{self.front.model}", times)
        counts = {"stable": 0, "candidate": 0}
        for answer in found:
            track = self._answered(answer.version, answer.track)
            if track is not None:
                counts[track] += 1
        failed = times - sum(counts.values())
        told = self.answers
        self.answers = Answers(number, told.stable + counts["stable"], told.candidate + counts["candidate"], told.failed + failed)

    def retire(self, track: Track) -> None:
        """End all replicas of a track: the stable release's, or all others."""
        self._tell(servers={**self.front.servers, track: ()})
        found = self.world.containers.look(self.engine, self.front.rollout)
        self._stop(self._own(track, found))

    def note(self, tracks: Tracks) -> None:
        """Keep what the tracks are made of, durably, and go on with that."""
        self.world.proxies.note(self.engine, self.front.rollout, tracks.as_json())
        self.tracks = tracks

    def settle(self) -> None:
        """Make the candidate the stable version, whose replicas already answer everything.

        Raises:
            DeliveryAborted: the proxy does not find them ready under their new track.
        """
        release, names = self.tracks.candidate, self.front.servers["candidate"]
        if release is None or release == self.tracks.stable:
            self.restore()
            return
        both: dict[Track, tuple[str, ...]] = {"stable": names, "candidate": names}
        until = self.world.clock.monotonic() + _PATIENCE
        while not self._are_up(both, names):
            if self.world.clock.monotonic() > until:
                message = (
                    f"{release.version} answers everything, and the proxy does not find its replicas ready as the stable version"
                )
                raise DeliveryAborted(message, "apply again: it goes on from here")
            self.world.clock.sleep(_POLL)
        self.note(self.tracks.delivered())
        self._tell(servers={"stable": names, "candidate": ()}, weight=0, header=None)

    def restore(self) -> None:
        """Have the stable version serve alone."""
        self._tell(servers={**self.front.servers, "candidate": ()}, weight=0, header=None)
        self.note(replace(self.tracks, candidate=None))

    def _are_up(self, servers: Mapping[Track, tuple[str, ...]], names: tuple[str, ...]) -> bool:
        self._tell(servers=servers)
        found = self.world.proxies.look(self.engine, self.front.rollout).servers.get("stable", {})
        return any(found.get(name, False) for name in names)

    def _tell(self, **changes: Any) -> None:
        self.front = replace(self.front, **changes)
        self.world.proxies.ensure(self.engine, self.front, self.say)

    def _stop(self, replicas: list[Replica]) -> None:
        if replicas:
            self.world.containers.stop(self.engine, self.front.rollout, [one.name for one in replicas], self.front.drain)

    def _answered(self, version: str, track: str) -> Track | None:
        """Return which track an answer came from, by its version; by what the proxy says only where both have the same."""
        for name in TRACKS:
            release = self.tracks.of(name)
            if release is not None and version == release.version and (track == name or not self._share_version()):
                return name
        return None

    def _share_version(self) -> bool:
        stable, candidate = self.tracks.stable, self.tracks.candidate
        return stable is not None and candidate is not None and stable.version == candidate.version

    def _mirror(self, percent: float) -> None:
        """Have every stable replica send copies of so many of its requests to a candidate's."""
        targets = self.front.servers["candidate"]
        wanted = {}
        if percent and targets:
            for number, server in enumerate(self.front.servers["stable"]):
                wanted[server] = (f"http://{targets[number % len(targets)]}", percent)
        for server in self._mirrored.keys() - wanted.keys():
            if server in self.front.servers["stable"]:
                self._ask(server, "DELETE", None)
        for server, (url, share) in wanted.items():
            self._ask(server, "PUT", {"url": url, "percent": share})
        self._mirrored = wanted

    def _ask(self, server: str, method: str, body: Mapping[str, Any] | None) -> None:
        data = None if body is None else json.dumps(body).encode()
        host = server.rpartition(":")[0]
        status, said = self.world.containers.ask(
            self.engine, self.front.rollout, f"{host}:{ADMIN}", (method, "/admin/mirror", data)
        )
        if status >= _FIRST_NO:
            message = f"{server} does not mirror: {status} {said.decode(errors='replace')[:200]}"
            raise DeliveryAborted(message, "its image is older than mirroring: build it anew")
