"""The supervisor: it outlives, ends, and is reached by its own user alone."""

import errno
import os
import signal
import socket
from pathlib import Path

import pytest
from fleets import OLD, eventually, ours, runtime

from mlops.core.errors import Unavailable
from mlops.world import controls, deploying


def test_replicas_die_with_a_killed_supervisor_and_a_deploy_restores_all(fleets):
    fleets.deploy(OLD, 2)
    os.kill(fleets.supervisor(), signal.SIGKILL)
    eventually(lambda: not ours(fleets.root))
    assert fleets.door.look(fleets.handle).address is None
    fleets.deploy(OLD, 2)
    assert fleets.is_serving(OLD, 2)


def test_a_deploy_right_after_the_supervisor_was_killed_waits_for_the_port(fleets):
    fleets.deploy(OLD, 2)
    os.kill(fleets.supervisor(), signal.SIGKILL)
    fleets.deploy(OLD, 2)
    eventually(lambda: fleets.is_serving(OLD, 2))


def test_a_supervisor_that_is_told_to_end_drains_its_replicas(fleets):
    fleets.deploy(OLD, 2)
    os.kill(fleets.supervisor(), signal.SIGTERM)
    eventually(lambda: not ours(fleets.root))


def test_no_secret_reaches_the_replicas(fleets, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_WAREHOUSE", "hunter2")
    fleets.deploy(OLD, 1)
    for pid in ours(fleets.root):
        assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_supervisor_that_does_not_answer_is_unavailable(fleets, monkeypatch):
    fleets.deploy(OLD)
    monkeypatch.setattr(controls, "_ANSWER", 0.2)
    os.kill(fleets.supervisor(), signal.SIGSTOP)
    with pytest.raises(Unavailable, match="does not answer"):
        fleets.replicas()


def test_another_user_cannot_reach_the_control_socket(fleets):
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    fleets.deploy(OLD)
    control = str(runtime(fleets) / "control")
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as caller:
            os._exit(caller.connect_ex(control))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EACCES


@pytest.mark.parametrize(
    "nonsense", [b"", b"{", b"[]\n", b'{"do": "fly"}\n', b'{"do": "stop"}\n', b'{"do": "start", "program": 1}\n']
)
def test_nonsense_on_the_control_socket_harms_nobody(fleets, nonsense):
    fleets.deploy(OLD)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(runtime(fleets) / "control"))
        caller.sendall(nonsense)
    assert fleets.is_serving(OLD, 1)


def test_a_second_supervisor_of_a_fleet_does_not_start(fleets):
    fleets.deploy(OLD)
    with pytest.raises(Unavailable, match="another supervisor"):
        deploying.launch(runtime(fleets), fleets.wanted(OLD), "second", fleets.root / "log")
    assert fleets.is_serving(OLD, 1)
