"""One deploy: what it replaces, refuses, takes back, and completes after it was killed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from fleets import INTERRUPTED, NEW, OLD, SUPERVISOR, Load, ask, eventually, free_port, given, ours, ours_with, runtime

from mlops.core.errors import Refused
from mlops.world import controls, deploying


def test_a_new_version_replaces_the_old_under_load_without_a_failed_request(fleets, monkeypatch):
    monkeypatch.setattr(deploying, "_CLOSING", 0.5)
    fleets.deploy(OLD, 2)
    with Load(fleets.port) as load:
        eventually(lambda: len(load.versions) > 100)
        fleets.deploy(NEW, 2)
        count = len(load.versions)
        eventually(lambda: len(load.versions) > count + 100)
    assert load.failures == []
    assert set(load.versions) == {OLD, NEW}
    assert set(load.versions[count + 4 :]) == {NEW}
    assert fleets.said[-3:] == ["1 of 2 new replicas ready", "2 of 2 new replicas ready", "draining 2 replicas"]
    assert fleets.is_serving(NEW, 2)


def test_a_new_version_that_is_never_ready_leaves_the_old_one_answering(fleets):
    fleets.deploy(OLD, 2)
    before = fleets.pids()
    with Load(fleets.port) as load, pytest.raises(Refused) as caught:
        fleets.deploy(NEW, 2, "never", ready_timeout=0.5)
    assert caught.value.message == f"a replica of credit {NEW} was not ready within 0.5 s; it wrote last:\n  starting"
    assert "ready_timeout" in caught.value.hint
    assert load.failures == []
    assert set(load.versions) == {OLD}
    assert fleets.pids() == before
    assert fleets.is_serving(OLD, 2)


def test_a_replica_that_ends_at_once_is_told_with_its_last_line(fleets):
    with pytest.raises(Refused, match=r"died \(exit code 1 at .* UTC\): ValueError: the model is broken") as caught:
        fleets.deploy(NEW, 2, "crash")
    log = Path(caught.value.hint.removeprefix("its log is "))
    assert "the model is broken" in log.read_text()
    eventually(lambda: not ours(fleets.root))  # a supervisor without replicas would hold the port for nobody


def test_a_deploy_finds_its_fleet_when_dot_mlops_was_removed(fleets):
    fleets.deploy(OLD, 1)
    before = fleets.pids()
    shutil.rmtree(fleets.root / ".mlops")
    fleets.deploy(OLD, 2)
    assert fleets.is_serving(OLD, 2)
    assert fleets.pids()[:1] == before


def test_the_models_folder_may_go_once_it_is_deployed(fleets):
    fleets.deploy(OLD, 1)
    shutil.rmtree(fleets.model())
    run = fleets.root / ".mlops" / "run" / fleets.handle["supervisor"]
    assert [folder.name for folder in run.iterdir()] == [OLD]
    fleets.deploy(NEW, 1)
    assert [folder.name for folder in run.iterdir()] == [NEW]


def test_a_missing_model_folder_is_refused(fleets):
    with pytest.raises(Refused, match="nowhere does not exist"):
        fleets.door.deploy(fleets.wanted(OLD), fleets.root / "nowhere", print)


def test_a_port_in_use_names_the_port_and_who_has_it(fleets):
    with socket.socket() as other:
        other.bind(("127.0.0.1", fleets.port))
        other.listen()
        with pytest.raises(Refused) as caught:
            fleets.deploy(OLD)
    assert caught.value.message.startswith(f"port {fleets.port} of 127.0.0.1 is in use by ")
    assert f"(pid {os.getpid()})" in caught.value.message
    assert "port:" in caught.value.hint
    assert not runtime(fleets).exists()


def test_a_port_in_use_by_another_rollout_names_that_rollout(fleets):
    fleets.deploy(OLD)
    with pytest.raises(Refused) as caught:
        fleets.deploy(OLD, name="rollout.other")
    assert f"rollout.credit of project test, environment dev, in {fleets.root}" in caught.value.message


def test_an_address_of_another_machine_is_refused(fleets):
    with pytest.raises(Refused, match=r"cannot listen on 203\.0\.113\.7"):
        fleets.deploy(OLD, host="203.0.113.7")


def test_a_port_without_permission_is_refused_with_what_to_do(fleets):
    told = b'{"doing": "listen", "errno": 13, "reason": "Permission denied"}'
    error = deploying._hindrance(told, fleets.wanted(OLD, port=80), Path("log"))
    assert error.message == "port 80 of 127.0.0.1 may not be opened: Permission denied"
    assert "1024" in error.hint


def test_an_ipv6_address_is_served(fleets):
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    fleets.deploy(OLD, host="::1")
    assert fleets.door.look(fleets.handle).address == f"[::1]:{fleets.port}"


@pytest.mark.parametrize(
    ("has_old", "point"),
    [
        (False, "supervisor"),
        (False, "start"),
        (False, "2 of 2"),
        (True, "1 of 2"),
        (True, "2 of 2"),
        (True, "draining"),
        (True, "stop"),
    ],
)
def test_a_deploy_that_was_killed_anywhere_is_completed_by_the_next(fleets, has_old, point):
    if has_old:
        fleets.deploy(OLD, 2)
    killed = subprocess.run([*INTERRUPTED, point, given(fleets, NEW, 2)], check=False)
    assert killed.returncode == -signal.SIGKILL
    if has_old:
        assert ask(fleets.port)[0] == 200
    fleets.deploy(NEW, 2)
    assert fleets.is_serving(NEW, 2)


@pytest.mark.soak
def test_deploys_that_are_killed_at_any_moment_converge_again_and_again(fleets):
    random = Random(7)  # noqa: S311 - a repeatable choice of moments
    for _ in range(40):
        version, count = random.choice([OLD, NEW]), random.randint(1, 3)
        killed = subprocess.Popen([*INTERRUPTED, "never", given(fleets, version, count)])
        time.sleep(random.uniform(0.05, 1.5))
        victim = fleets.supervisor() if random.random() < 0.2 and ours_with(fleets.root, SUPERVISOR) else killed.pid
        os.kill(victim, signal.SIGKILL)
        killed.kill()
        killed.wait()
        version, count = random.choice([OLD, NEW]), random.randint(1, 3)
        fleets.deploy(version, count)
        assert fleets.is_serving(version, count)


def test_a_deploy_on_another_port_than_the_interrupted_one_leaves_one_fleet(fleets):
    fleets.deploy(OLD, 1)
    fleets.port = free_port()
    fleets.deploy(OLD, 1)
    assert fleets.is_serving(OLD, 1)


def test_a_deploy_waits_for_the_end_of_a_stop_that_was_interrupted(fleets, monkeypatch):
    monkeypatch.setattr(deploying, "_CLOSING", 0.5)
    fleets.deploy(OLD, 2)
    controls.Control(runtime(fleets))._ask("shutdown", within=5.0)
    assert fleets.door.look(fleets.handle).address is None
    fleets.deploy(OLD, 2)
    assert fleets.is_serving(OLD, 2)


def test_old_logs_are_removed_and_those_of_living_replicas_are_kept(fleets, monkeypatch):
    monkeypatch.setattr(deploying, "_KEPT_LOGS", 2)
    fleets.deploy(OLD)
    oldest = Path(fleets.replicas()[0].log)
    for count in (3, 1, 3, 1, 3):
        fleets.deploy(OLD, count)
    logs = {path.name for path in oldest.parent.glob("*T*.log")}
    assert logs == {Path(replica.log).name for replica in fleets.replicas()}
    assert oldest.name in logs
