"""The door to proxies: one HAProxy before the replicas of each rollout, in a container; `haproxy` has its language.

What is wanted is written into the proxy's own volume first and then said on its runtime socket: a kill between the two, of us or of it, leaves
files that say what was wanted last. Each file appears whole or not at all.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import TYPE_CHECKING, Any

from mlops.core.digests import digest
from mlops.core.errors import Refused
from mlops.core.fronts import TRACKS, Answer, FoundFront, Front
from mlops.world import engines, haproxy, hosts, labels
from mlops.world.conversations import Conversation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from docker import DockerClient

    from mlops.core.fronts import Track
    from mlops.core.settings import Engine
    from mlops.core.worlds import Place
    from mlops.world.haproxy import Place as Slot

USER = "65532:65532"
_VOLUME = haproxy.FOLDER.rpartition("/")[0]
_PROCESSES = 64
_MEMORY = 256 * 1024 * 1024
_STOP = 5  # seconds for a proxy to end


class EngineProxies:
    """The proxies of one project and environment, on whichever engine."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def ensure(self, engine: Engine, front: Front, say: Callable[[str], None]) -> None:
        """Make it so, from whatever is found: new servers first, then the route, then those that leave are drained.

        A new server gets requests from the first `ensure` on that finds it well; `look` tells.

        Raises:
            Refused: the port or the name is in use, the image is not there or has no bash or HAProxy, HAProxy says no.
            Unavailable: the engine or the proxy does not answer.
        """
        with engines.opened(engine) as client:
            proxy = Conversation(client, self._name(front.rollout))
            if not self._is_running(client, front):
                self._start(client, engine, front, say)
            self._update(proxy, front)

    def look(self, engine: Engine, rollout: str) -> FoundFront:
        """Return the proxy as it is: two calls, some 100 ms.

        Raises:
            Unavailable: it runs and does not answer.
        """
        with engines.opened(engine) as client:
            found = _inspected(client, self._name(rollout))
            if found is None:
                return FoundFront(None, "there is no proxy")
            if found["State"]["Status"] != "running":
                return FoundFront(
                    None, f"its proxy does not run: {found['State']['Status']}, exit code {found['State']['ExitCode']}"
                )
            proxy = Conversation(client, self._name(rollout))
            slots, rows, values = proxy.state()
        taken = [slot for slot in slots if not slot.is_free]
        return FoundFront(
            address=_address(found),
            servers={
                track: {slot.server: slot.is_well and not slot.is_draining for slot in taken if slot.track == track}
                for track in TRACKS
            },
            weight=values.get("weight", 0),
            header=haproxy.header_of(values),
            traffic=haproxy.traffic(rows),
        )

    def probe(self, engine: Engine, rollout: str, path: str, count: int) -> tuple[Answer, ...]:
        """Send GETs through the proxy's public listener, each on a connection of its own kind: pipelined, and routed one by one."""
        request = f"GET {path} HTTP/1.1\r\nHost: probe\r\nUser-Agent: mlops\r\n"
        asked = (f"{request}\r\n" * (count - 1) + f"{request}Connection: close\r\n\r\n").encode()
        with engines.opened(engine) as client:
            said = Conversation(client, self._name(rollout)).probe(asked)
        return tuple(_answers(said))

    def note(self, engine: Engine, rollout: str, data: Mapping[str, Any]) -> None:
        """Keep the note in the proxy's volume."""
        with engines.opened(engine) as client:
            Conversation(client, self._name(rollout)).write(haproxy.NOTE, json.dumps(data, sort_keys=True))

    def noted(self, engine: Engine, rollout: str) -> Mapping[str, Any] | None:
        """Return the note, also of a proxy that does not run, or None."""
        from docker.errors import NotFound

        with engines.opened(engine) as client:
            try:
                chunks, _ = client.api.get_archive(self._name(rollout), haproxy.NOTE)
                with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                    file = tar.extractfile(tar.next() or "")
                    return json.load(file) if file is not None else None
            except NotFound:
                return None

    def remove(self, engine: Engine, rollout: str) -> None:
        """Remove container and volume."""
        with engines.opened(engine) as client:
            found = _inspected(client, self._name(rollout))
            if found is not None and _is_ours(found, labels.labels(self._place, rollout, "proxy")):
                client.api.stop(found["Id"], timeout=_STOP)
                client.api.remove_container(found["Id"], force=True)
            _remove_volume(client, self._name(rollout))
            labels.remove_network(client, self._place)

    # -- the container -----------------------------------------------------------------------------------------------

    def _name(self, rollout: str) -> str:
        return f"{labels.prefix(self._place, rollout)}.proxy"

    def _is_running(self, client: DockerClient, front: Front) -> bool:
        """Tell whether the container runs and is as it should be but for its files."""
        found = _inspected(client, self._name(front.rollout))
        if found is None:
            return False
        labels.refuse_foreign(found, self._name(front.rollout), labels.labels(self._place, front.rollout, "proxy"))
        return bool(
            found["State"]["Status"] == "running" and found["Config"]["Labels"].get(labels.STRUCTURE) == _structure(front)
        )

    def _start(self, client: DockerClient, engine: Engine, front: Front, say: Callable[[str], None]) -> None:
        """Start the container, made anew unless it only does not run; the files come first, so that it begins with what is wanted."""
        name = self._name(front.rollout)
        found = _inspected(client, name)
        if found is not None and found["Config"]["Labels"].get(labels.STRUCTURE) != _structure(front):
            say("the proxy is made anew: its image or address changed")
            client.api.stop(found["Id"], timeout=_STOP)
            client.api.remove_container(found["Id"], force=True)
            found = None
        if found is None:
            self._create(client, front)
        elif found["State"]["Status"] == "paused":
            client.api.unpause(found["Id"])
        places = _arranged((), front)
        files = {haproxy.CONFIG: haproxy.config(front, places), haproxy.MAP: haproxy.map_text(haproxy.routes(front))}
        client.api.put_archive(name, _VOLUME, _tar(files))
        try:
            client.api.start(name)
        except Exception as error:
            if found is None:
                client.api.remove_container(name, force=True)  # it never ran: nothing of it is left
            raise _unstartable(error, client, engine, front) from error
        Conversation(client, name).await_answer()
        say(f"the proxy listens on {_shown(front.host, front.port)}")

    def _create(self, client: DockerClient, front: Front) -> None:
        name = self._name(front.rollout)
        own = labels.labels(self._place, front.rollout, "proxy")
        client.api.create_volume(name, labels=own)
        network = labels.network(client, self._place)
        alias = client.api.create_endpoint_config(aliases=[f"{front.rollout.partition('.')[2]}-proxy"])
        host = client.api.create_host_config(
            binds={name: {"bind": _VOLUME, "mode": "rw"}},
            port_bindings={haproxy.PORT: (front.host, front.port)},
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=_PROCESSES,
            mem_limit=_MEMORY,
            restart_policy={"Name": "unless-stopped"},
            network_mode=network,
            log_config={"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}},
        )
        client.api.create_container(
            front.image,
            entrypoint=["haproxy", "-W", "-db", "-f", haproxy.CONFIG],
            command=[],
            name=name,
            user=USER,
            labels=own | {labels.STRUCTURE: _structure(front)},
            ports=[haproxy.PORT],
            stop_signal="SIGUSR1",  # HAProxy's graceful end
            host_config=host,
            networking_config=client.api.create_networking_config({network: alias}),
        )

    # -- what it does ------------------------------------------------------------------------------------------------

    def _update(self, proxy: Conversation, front: Front) -> None:
        """Bring a running proxy to what is wanted."""
        slots, _, values = proxy.state()
        places = _arranged(slots, front)
        if proxy.rewrite(haproxy.config(front, places), haproxy.map_text(haproxy.routes(front))):
            slots, _, values = proxy.state()
        entering = [slot for slot in slots if places.get((slot.track, slot.name)) and _is_other(slot, places)]
        commands = [command for slot in entering for command in haproxy.enter(slot, places[slot.track, slot.name])]
        commands += [haproxy.take(slot) for slot in slots if _is_taken(slot, places) and slot.is_draining and slot.is_well]
        wanted = haproxy.routes(front)
        commands += haproxy.route({name: value for name, value in wanted.items() if values.get(name) != value})
        proxy.say(commands)
        proxy.drain([slot for slot in slots if not slot.is_free and (slot.track, slot.name) not in places], front.drain)


def _arranged(slots: Iterable[Slot], front: Front) -> dict[tuple[Track, str], str]:
    """Return which (track, place) each wanted server has: the one that it has already, or a free one."""
    found = list(slots)
    places: dict[tuple[Track, str], str] = {}
    for track in TRACKS:
        wanted = front.servers.get(track, ())
        kept = {slot.server: slot.name for slot in found if slot.track == track and not slot.is_free and slot.server in wanted}
        used = {slot.name for slot in found if slot.track == track and not slot.is_free}
        free = (name for number in range(1, haproxy.PLACES + 1) if (name := f"s{number}") not in used)
        for server in wanted:
            places[track, kept.get(server) or next(free)] = server
    return places


def _is_taken(slot: Slot, places: Mapping[tuple[Track, str], str]) -> bool:
    return not slot.is_free and places.get((slot.track, slot.name)) == slot.server


def _is_other(slot: Slot, places: Mapping[tuple[Track, str], str]) -> bool:
    """Tell whether the place does not have the server that it should have."""
    return slot.is_free or slot.server != places[slot.track, slot.name]


def _structure(front: Front) -> str:
    """Return what only a new container can change."""
    return digest([front.image, front.host, front.port])[:23]


def _answers(text: str) -> Iterable[Answer]:
    """Yield the answers in what came back on the connection; every one of ours and of HAProxy begins with its status line."""
    for head in re.findall(r"HTTP/1\.[01] (\d{3}[^\0]*?)\r\n\r\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*?)\r?$", head, re.MULTILINE))
        named = {name.lower(): value for name, value in fields.items()}
        yield Answer(int(head[:3]), named.get("x-mlops-version", ""), named.get("x-mlops-track", ""))


def _inspected(client: DockerClient, name: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        return client.api.inspect_container(name)  # type: ignore[no-any-return] # the SDK has no types
    except NotFound:
        return None


def _is_ours(found: Mapping[str, Any], own: Mapping[str, str]) -> bool:
    return all((found["Config"]["Labels"] or {}).get(name) == value for name, value in own.items())


def _remove_volume(client: DockerClient, name: str) -> None:
    from docker.errors import NotFound

    try:
        client.api.remove_volume(name)
    except NotFound:
        return


def _address(found: Mapping[str, Any]) -> str | None:
    bound = (found["NetworkSettings"]["Ports"] or {}).get(f"{haproxy.PORT}/tcp") or []
    return next((_shown(one["HostIp"], one["HostPort"]) for one in bound), None)


def _shown(host: str, port: object) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tar(files: Mapping[str, str]) -> bytes:
    """Return a tar with the folder of the files and the files, all of them the proxy's own."""
    packed = io.BytesIO()
    number = int(USER.partition(":")[0])
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo(haproxy.FOLDER.rpartition("/")[2])
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, number, number
        tar.addfile(folder)
        for path, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(path.removeprefix(f"{_VOLUME}/"))
            member.size, member.mode, member.uid, member.gid = len(data), 0o644, number, number
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def _unstartable(error: Exception, client: DockerClient, engine: Engine, front: Front) -> Exception:
    """Return what keeps a proxy from starting, where it is the port; else the error itself."""
    said = str(getattr(error, "explanation", None) or error).lower()
    if "already allocated" in said or "address already in use" in said:
        others = [labels.name_of(row) for row in client.api.containers(filters={"publish": str(front.port)})]
        who = f"container {others[0]}" if others else (engines.is_here(engine) and hosts.listener(front.port)) or "something else"
        message = f"port {front.port} of {front.host} is in use by {who}"
        return Refused(message, "stop that, or choose another port in the target, or with `port:` in the rollout")
    if "cannot assign requested address" in said:
        message = f"the engine's machine cannot listen on {front.host}"
        return Refused(message, "127.0.0.1 is that machine alone, 0.0.0.0 every network that it is in")
    if "executable file not found" in said:
        message = f"the image {front.image} has no HAProxy"
        return Refused(message, "name an image with HAProxy 2.6 or newer and bash, such as haproxy:2.6")
    return error
