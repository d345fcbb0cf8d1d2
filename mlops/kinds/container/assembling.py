"""Assemble: the step that puts layers over the base under one configuration; its digest is the image's id. No engine is asked.

As jib and ko do: nothing is run to build it, so equal inputs give an equal image. The Dockerfile beside it makes an image of the same files
and the same configuration; a builder stamps it with times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.digests import PREFIX, canonical
from mlops.core.ops import Bindable, Made, Op
from mlops.kinds.container import bills, layers, locking, looking
from mlops.kinds.container.installing import PACKAGES, SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.worlds import World

LAYERS = ("packages.tar", "server.tar", "model.tar")  # what changes least comes first
NOBODY = "65532:65532"
_VERSION = 12  # hex digits of the model's digest that are its version on the wire
_CREATED = "1970-01-01T00:00:00Z"
_SECOND = 1_000_000_000  # nanoseconds
_OCI = "org.opencontainers.image"
_EVERY, _WITHIN, _START, _TIMES = 10, 2, 5, 3  # of the health check: seconds, seconds, seconds, tries


class Assemble(Op):
    """Write the model's layer and the configuration: outputs `built` (the image, not proved yet), `dockerfile` and `sbom`."""

    verb: ClassVar[str] = "container.assemble"

    base: Annotated[str, Bindable()]
    lock: Annotated[str, Bindable()]
    packages: Annotated[str, Bindable()]
    server: Annotated[str, Bindable()]
    artifact: Annotated[str, Bindable()]
    name: str
    port: int
    labels: dict[str, str]

    def run(self, world: World) -> Made:
        """Put it together from what is kept.

        Raises:
            WorldError: the disk is full, or an artifact is gone.
        """
        base = looking.read(world, self.base)
        path = world.scratch() / LAYERS[-1]
        layers.write(path, {f"models/{self.name}": world.artifacts.folder(self.artifact)})
        ours = dict(zip(LAYERS, (self.packages, self.server, world.artifacts.put_file(path)), strict=True))
        config = self.config(base)
        document = canonical(self.document(base, config, list(ours.values())))
        dockerfile = world.artifacts.put_bytes(world.templates.render("Dockerfile", self.words(base, config)).encode())
        files = {
            **ours,
            "config.json": world.artifacts.put_bytes(document),
            "manifest.json": world.artifacts.put_bytes(manifest(base)),
            "Dockerfile": dockerfile,
        }
        locked = locking.read(world.artifacts.read_bytes(self.lock))
        sbom = bills.bill(base, locked, self.name, self.artifact, self.server)
        outputs = {
            "built": world.artifacts.put_kept(files),
            "dockerfile": dockerfile,
            "sbom": world.artifacts.put_bytes(sbom),
        }
        facts = {"id": files["config.json"], "model": self.artifact, "version": self.version, "port": self.port}
        return Made(outputs, facts)

    @property
    def version(self) -> str:
        """The version on the wire, where nobody says otherwise."""
        return self.artifact.removeprefix(PREFIX)[:_VERSION]

    def config(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """Return how the image is run, in the words of the OCI image specification (config.md); the base's own comes first."""
        python = base["python"]["executable"]
        own = {
            "PYTHONPATH": f"/{PACKAGES}:/{SERVER}",
            "PYTHONDONTWRITEBYTECODE": "1",  # its disk cannot be written
            "PYTHONNOUSERSITE": "1",
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        inherited = [each for each in base["config"].get("Env") or [] if each.partition("=")[0] not in own]
        return {
            **{name: value for name, value in base["config"].items() if name in ("Volumes", "StopSignal") and value},
            "User": NOBODY,
            "WorkingDir": "/",
            "ExposedPorts": {f"{self.port}/tcp": {}},
            "Env": [*inherited, *(f"{name}={value}" for name, value in own.items())],
            "Entrypoint": [python, "-m", "mlops.serving", "--model", f"/models/{self.name}", "--name", self.name],
            "Cmd": ["--bind", f"0.0.0.0:{self.port}", "--version", self.version],
            "Healthcheck": {
                "Test": ["CMD", python, "-m", "mlops.serving.probing", str(self.port)],
                "Interval": _EVERY * _SECOND,
                "Timeout": _WITHIN * _SECOND,
                "StartPeriod": _START * _SECOND,
                "Retries": _TIMES,
            },
            "Labels": {**(base["config"].get("Labels") or {}), **self.all_labels(base)},
        }

    def all_labels(self, base: Mapping[str, Any]) -> dict[str, str]:
        """Return the labels: what it is and what it was made of, by digest. None tells when, or from which commit."""
        return {
            **self.labels,
            f"{_OCI}.title": self.name,
            f"{_OCI}.version": self.version,
            f"{_OCI}.base.name": base["name"],
            f"{_OCI}.base.digest": base["digest"],
            "dev.mlops.model": self.artifact,
            "dev.mlops.lock": self.lock,
            "dev.mlops.server": self.server,
        }

    def document(self, base: Mapping[str, Any], config: Mapping[str, Any], ours: list[str]) -> dict[str, Any]:
        """Return the image's configuration; `ours` are the diff ids of its layers over the base."""
        words = ("packages", "model server", f"model {self.name}")
        return {
            **base["platform"],
            "created": _CREATED,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [*base["layers"], *ours]},
            "history": [
                *({"created": _CREATED, "created_by": base["name"]} for _ in base["layers"]),
                *({"created": _CREATED, "created_by": f"mlops: {each}"} for each in words),
            ],
        }

    def words(self, base: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the Dockerfile is filled with."""
        from_base = base["config"].get("Labels") or {}
        env = [each.partition("=")[::2] for each in config["Env"] if each not in (base["config"].get("Env") or [])]
        labels = {name: value for name, value in config["Labels"].items() if from_base.get(name) != value}
        health = {"test": config["Healthcheck"]["Test"][1:], "every": _EVERY, "within": _WITHIN, "start": _START, "times": _TIMES}

        return {
            "base": base["reference"],
            "layers": LAYERS,
            "env": env,
            "labels": labels,
            "config": config,
            "health": health,
            "port": self.port,
        }


def manifest(base: Mapping[str, Any]) -> bytes:
    """Return the list that `docker load` reads; layers of the base are named by their diff ids and are not in the folder."""
    layers_of_base = [f"{each.removeprefix(PREFIX)}.tar" for each in base["layers"]]
    return canonical([{"Config": "config.json", "RepoTags": None, "Layers": [*layers_of_base, *LAYERS]}])
