"""Labels and names of what rollouts keep on an engine, so that it is found again after a kill, by whoever comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused

if TYPE_CHECKING:
    from docker import DockerClient

    from mlops.core.worlds import Place

ADDRESS = "dev.mlops.address"
ENVIRONMENT = "dev.mlops.environment"
PROJECT = "dev.mlops.project"
RELEASE = "dev.mlops.release"
ROLE = "dev.mlops.role"
VERSION = "dev.mlops.version"
MADE = "dev.mlops.made"  # all of a release, as JSON: a replica itself says what it was made of
STRUCTURE = "dev.mlops.structure"


def prefix(place: Place, rollout: str = "") -> str:
    """Return how the names of a rollout's things begin; a dot stands in no name, so that no two rollouts share one."""
    return ".".join(["mlops", place.project, place.environment, *([rollout.partition(".")[2]] if rollout else [])])


def labels(place: Place, rollout: str, role: str) -> dict[str, str]:
    """Return what everything of a rollout carries; `role` is replica or proxy."""
    return {PROJECT: place.project, ENVIRONMENT: place.environment, ADDRESS: rollout, ROLE: role}


def containers(client: DockerClient, place: Place, rollout: str, role: str) -> list[dict[str, Any]]:
    """Return the containers of a rollout, running or not, as the engine lists them, by name."""
    wanted = [f"{name}={value}" for name, value in labels(place, rollout, role).items()]
    rows: list[dict[str, Any]] = client.api.containers(all=True, filters={"label": wanted})
    return sorted(rows, key=name_of)


def name_of(row: dict[str, Any]) -> str:
    """Return the name of a listed container."""
    return str(row["Names"][0]).lstrip("/") if row.get("Names") else ""  # one that is being removed has none


def network(client: DockerClient, place: Place) -> str:
    """Return the name of the network in which the project's containers of this environment find each other; make it if needed."""
    name = prefix(place)
    if not any(one["Name"] == name for one in client.api.networks(names=[name])):
        own = {PROJECT: place.project, ENVIRONMENT: place.environment}
        client.api.create_network(name, driver="bridge", labels=own, check_duplicate=True)
    return name


def remove_network(client: DockerClient, place: Place) -> None:
    """Remove the network once no container of the project's environment is left, running or not."""
    own = [f"{PROJECT}={place.project}", f"{ENVIRONMENT}={place.environment}"]
    if not client.api.containers(all=True, filters={"label": own}):
        for one in client.api.networks(names=[prefix(place)], filters={"label": own}):
            client.api.remove_network(one["Id"])


def refuse_foreign(row: dict[str, Any], name: str, own: dict[str, str]) -> None:
    """Refuse a container that has the name of ours and is not ours."""
    if any((row["Config"]["Labels"] or {}).get(label) != value for label, value in own.items()):
        message = f"the name {name} is in use by a container that mlops did not make for {own[ADDRESS]}"
        raise Refused(message, f"rename it (docker rename {name} NAME) or remove it")
