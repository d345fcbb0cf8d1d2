"""Fleets of real processes on loopback, under a real supervisor; the replica is replica_program.py."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random

import pytest

from mlops.core.errors import Refused, Unavailable
from mlops.core.settings import Allow
from mlops.core.worlds import Fleet, Place
from mlops.world import controls, deploying, hosts, processes
from mlops.world.processes import Supervisors

HERE = Path(__file__).parent
PROGRAM = (sys.executable, "-P", str(HERE / "replica_program.py"))
INTERRUPTED = (sys.executable, str(HERE / "interrupted_deploy.py"))
SUPERVISOR = b"mlops.world.supervisor"
NAME = "rollout.credit"
OLD, NEW = "a" * 12, "b" * 12


class _Fleets:
    """One fleet of a project in a temporary folder, and what a test does to it."""

    def __init__(self, root):
        self.root = root
        self.port = free_port()
        self.door = Supervisors(Place(str(root), "test", "dev", Allow()), PROGRAM)
        self.handle = self.door.handle(NAME)
        self.said = []

    def wanted(self, version, replicas=1, **changes):
        fleet = {"machine": hosts.machine(), "host": "127.0.0.1", "port": self.port, "model": "credit", "ready_timeout": 20.0}
        return Fleet(**{**fleet, "name": NAME, "version": version, "replicas": replicas, "drain": 2.0, **changes})

    def model(self, fault=""):
        folder = self.root / f"model-{fault}"
        folder.mkdir(exist_ok=True)
        (folder / "fault").write_text(fault)
        return folder

    def deploy(self, version, replicas=1, fault="", **changes):
        self.door.deploy(
            self.wanted(version, replicas, **changes), self.model(fault), lambda message, _: self.said.append(message)
        )

    def replicas(self):
        return self.door.look(self.handle).replicas

    def pids(self):
        return [replica.pid for replica in self.replicas()]

    def supervisor(self):
        return ours_with(self.root, SUPERVISOR)[0]

    def is_serving(self, version, count):
        """Tell whether there are exactly so many processes, ready, of this version, and they answer."""
        found = [(replica.version, replica.state) for replica in self.replicas()]
        return found == [(version, "ready")] * count and len(ours(self.root)) == count + 1 and ask(self.port) == (200, version)


@pytest.fixture
def fleets(tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "_CLOSING", 0.05)  # where no clients have to be sent away
    fleets = _Fleets(tmp_path)
    yield fleets
    for pid in ours(tmp_path):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not ours(tmp_path))
    shutil.rmtree(runtime(fleets), ignore_errors=True)


def runtime(fleets):
    return Path(processes._RUNTIME, f"mlops-{os.getuid()}", fleets.handle["supervisor"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def ours(root):
    """Return the processes that name the temporary folder; a zombie names nothing."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid() and str(root).encode() in arguments(pid)]


def ours_with(root, word):
    return [pid for pid in ours(root) if word in arguments(pid)]


def given(fleets, version, count):
    """Return the fleet as interrupted_deploy.py takes it; its replicas start slowly, so that there is time to die."""
    fleet = asdict(fleets.wanted(version, count))
    return json.dumps({"root": str(fleets.root), "program": PROGRAM, "fleet": fleet, "folder": str(fleets.model("slow"))})


def eventually(is_true, seconds=5.0):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.01)


def ask(port):
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        return ask_on(connection)


def ask_on(connection):
    connection.request("GET", "/v2/models/credit")
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers["x-mlops-version"]


class _Load:
    """Four clients that keep their connections and ask as fast as they are answered; a lost answer is a failure."""

    def __init__(self, port):
        self._port = port
        self._is_over = threading.Event()
        self.versions = []
        self.failures = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self):
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._is_over.is_set():
            try:
                status, version = ask_on(connection)
                self.versions.append(version)
                if status != 200:
                    self.failures.append(status)
            except (OSError, HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            time.sleep(0.001)
        connection.close()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        for thread in self._threads:
            thread.join()


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


def test_a_new_version_replaces_the_old_under_load_without_a_failed_request(fleets, monkeypatch):
    monkeypatch.setattr(deploying, "_CLOSING", 0.5)
    fleets.deploy(OLD, 2)
    with _Load(fleets.port) as load:
        eventually(lambda: len(load.versions) > 100)
        fleets.deploy(NEW, 2)
        count = len(load.versions)
        eventually(lambda: len(load.versions) > count + 100)
    assert load.failures == []
    assert set(load.versions) == {OLD, NEW}
    assert set(load.versions[count + 4 :]) == {NEW}
    assert fleets.is_serving(NEW, 2)


def test_a_new_version_that_is_never_ready_leaves_the_old_one_answering(fleets):
    fleets.deploy(OLD, 2)
    before = fleets.pids()
    with _Load(fleets.port) as load, pytest.raises(Refused) as caught:
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
    given = {
        "root": str(fleets.root),
        "program": PROGRAM,
        "fleet": asdict(fleets.wanted(NEW, 2)),
        "folder": str(fleets.model("slow")),
    }
    killed = subprocess.run([sys.executable, str(HERE / "interrupted_deploy.py"), point, json.dumps(given)], check=False)
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


def test_another_host_holds_the_fleet_and_is_named(fleets):
    handle = {**fleets.handle, "host": "blue", "machine": "0123456789ab"}
    for act in (lambda: fleets.door.look(handle), lambda: fleets.door.stop(handle, 1.0)):
        with pytest.raises(Refused, match="held by host blue"):
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


def test_no_secret_reaches_the_replicas(fleets, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_WAREHOUSE", "hunter2")
    fleets.deploy(OLD, 1)
    for pid in ours(fleets.root):
        assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_folder_of_sockets_that_others_may_enter_is_refused(fleets, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_RUNTIME", tmp_path)
    (tmp_path / f"mlops-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(Refused, match="only you can enter"):
        fleets.replicas()


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


def test_old_logs_are_removed_and_those_of_living_replicas_are_kept(fleets, monkeypatch):
    monkeypatch.setattr(deploying, "_KEPT_LOGS", 2)
    fleets.deploy(OLD)
    oldest = Path(fleets.replicas()[0].log)
    for count in (3, 1, 3, 1, 3):
        fleets.deploy(OLD, count)
    logs = {path.name for path in oldest.parent.glob("*T*.log")}
    assert logs == {Path(replica.log).name for replica in fleets.replicas()}
    assert oldest.name in logs


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
