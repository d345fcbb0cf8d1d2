"""A real registry for images, from Debian's docker-registry, where an engine for tests reaches it on its own loopback address."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import engines

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "/usr/bin/docker-registry"  # docker's own command of that name is another one
USER, PASSWORD = "ci", "open sesame"
_LINE = f"{USER}:$2b$04$vcXTUvoNpLJLSwMvLRMiJOGfKpaUs7M3Abu1sJi/4Xn2U./MOGRfO\n"  # bcrypt of the password


@dataclass(frozen=True)
class Registry:
    """Where the engine finds it, and where we do."""

    host: str  # as the engine says it: names of images begin so
    url: str

    def digest(self, repository: str, tag: str) -> str:
        """Return the digest by which the registry itself knows a tag."""
        address = f"{self.url}/v2/{repository.partition('/')[2]}/manifests/{tag}"
        accept = "application/vnd.docker.distribution.manifest.v2+json"
        with urllib.request.urlopen(urllib.request.Request(address, headers={"accept": accept})) as answer:
            return answer.headers["Docker-Content-Digest"]


@contextmanager
def running(rig: engines.Rig, folder: Path, *, is_closed: bool = False):
    """Give a registry, which wants to know USER where `is_closed`; skip where it is missing, or fail in CI."""
    if shutil.which(PROGRAM) is None:
        message = "a registry is missing: apt-get install docker-registry"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    port = engines.free_port()
    (folder / "passwords").write_text(_LINE)
    auth = f"auth: {{htpasswd: {{realm: tests, path: {folder}/passwords}}}}\n" if is_closed else ""
    listening = rig.address if rig.folder is None else "0.0.0.0"  # noqa: S104 - in a network of its own
    config = f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
    (folder / "config.yml").write_text(f"{config}http: {{addr: '{listening}:{port}'}}\n{auth}")
    inside = [] if rig.folder is None else rig.words[:2]  # the engine's own network
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*inside, PROGRAM, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        registry = Registry(f"127.0.0.1:{port}", f"http://{rig.address}:{port}")
        _wait(registry, process, folder / "log")
        yield registry
    finally:
        process.kill()
        process.wait()


def _wait(registry: Registry, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + 20
    while not _answers(registry):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)


def _answers(registry: Registry) -> bool:
    try:
        urllib.request.urlopen(f"{registry.url}/v2/").close()
    except urllib.error.HTTPError:
        return True  # it wants to know who asks
    except OSError:
        return False
    return True
