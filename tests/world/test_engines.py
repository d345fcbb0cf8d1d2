"""The door to Docker engines, with real ones: which are opened, and what is said of those that are not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import docker
import pytest
from pydantic import ValidationError

from mlops.core.errors import Refused, Unavailable
from mlops.core.settings import Engine
from mlops.world import engines as door
from mlops.world import tunnels

import engines


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def guarded():
    """Give an engine behind TCP that knows its clients by their certificates."""
    with engines.running(is_own=True, tls=True, image=False) as rig:
        yield rig


def refused(engine, error=Refused):
    with pytest.raises(error) as raised, door.opened(engine):
        pass
    return raised.value


@pytest.mark.parametrize(
    "host",
    [
        "docker",
        "unix://relative",
        "http://localhost:2375",
        "tcp://",
        "tcp://-o:2376",
        "ssh://-oProxyCommand=x",
        "ssh://me@-x",
        "ssh://a b",
    ],
)
def test_a_host_that_docker_would_not_take_is_refused_before_anything_is_tried(host):
    with pytest.raises(ValidationError, match="is no engine: write unix:///SOCKET"):
        Engine(host=host, tls=False if host.startswith("tcp") else None)


def test_a_port_without_tls_must_be_said_to_be_meant_so():
    with pytest.raises(ValidationError, match="is root there: name the folder of the certificates"):
        Engine(host="tcp://127.0.0.1:2375")
    assert Engine(host="tcp://127.0.0.1:2375", tls=False).tls is False
    with pytest.raises(ValidationError, match="tls belongs to an engine behind tcp"):
        Engine(host="unix:///var/run/docker.sock", tls="/certificates")


def test_without_a_host_dockers_own_variables_say_where_the_engine_is(monkeypatch):
    assert door.where(Engine()) == ("unix:///var/run/docker.sock", None)
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@build")
    assert door.where(Engine())[0] == "ssh://me@build"
    assert not door.is_here(Engine())
    monkeypatch.setenv("DOCKER_HOST", "tcp://build:2376")
    assert "DOCKER_TLS_VERIFY=1" in refused(Engine()).hint
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certificates")
    assert str(door.where(Engine())[1]) == "/certificates"
    monkeypatch.setenv("DOCKER_HOST", "fish")
    assert refused(Engine()).message == "DOCKER_HOST=fish is no engine"


def test_where_no_engine_is_it_says_so_and_where_it_looked(tmp_path):
    error = refused(Engine(host=f"unix://{tmp_path}/docker.sock"), Unavailable)
    assert error.message == f"there is no Docker engine at unix://{tmp_path}/docker.sock: no such socket"
    assert "DOCKER_HOST" in error.hint


def test_a_socket_that_nobody_listens_on_may_be_listened_on_later(tmp_path):
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "docker.sock"))
        assert "nobody listens" in refused(Engine(host=f"unix://{tmp_path}/docker.sock"), Unavailable).message
    assert "nobody listens" in refused(Engine(host=f"tcp://127.0.0.1:{engines.free_port()}", tls=False), Unavailable).message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_user_without_permission_on_the_socket_is_told_whose_it_is():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as bound:
        path = Path(folder) / "docker.sock"
        bound.bind(str(path))
        bound.listen()
        path.chmod(0o600)
        path.parent.chmod(0o755)  # others may look at the socket, as in /var/run
        os.seteuid(65534)
        try:
            error = refused(Engine(host=f"unix://{path}"))
        finally:
            os.seteuid(0)
    assert error.message == f"you have no permission on {path}, the socket of the Docker engine"
    assert "become a member of the group root" in error.hint


def test_a_host_that_does_not_exist_is_named():
    assert "was not found" in refused(Engine(host="tcp://nowhere.invalid:2376", tls=False), Unavailable).message


def test_an_engine_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(door, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = Engine(host=f"tcp://127.0.0.1:{silent.getsockname()[1]}", tls=False)
        assert "did not answer in time" in refused(engine, Unavailable).message


def test_something_else_that_answers_on_the_port_is_no_engine():
    def answer():
        with server.accept()[0] as one:
            one.recv(4096)
            one.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nhello"[:-1])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, daemon=True).start()
        assert "refused (404): hell" in refused(Engine(host=f"tcp://127.0.0.1:{server.getsockname()[1]}", tls=False)).message


def test_an_engine_behind_tls_is_opened_with_certificates_whatever_the_variables_for_the_web_say(guarded, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(guarded.tls / "client-of-the-web.pem"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with door.opened(guarded.engine) as client:
        assert client.ping()
        assert client.version()["Version"]


def test_a_wrong_certificate_is_no_bug_but_told(guarded, tmp_path):
    foreign = engines.certificates(tmp_path / "tls")
    assert "was not trusted" in refused(Engine(host=guarded.host, tls=str(foreign))).message
    shutil.copy(guarded.tls / "ca.pem", foreign / "ca.pem")
    assert "did not trust us" in refused(Engine(host=guarded.host, tls=str(foreign))).message
    (foreign / "key.pem").unlink()
    assert refused(Engine(host=guarded.host, tls=str(foreign))).message == f"{foreign} has no key.pem"


def test_an_engine_that_wants_tls_and_gets_none_says_so(guarded):
    error = refused(Engine(host=guarded.host, tls=False))
    assert error.message.endswith("it wants TLS")
    assert "tls" in error.hint


def test_an_image_that_is_not_there_is_named(engine):
    with (
        pytest.raises(Refused, match="has not the image: .*mlops-e1-nothing:1") as raised,
        door.opened(engine.engine) as client,
    ):
        client.images.get("mlops-e1-nothing:1")
    assert "docker pull" in raised.value.hint


def test_a_name_in_use_is_refused_and_the_container_that_has_it_stays(engine):
    with door.opened(engine.engine) as client:
        first = client.containers.create(engine.image, ["true"], name=f"mlops-e1-{os.getpid()}")
    try:
        with pytest.raises(Refused, match="is already in use by container") as raised, door.opened(engine.engine) as client:
            client.containers.create(engine.image, ["true"], name=first.name)
        assert "docker rm --force" in raised.value.hint
    finally:
        first.remove()


def test_a_full_disk_of_the_engine_is_told_with_what_to_do():
    error = docker.errors.APIError("500", explanation="write /var/lib/docker/tmp/x: no space left on device")
    found = door.explained(error, Engine())
    assert isinstance(found, Refused)
    assert found.message.endswith("its disk is full")
    assert "docker system prune" in found.hint


def test_an_engine_that_goes_away_in_the_middle_may_come_back(own_engine):
    rig = own_engine(image=False)
    with pytest.raises(Unavailable), door.opened(rig.engine) as client:  # noqa: PT012 - the second call is the one
        client.ping()
        rig.kill()
        client.ping()
    rig.start()
    with door.opened(rig.engine) as client:
        assert client.ping()


# -- behind SSH --------------------------------------------------------------------------------------------------------


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def host(engine, tmp_path, monkeypatch):
    """Give `ssh://…` of an SSH server of this machine, before the engine's socket; its user's key and host are known."""
    if shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        message = "sshd is missing: apt-get install openssh-server"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    if not engine.host.startswith("unix://"):
        pytest.skip("the engine for tests has no socket")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port = engines.free_port()
    os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 - sshd wants it
    options = [f"HostKey={tmp_path}/host", f"AuthorizedKeysFile={tmp_path}/user.pub", "StrictModes=no", f"PidFile={tmp_path}/pid"]
    options += ["UsePAM=no", "ListenAddress=127.0.0.1", f"Port={port}"]
    words = [word for option in options for word in ("-o", option)]
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    (tmp_path / "config").write_text(f"IdentityFile {tmp_path}/user\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known\n")
    own = tmp_path / "bin"
    own.mkdir()
    (own / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')  # the user's ~/.ssh/config
    (own / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}:{os.environ['PATH']}")
    until = time.monotonic() + 10
    while not listens(port) and time.monotonic() < until:
        time.sleep(0.05)
    yield f"ssh://root@127.0.0.1:{port}{engine.host.removeprefix('unix://')}"
    tunnels._close_all()
    server.terminate()
    server.wait()


def test_an_engine_behind_ssh_answers_and_so_it_does_after_the_tunnel_broke(host):
    with door.opened(Engine(host=host)) as client:
        assert client.ping()
    tunnels._tunnels[host][0].kill()
    tunnels._tunnels[host][0].wait()
    with door.opened(Engine(host=host)) as client:
        assert client.ping()


def test_a_host_that_ssh_does_not_know_or_that_does_not_know_us_is_refused_with_sshs_words(host, tmp_path):
    (tmp_path / "user.pub").write_text("")
    error = refused(Engine(host=host))
    assert "Permission denied" in error.message
    (tmp_path / "known").write_text("")
    assert "Host key verification failed" in refused(Engine(host=host)).message
    assert "known ones" in error.hint


def test_a_host_where_no_ssh_server_listens_may_be_there_later():
    error = refused(Engine(host=f"ssh://127.0.0.1:{engines.free_port()}"), Unavailable)
    assert "Connection refused" in error.message
