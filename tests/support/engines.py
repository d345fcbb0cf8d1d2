"""A real Docker engine for the tests: the one that MLOPS_TEST_DOCKER names, or one that is started from what apt installs.

The image in it is Debian without anything but Python, certificates and HAProxy, made once and kept in the user's cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops.core.settings import Engine
from mlops.world import engines

IMAGE = "mlops-test-base:local"
CACHE = Path.home() / ".cache" / "mlops-tests"
PROGRAMS = {"dockerd": "docker.io", "containerd": "containerd", "ip": "iproute2", "debootstrap": "debootstrap"}
PACKAGES = "python3,ca-certificates,haproxy"


@dataclass
class Rig:
    """An engine and how it is reached; one of our own can be killed and started again."""

    host: str
    tls: Path | None = None
    folder: Path | None = None
    process: subprocess.Popen | None = None
    subnet: str = ""
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
            self.process = subprocess.Popen(["dockerd", *self.words], stdout=log, stderr=log, start_new_session=True)
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
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
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
        yield Rig(named)
        return
    _require()
    with tempfile.TemporaryDirectory(prefix="mlops-docker-", ignore_cleanup_errors=True) as above, _bridge() as (bridge, subnet):
        rig = _rig(Path(above, "engine"), bridge, subnet, tls=tls)
        rig.start()
        try:
            if image:
                load(rig)
            yield rig
        finally:
            rig.stop()


def _rig(folder: Path, bridge: str, subnet: str, *, tls: bool) -> Rig:
    folder.mkdir()
    rig = Rig(f"unix://{folder}/docker.sock", folder=folder, subnet=subnet)
    if tls:
        rig.tls = certificates(folder / "tls")
        rig.host = f"tcp://127.0.0.1:{free_port()}"
        names = {"--tlscacert": "ca.pem", "--tlscert": "server-cert.pem", "--tlskey": "server-key.pem"}
        rig.words += ["--tlsverify", *(word for flag, name in names.items() for word in (flag, str(rig.tls / name)))]
    rig.words += ["--host", rig.host, "--bridge", bridge, "--storage-driver", "overlay2", "--shutdown-timeout", "5"]
    rig.words += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/docker.pid"]
    # The rules of a second engine would tear down those of the first.
    rig.words += ["--iptables=false", "--ip-masq=false", "--default-address-pool", f"base={subnet},size=24"]
    return rig


def _require() -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        need = (
            f"is missing: apt-get install {' '.join(missing)}"
            if missing
            else "can be started by root only; MLOPS_TEST_DOCKER names another"
        )
        message = f"a Docker engine {need}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def _bridge():
    """Give a bridge of our own, and the range of addresses behind it; other engines have theirs."""
    for number in range(256):
        name = f"mlops-test{number}"
        if subprocess.run(["ip", "link", "add", name, "type", "bridge"], capture_output=True, check=False).returncode == 0:
            break
    subnet = f"10.{200 + number // 16}.{16 * (number % 16)}.0/20"
    subprocess.run(["ip", "address", "add", f"{ipaddress.ip_network(subnet)[1]}/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    rule = ["FORWARD", "-s", subnet, "-d", subnet, "-j", "ACCEPT"]  # another engine on this machine drops what it does not know
    has_rule = shutil.which("iptables") and subprocess.run(["iptables", "-I", *rule], check=False).returncode == 0
    try:
        yield name, subnet
    finally:
        if has_rule:
            subprocess.run(["iptables", "-D", *rule], check=False)
        subprocess.run(["ip", "link", "delete", name], check=False)


def load(rig: Rig) -> None:
    """Bring the image into the engine."""
    client = rig.client()
    client.api.timeout = 120
    with base().open("rb") as tar:
        client.api.import_image_from_data(tar, repository=IMAGE.partition(":")[0], tag=IMAGE.partition(":")[2])
    client.close()


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


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def certificates(folder: Path) -> Path:
    """Write an authority, the engine's certificate for 127.0.0.1, and the client's, under the names that Docker looks for."""
    folder.mkdir()
    _openssl(folder, "req", "-x509", "-nodes", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2")
    for name, extension in (("server-", "subjectAltName=IP:127.0.0.1"), ("", "extendedKeyUsage=clientAuth")):
        (folder / "extension").write_text(extension)
        request = ["-nodes", "-subj", f"/CN={name or 'client'}", "-keyout", f"{name}key.pem", "-out", f"{name}request.pem"]
        _openssl(folder, "req", "-newkey", "rsa:2048", *request)
        signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "extension"]
        _openssl(folder, "x509", "-req", "-in", f"{name}request.pem", "-out", f"{name}cert.pem", *signing)
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
