"""The door to processes: fleets are deployed, looked at, changed and stopped, on this machine only."""

import os
import re
import signal
import time

import pytest
from fleets import OLD, ask, eventually, ours, runtime

from mlops.core.errors import Refused
from mlops.world import deploying, processes


def test_a_fleet_is_deployed_answers_and_is_stopped_without_a_trace(fleets):
    fleets.deploy(OLD, 2)
    assert fleets.is_serving(OLD, 2)
    assert fleets.door.look(fleets.handle).address == f"127.0.0.1:{fleets.port}"
    fleets.door.stop(fleets.handle, 2.0)
    assert fleets.door.look(fleets.handle).address is None
    eventually(lambda: not ours(fleets.root))
    assert not runtime(fleets).exists()
    assert not list((fleets.root / ".mlops" / "run").iterdir())
    with pytest.raises(ConnectionRefusedError):
        ask(fleets.port)


def test_stopping_what_is_not_there_does_nothing(fleets):
    fleets.door.stop(fleets.handle, 2.0)


def test_deploying_again_touches_nothing(fleets):
    fleets.deploy(OLD, 2)
    before = fleets.pids()
    fleets.deploy(OLD, 2)
    assert fleets.pids() == before


def test_replicas_are_added_and_taken_away_and_the_others_stay(fleets):
    fleets.deploy(OLD, 1)
    first = fleets.pids()
    fleets.deploy(OLD, 3)
    assert fleets.is_serving(OLD, 3)
    assert fleets.pids()[:1] == first
    three = fleets.pids()
    fleets.deploy(OLD, 2)
    assert fleets.is_serving(OLD, 2)
    assert fleets.pids() == three[:2]


def test_a_killed_replica_is_seen_not_respawned_and_restored_by_a_deploy(fleets):
    fleets.deploy(OLD, 3)
    first, second, third = fleets.pids()
    os.kill(second, signal.SIGKILL)
    eventually(lambda: fleets.replicas()[1].state == "dead")
    assert re.fullmatch(r"signal 9 at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", fleets.replicas()[1].ended)
    assert len(ours(fleets.root)) == 3
    fleets.deploy(OLD, 3)
    assert fleets.is_serving(OLD, 3)
    assert fleets.pids()[:2] == [first, third]


def test_a_replica_that_hangs_is_not_ready_and_replaced(fleets, monkeypatch):
    monkeypatch.setattr(processes, "_HEALTH", 0.1)
    monkeypatch.setattr(deploying, "_PATIENCE", 0.3)
    monkeypatch.setattr(deploying, "_MARGIN", 0.2)
    fleets.deploy(OLD, 1, drain=0.0)
    hung = fleets.pids()[0]
    os.kill(hung, signal.SIGSTOP)
    assert fleets.replicas()[0].state == "unready"
    fleets.deploy(OLD, 1, drain=0.0)
    assert fleets.is_serving(OLD, 1)
    assert fleets.pids() != [hung]


def test_another_host_holds_the_fleet_and_is_named(fleets):
    handle = {**fleets.handle, "host": "blue", "machine": "0123456789ab"}
    for act in (lambda: fleets.door.look(handle), lambda: fleets.door.stop(handle, 1.0)):
        with pytest.raises(Refused, match=r"rollout\.credit is held by host blue"):
            act()


def test_a_plan_of_another_host_deploys_nothing_here(fleets):
    with pytest.raises(Refused, match="made for another host"):
        fleets.deploy(OLD, machine="0123456789ab")
    assert not ours(fleets.root)


def test_looking_is_fast(fleets):
    fleets.deploy(OLD, 3)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        fleets.replicas()
        times.append(time.perf_counter() - start)
    assert sorted(times)[10] < 0.02


def test_a_folder_of_sockets_that_others_may_enter_is_refused(fleets, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_RUNTIME", tmp_path)
    (tmp_path / f"mlops-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(Refused, match="only you can enter"):
        fleets.replicas()
