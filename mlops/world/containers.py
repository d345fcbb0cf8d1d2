"""The door to replicas in containers: `kinds.rollout.docker` says which there should be, on which engine.

A replica can write to nothing but its own /tmp, has no capability and no way to get one, and runs as a user that is not root. Docker starts
one that died again, and all of them when the engine starts; one that somebody stopped or killed by hand stays down until the next apply.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops.core.fronts import Release, Replica
from mlops.world import engines, execs, labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docker import DockerClient

    from mlops.core.fronts import Group
    from mlops.core.settings import Engine
    from mlops.core.worlds import Place

USER = "65532:65532"  # what images without root commonly call nonroot; only its not being 0 matters
_PROCESSES = 256
_MARGIN = 5  # seconds for a replica to end once nothing is in flight
_CPU = 1_000_000_000
_STARTING = ("created", "restarting")
_ASK = """
import http.client, json, sys
asked = json.loads(sys.stdin.readline())
connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=asked["seconds"])
connection.request(asked["method"], asked["path"], asked["body"], {"content-type": "application/json"})
answer = connection.getresponse()
sys.stdout.buffer.write(b"%d\\n" % answer.status + answer.read())
"""
_PATIENCE = 10.0  # seconds for a replica's answer


class EngineContainers:
    """The replicas of one project and environment, on whichever engine."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def names(self, group: Group) -> tuple[str, ...]:
        """Return HOST:PORT of each replica; the host is its name in the network: at most 63 characters, as DNS allows."""
        return tuple(f"{_alias(group, number)}:{group.release.port}" for number in range(1, group.count + 1))

    def ensure(self, engine: Engine, group: Group, say: Callable[[str], None]) -> None:
        """Create and start what is missing of the group; return once all run.

        Raises:
            Refused: the image is not there, a name is in use by something that is not ours, the engine says no.
            Unavailable: the engine does not answer.
        """
        with engines.opened(engine) as client:
            labels.network(client, self._place)
            for number in range(1, group.count + 1):
                self._ensure(client, group, number, say)

    def look(self, engine: Engine, rollout: str) -> tuple[Replica, ...]:
        """Return all replicas of the rollout, of every release, by name."""
        with engines.opened(engine) as client:
            rows = labels.containers(client, self._place, rollout, "replica")
            return tuple(_replica(_inspected(client, row)) for row in rows if row.get("Names"))

    def stop(self, engine: Engine, rollout: str, names: Sequence[str], drain: float) -> None:
        """Send SIGTERM to all named replicas, wait `drain` seconds for what is in flight, and remove them."""
        with engines.opened(engine) as client:
            rows = labels.containers(client, self._place, rollout, "replica")
            hosts = {name.partition(":")[0] for name in names}
            ids = [row["Id"] for row in rows if labels.name_of(row).rpartition(".")[2] in hosts]
            _end(client, ids, drain)
            labels.remove_network(client, self._place)

    def ask(self, engine: Engine, rollout: str, server: str, call: tuple[str, str, bytes | None]) -> tuple[int, bytes]:
        """Send (method, path, body) to the replica HOST:PORT from inside its container, by its own Python.

        Raises:
            Refused: it does not answer; Unavailable: not in time.
        """
        method, path, body = call
        host, _, port = server.rpartition(":")
        asked = {"port": int(port), "method": method, "path": path, "seconds": _PATIENCE, "body": body.decode() if body else None}
        container = f"{labels.prefix(self._place, rollout)}.{host}"
        with engines.opened(engine) as client:
            line = json.dumps(asked).encode() + b"\n"
            answer = execs.run(client, container, ["python3", "-c", _ASK], line, _PATIENCE + 5)
        status, _, data = answer.partition(b"\n")
        return int(status), data

    def identity(self, engine: Engine) -> str:
        """Return the id that the engine has given itself; it stays over a restart."""
        with engines.opened(engine) as client:
            return str(client.api.info()["ID"])

    # -- one replica -------------------------------------------------------------------------------------------------

    def _ensure(self, client: DockerClient, group: Group, number: int, say: Callable[[str], None]) -> None:
        name = f"{labels.prefix(self._place, group.rollout)}.{_alias(group, number)}"
        found = _named(client, name)
        if found is not None:
            labels.refuse_foreign(found, name, labels.labels(self._place, group.rollout, "replica"))
            if found["State"]["Status"] == "running":
                return
            if found["State"]["Status"] == "paused":
                client.api.unpause(found["Id"])
                return
        else:
            self._create(client, group, number, name)
        client.api.start(name)
        say(f"started replica {number} of {group.count} of version {group.release.version}")

    def _create(self, client: DockerClient, group: Group, number: int, name: str) -> None:
        release = group.release
        own = labels.labels(self._place, group.rollout, "replica")
        network = labels.prefix(self._place)
        alias = client.api.create_endpoint_config(aliases=[_alias(group, number)])
        client.api.create_container(
            release.image,
            command=list(release.arguments) or None,
            name=name,
            hostname=_alias(group, number),
            user=USER,
            labels=own | {labels.RELEASE: release.id, labels.VERSION: release.version, labels.MADE: json.dumps(asdict(release))},
            host_config=_limits(client, release, network),
            networking_config=client.api.create_networking_config({network: alias}),
        )


def _limits(client: DockerClient, release: Release, network: str) -> Any:
    return client.api.create_host_config(
        read_only=True,
        tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m"},  # noqa: S108 - the replica's own, in its memory
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        pids_limit=_PROCESSES,
        mem_limit=release.memory,
        nano_cpus=int(release.cpus * _CPU) if release.cpus else None,
        restart_policy={"Name": "unless-stopped"},
        network_mode=network,
        init=False,  # the server is process 1 and heeds SIGTERM itself
        log_config={"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}},
    )


def _alias(group: Group, number: int) -> str:
    return f"{group.rollout.partition('.')[2]}-{group.release.id}-{number}"


def _named(client: DockerClient, name: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        return client.api.inspect_container(name)  # type: ignore[no-any-return] # the SDK has no types
    except NotFound:
        return None


def _inspected(client: DockerClient, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return all about a listed container; one that is gone meanwhile is as its list row said."""
    found = _named(client, row["Id"])
    if found is None:
        state = {"Status": "exited", "StartedAt": "", "ExitCode": 0, "FinishedAt": ""}
        return {"Name": row["Names"][0], "Config": {"Labels": row["Labels"]}, "State": state, "RestartCount": 0}
    return found


def _replica(found: Mapping[str, Any]) -> Replica:
    state, own = found["State"], found["Config"]["Labels"]
    is_alive = state["Status"] == "running"
    return Replica(
        name=found["Name"].rpartition(".")[2],
        release=_made(own[labels.MADE]),
        state="running" if is_alive else "dead",
        since=state["StartedAt"][:19] + "Z" if state["StartedAt"] else "",
        ended="" if is_alive else _ending(state),
        died="" if is_alive and not found["RestartCount"] else state["FinishedAt"],
    )


def _made(text: str) -> Release:
    data = json.loads(text)
    return Release(**{**data, "arguments": tuple(data["arguments"])})


def _ending(state: Mapping[str, Any]) -> str:
    """Return how a container ended, in words."""
    if state.get("OOMKilled"):
        return "out of memory: killed"
    if state["Status"] in _STARTING:
        return f"exit code {state['ExitCode']}, being started again" if state["Status"] == "restarting" else "never started"
    if state["Status"] == "paused":
        return "paused"
    return f"exit code {state['ExitCode']} at {state['FinishedAt'][:19].replace('T', ' ')} UTC"


def _end(client: DockerClient, ids: Sequence[str], drain: float) -> None:
    """Tell all to end at once, then wait for each and remove it."""
    from docker.errors import APIError, NotFound

    for one in ids:
        _unless_gone(partial(client.api.update_container, one, restart_policy={"Name": "no"}))
        _unless_gone(partial(client.api.kill, one, "SIGTERM"))
    for one in ids:
        try:
            client.api.stop(one, timeout=int(drain) + _MARGIN)
            client.api.remove_container(one, v=True, force=True)
        except NotFound:
            continue
        except APIError as error:
            if "removal of container" not in str(error):  # another hand removes it: as wanted
                raise


def _unless_gone(act: Callable[[], object]) -> None:
    """Do what makes no difference where the container is not there, or does not run."""
    from docker.errors import APIError

    try:
        act()
    except APIError as error:
        if error.status_code not in (404, 409):  # gone; not running
            raise
