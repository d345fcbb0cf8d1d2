"""A real Docker engine for the tests: the one that MLOPS_TEST_DOCKER names, or one that is started from what apt installs.

The image in it is Debian without anything but Python, certificates and HAProxy, made once and kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops.core.settings import Engine
from mlops.world import engines

ROOT = Path(__file__).parents[2]
IMAGE = "mlops-test-base:local"
MEMORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)  # noqa: S108 - no disk to wait for
CACHE = Path.home() / ".cache" / "mlops-tests"
PROGRAMS = {"dockerd": "docker.io", "iptables": "iptables", "ip": "iproute2", "debootstrap": "debootstrap"}
PACKAGES = "python3,ca-certificates,haproxy"


@dataclass
class Rig:
    """An engine and how it is reached; one of our own can be killed and started again."""

    host: str
    tls: Path | None = None
    folder: Path | None = None
    process: subprocess.Popen | None = None
    address: str = "127.0.0.1"  # where published ports are reached
    image: str = IMAGE
    words: list[str] = field(default_factory=list)  # of the command line

    @property
    def engine(self) -> Engine:
        """Return what a spec would say of it."""
        return Engine.model_validate({"host": self.host, **({"tls": str(self.tls)} if self.tls else {})})

    def client(self):
        """Return a client of Docker's SDK."""
        return engines.open(self.engine)

    def start(self) -> None:
        """Start it, as after a crash too."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 30
        while not self._answers():
            said = (self.folder / "log").read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it as a power cut would: the engine, its containerd, and what runs in containers."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pid in _mentioning(str(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("docker.pid", "docker.sock", "exec/containerd/containerd.pid"):  # those who see them think it lives
            (self.folder / name).unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it with its containers, and remove all that it kept."""
        self.kill()
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if f" {self.folder}" in line]
        for mount in reversed(mounts):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        with contextlib.suppress(Exception):  # whatever it says while it starts
            self.client().close()
            return True
        return False


def _mentioning(text: str) -> list[int]:
    """Return the processes whose command line has the text: those of the engine in that folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text in line.read_bytes().decode(errors="replace"):
                found.append(int(line.parent.name))
    return found


@contextmanager
def running(*, is_own: bool = False, tls: bool = False, image: bool = True):
    """Give an engine; where Docker is missing, skip, or fail in CI. `tls`: behind TCP, with certificates of its own."""
    named = os.environ.get("MLOPS_TEST_DOCKER")
    if named and not is_own:
        yield load(Rig(named))
        return
    _require()
    with tempfile.TemporaryDirectory(prefix="mlops-docker-", dir=MEMORY) as above, _net() as (net, address):
        rig = _rig(Path(above, "engine"), net, address, tls=tls)
        rig.start()
        try:
            yield load(rig) if image else rig
        finally:
            rig.stop()


def _rig(folder: Path, net: str, address: str, *, tls: bool) -> Rig:
    folder.mkdir()
    rig = Rig(f"unix://{folder}/docker.sock", folder=folder, address=address)
    rig.words = ["nsenter", f"--net=/run/netns/{net}", "dockerd", "--storage-driver", "overlay2"]
    if tls:
        rig.tls = certificates(folder / "tls", address)
        rig.host = f"tcp://{address}:2376"
        names = {"--tlscacert": "ca.pem", "--tlscert": "server-cert.pem", "--tlskey": "server-key.pem"}
        rig.words += ["--tlsverify", *(word for flag, name in names.items() for word in (flag, str(rig.tls / name)))]
    rig.words += ["--host", rig.host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    rig.words += ["--pidfile", f"{folder}/docker.pid"]
    return rig


def _require() -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing and os.geteuid() == 0:
        return
    need = f"is missing: apt-get install {' '.join(missing)}" if missing else "is started by root only"
    message = f"a Docker engine {need}; MLOPS_TEST_DOCKER names one that runs"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def _net():
    """Give a network of its own, and the address at which we reach it.

    Two engines in one network fight: each tears down the other's bridge and rules when it starts.
    """
    for number in range(250):
        name = f"mlops-test{number}"
        if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0:
            break
    ours, address = f"10.213.{number}.1/24", f"10.213.{number}.2"
    for words in (
        f"link add {name} type veth peer name eth0 netns {name}",
        f"address add {ours} dev {name}",
        f"link set {name} up",
        f"-n {name} address add {address}/24 dev eth0",
        f"-n {name} link set eth0 up",
        f"-n {name} link set lo up",
        f"-n {name} route add default via {ours.partition('/')[0]}",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    try:
        yield name, address
    finally:
        subprocess.run(["ip", "link", "delete", name], check=False)
        subprocess.run(["ip", "netns", "delete", name], check=False)


def load(rig: Rig) -> Rig:
    """Bring the image into the engine, if it is not there; return the engine."""
    with contextlib.closing(rig.client()) as client:
        client.api.timeout = 120
        if not client.images.list(IMAGE):
            with base().open("rb") as tar:
                client.api.import_image_from_data(tar, repository=IMAGE.partition(":")[0], tag=IMAGE.partition(":")[2])
    return rig


def base() -> Path:
    """Return the file system of the image as a tar; it is made once, by one of the processes that want it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / "base.tar"
    with (CACHE / "base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                made = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", f"{folder}/root"]
                subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
                subprocess.run(["tar", "-C", f"{folder}/root", "-cf", f"{folder}/base.tar", "."], check=True)
                Path(folder, "base.tar").rename(path)
    return path


def interpreter(folder: Path) -> tuple[str, list[dict[str, str]]]:
    """Return a program that is this Python with mlops and the toys of the tests, and the mounts that it needs in the image."""
    if sys.base_prefix == "/usr" and sys.version_info[:2] != (3, 11):
        pytest.skip("the image has Python 3.11, and this one cannot be mounted there")
    program = folder / "python-with-mlops"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}:{ROOT}/tests/support exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    own = [] if sys.base_prefix == "/usr" else [sys.base_prefix]
    return str(program), [{"source": str(path)} for path in (program, ROOT / "mlops", ROOT / "tests/support", sys.prefix, *own)]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def certificates(folder: Path, address: str = "127.0.0.1") -> Path:
    """Write an authority, the engine's certificate for the address, and the client's, under the names that Docker looks for."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", "-nodes", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2")
    for name, extension in (("server-", f"subjectAltName=IP:{address}"), ("", "extendedKeyUsage=clientAuth")):
        (folder / "extension").write_text(extension)
        request = ["-nodes", "-subj", f"/CN={name or 'client'}", "-keyout", f"{name}key.pem", "-out", f"{name}request.pem"]
        _openssl(folder, "req", "-newkey", "rsa:2048", *request)
        signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "extension"]
        _openssl(folder, "x509", "-req", "-in", f"{name}request.pem", "-out", f"{name}cert.pem", *signing)
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
