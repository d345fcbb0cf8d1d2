"""Deliveries on a real engine: images of `faulty.py`, the world and the op of a rollout, and clients that ask all the time."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import tarfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from mlops.core.digests import canonical
from mlops.core.fronts import Group, Release
from mlops.core.settings import Allow
from mlops.core.worlds import Place
from mlops.delivery.strategies import Strategy
from mlops.kinds.rollout.docker import Deliver, Remove, Target
from mlops.world.doors import Doors

from engines import IMAGE, free_port

FAULTY = Path(__file__).with_name("faulty.py")
QUICK = {"scale_down_delay": 1, "progress_deadline": 60}
ROLLOUT = "rollout.credit"
INFER = "/v2/models/credit/infer"


def image(rig, folder: Path, version: str, fault: str = "none") -> Path:
    """Write an image of the faulty server, as `kinds.container` would: its own layer over the base that the engine has."""
    client = rig.client()
    base = client.api.inspect_image(IMAGE)["RootFS"]["Layers"]
    client.close()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        member = tarfile.TarInfo("faulty.py")
        member.size, member.mode = FAULTY.stat().st_size, 0o644
        tar.addfile(member, io.BytesIO(FAULTY.read_bytes()))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    artifact = hashlib.sha256(version.encode()).hexdigest()
    labels = {"dev.mlops.model": f"sha256:{artifact}", "org.opencontainers.image.title": "credit"}
    config = {
        "Env": [f"VERSION={version}", f"FAULT={fault}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        "Entrypoint": ["python3", "/faulty.py"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {**labels, "org.opencontainers.image.version": version},
    }
    document = {"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z", "config": config}
    document["rootfs"] = {"type": "layers", "diff_ids": [*base, f"sha256:{digest}"]}
    document["history"] = [{"created": "1970-01-01T00:00:00Z"}] * (len(base) + 1)
    layers = [*(f"{each.removeprefix('sha256:')}.tar" for each in base), "faulty.tar"]
    folder.mkdir(parents=True)
    (folder / "faulty.tar").write_bytes(layer.getvalue())
    (folder / "config.json").write_bytes(canonical(document))
    (folder / "manifest.json").write_bytes(canonical([{"Config": "config.json", "RepoTags": None, "Layers": layers}]))
    return folder


@dataclass
class Notes:
    """The report of a step: keeps what it says, when, and its checkpoints, in a file too where there is one."""

    file: Path | None = None
    said: list[tuple[float, str]] = field(default_factory=list)
    last: dict | None = None

    def progress(self, message, done=None):
        self.said.append((time.monotonic(), message))

    def checkpoint(self, data):
        self.last = json.loads(json.dumps(data))
        if self.file:
            self.file.with_suffix(".new").write_text(json.dumps(data))
            self.file.with_suffix(".new").rename(self.file)

    def when(self, fragment: str) -> float:
        """Return when something with the fragment was said first."""
        return next(at for at, message in self.said if fragment in message)


@dataclass
class Harbour:
    """One rollout of a project of its own on the engine."""

    rig: object
    root: Path
    port: int = field(default_factory=free_port)
    project: str = field(default_factory=lambda: f"d3-{secrets.token_hex(4)}")

    @property
    def address(self) -> tuple[str, int]:
        """Return (host, port) that the proxy listens on."""
        return self.rig.address, self.port

    def world(self, notes: Notes | None = None, allow: Allow | None = None) -> Doors:
        """Return the real doors."""
        return Doors(Place(str(self.root), self.project, "dev", allow or Allow()), notes or Notes())

    def image(self, version: str, fault: str = "none") -> str:
        """Keep an image and return its digest."""
        folder = self.root / "images" / f"{version}-{fault.replace(':', '-')}"
        return self.world().artifacts.put_folder(folder if folder.exists() else image(self.rig, folder, version, fault))

    def op(self, image: str, replicas: int = 2, **strategy) -> Deliver:
        """Return the op that delivers the image."""
        engine = self.rig.engine.model_dump(mode="json", exclude_defaults=True)
        target = {"type": "docker", "engine": engine, "host": self.rig.address, "port": self.port, "proxy": {"image": IMAGE}}
        return Deliver(
            rollout=ROLLOUT,
            image=image,
            target=Target.model_validate(target),
            port=self.port,
            replicas=replicas,
            memory=None,
            cpus=None,
            drain=5,
            sticky=None,
            strategy=Strategy.model_validate(strategy),
        )

    def deliver(self, version: str, fault: str = "none", **strategy):
        """Deliver a version at once; return what was made and what was said."""
        notes = Notes()
        made = self.op(self.image(version, fault), **(strategy or {"rolling": QUICK})).run(self.world(notes))
        return made, notes

    def look(self):
        """Return (replicas, proxy) as they are."""
        world = self.world()
        return world.containers.look(self.rig.engine, ROLLOUT), world.proxies.look(self.rig.engine, ROLLOUT)

    def versions(self) -> list[str]:
        """Return the version of each running replica, sorted."""
        return sorted(one.release.version for one in self.look()[0] if one.state == "running")

    def remove(self) -> None:
        """Remove all that the project has on the engine."""
        Remove(rollout=ROLLOUT, engine=self.rig.engine, drain=1).run(self.world())

    def group(self, version: str, fault: str = "none", count: int = 2) -> Group:
        """Return replicas of a version, for tests of a door."""
        world = self.world()
        loaded = world.images.load(self.rig.engine, world.artifacts.folder(self.image(version, fault)))
        identity = hashlib.sha256(f"{version} {fault}".encode()).hexdigest()[:12]
        return Group(ROLLOUT, Release(identity, loaded, "sha256:0", "credit", version, 8080), count)


class Load:
    """Clients that keep their connections and ask for predictions all the time; what is not 200 is a failure."""

    def __init__(self, address: tuple[str, int], clients: int = 4, path: str = INFER, body: bytes = b"{}") -> None:
        self.address, self.path, self.body = address, path, body
        self.answers: list[tuple[float, str]] = []  # when, and which version
        self.failures: list[tuple[float, object, str]] = []
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self):
        connection = HTTPConnection(*self.address, timeout=10)
        while not self._is_over.is_set():
            try:
                connection.request("POST", self.path, self.body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                version = answer.headers.get("x-mlops-version", "")
                self.answers.append((time.monotonic(), version))
                if answer.status != 200:
                    self.failures.append((time.monotonic(), answer.status, version))
            except (OSError, HTTPException) as error:
                self.failures.append((time.monotonic(), repr(error), ""))
                connection.close()
            time.sleep(0.002)  # the machine is the servers', too
        connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def counts(self, since: float = 0.0, until: float = float("inf")) -> Counter[str]:
        """Return how many answers each version gave in a time."""
        return Counter(version for at, version in list(self.answers) if since <= at <= until)

    def share(self, version: str, since: float = 0.0, until: float = float("inf")) -> float:
        """Return the percent of the answers that the version gave in a time."""
        counts = self.counts(since, until)
        return 100 * counts[version] / max(1, counts.total())


def eventually(is_true, seconds: float = 30.0) -> None:
    """Wait until something is true; what cannot be looked at yet is not."""
    until = time.monotonic() + seconds
    while True:
        with suppress(Exception):
            if is_true():
                return
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.1)
