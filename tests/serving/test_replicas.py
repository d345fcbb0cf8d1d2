"""The life of a replica: starting, ready, draining, gone, and one replaced by another without a lost request."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops.serving import folders, protocols

INFER = "/v2/models/credit/infer"


@pytest.fixture(scope="module")
def slow_folder(python_folder, tmp_path_factory):
    """A model that takes two seconds to load."""
    folder = tmp_path_factory.mktemp("models") / "slow"
    shutil.copytree(python_folder, folder)
    (folder / "code" / "sleeping.py").write_text(
        "import time, adding\ndef load(folder):\n    time.sleep(2)\n    return adding.load(folder)\n"
    )
    manifest = folders.read(folder)
    changed = {name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"entry": "sleeping:load"}
    folders.write(folder, folders.Manifest(**changed), json.loads(folders.read_example(folder)))
    return folder


def row(a):
    """Return a request of one row for the adding model."""
    return {
        "inputs": [
            {"name": "a", "shape": [1], "datatype": "FP64", "data": [a]},
            {"name": "b", "shape": [1], "datatype": "INT64", "data": [1]},
        ]
    }


def test_live_started_and_ready_are_three_things(start, slow_folder):
    """While it loads a replica is live, not started and not ready; afterwards all three; while it drains live and started."""
    replica = start(slow_folder, "--drain", "1.5", ready=False)
    for ask in (replica.ask_private, lambda path: replica.ask("GET", path)):
        assert [ask(path).status for path in ("/livez", "/startupz", "/readyz")] == [200, 503, 503]
    early = replica.ask("POST", INFER, row(9))
    assert (early.status, early.json["error"], early.headers["retry-after"]) == (503, "model 'credit' is being loaded", "1")
    replica.wait_for("ready")
    assert [replica.ask_private(path).status for path in ("/livez", "/startupz", "/readyz", "/v2/health/ready")] == [200] * 4
    replica.process.send_signal(signal.SIGTERM)
    replica.wait_for("draining")
    assert [replica.ask_private(path).status for path in ("/livez", "/startupz", "/readyz", "/v2/models/credit/ready")] == [
        200,
        200,
        503,
        503,
    ]
    assert b'mlops_ready{model="credit",track="stable",version="1"} 0.0' in replica.ask_private("/metrics").body
    assert replica.process.wait(timeout=10) == 0
    assert not replica.private.exists()


def test_draining_sends_callers_away_and_finishes_what_is_in_flight(start, python_folder, send):
    """After SIGTERM an open connection is answered with `Connection: close`, and a prediction that runs is finished; exit code 0."""
    replica = start(python_folder, "--drain", "0.5")
    kept = http.client.HTTPConnection(*replica.address, timeout=10)
    assert "connection" not in send(kept, "POST", INFER, row(9)).headers
    late = []
    thread = threading.Thread(target=lambda: late.append(replica.ask("POST", INFER, row(1.5))))
    thread.start()
    time.sleep(0.3)
    replica.process.send_signal(signal.SIGTERM)
    replica.wait_for("draining")
    thread.join()
    assert late[0].status == 200
    kept.close()
    assert replica.process.wait(timeout=10) == 0


def test_a_kept_connection_is_told_to_close(start, array_folder, cancer, send):
    """The first answer after SIGTERM on a kept connection says `Connection: close`."""
    replica = start(array_folder, "--drain", "1")
    kept = http.client.HTTPConnection(*replica.address, timeout=10)
    body = protocols.matrix_body(cancer[0][:1])
    assert send(kept, "POST", INFER, body).status == 200
    replica.process.send_signal(signal.SIGTERM)
    replica.wait_for("draining")
    reply = send(kept, "POST", INFER, body)
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    kept.close()
    assert replica.process.wait(timeout=10) == 0


def test_a_prediction_that_outlasts_the_grace_is_left_behind(start, python_folder):
    """Nobody waits longer than the grace; the exit code is still 0 and the log says it."""
    replica = start(python_folder, "--drain", "0.1", "--grace", "0.3")
    thread = threading.Thread(target=_ask_in_vain, args=(replica,))
    thread.start()
    time.sleep(0.3)
    assert replica.stop() == 0
    assert replica.lines()[-1]["is_finished"] is False
    thread.join()


def _ask_in_vain(replica):
    with contextlib.suppress(OSError, http.client.HTTPException):
        replica.ask("POST", INFER, row(4.0))


def test_health_is_answered_while_the_model_is_busy(start, python_folder):
    """A long prediction does not hold up health."""
    replica = start(python_folder)
    thread = threading.Thread(target=replica.ask, args=("POST", INFER, row(1.0)))
    thread.start()
    time.sleep(0.2)
    begun = time.monotonic()
    assert replica.ask_private("/livez").status == 200
    took = time.monotonic() - begun
    thread.join()
    assert took < 0.5


def test_term_while_loading_ends_at_once(start, slow_folder):
    """A replica that is still loading stops without waiting for its model."""
    replica = start(slow_folder, ready=False)
    begun = time.monotonic()
    assert replica.stop() == 0
    assert time.monotonic() - begun < 1.5


def test_each_replica_on_a_shared_socket_is_asked_by_itself(start, python_folder, shared_socket):
    """Two replicas share one public socket and have a private one each, which only their user may use."""
    listening = shared_socket()
    address = listening.getsockname()
    replicas = [
        start(python_folder, "--version", version, "--fd", listening.fileno(), pass_fds=[listening.fileno()], address=address)
        for version in ("a", "b")
    ]
    assert [replica.ask_private("/livez").headers["x-mlops-version"] for replica in replicas] == ["a", "b"]
    assert all(stat.S_IMODE(replica.private.stat().st_mode) == 0o600 for replica in replicas)
    assert {replicas[0].ask("GET", "/livez").headers["x-mlops-version"] for _ in range(20)} <= {"a", "b"}
    assert replicas[0].stop() == 0
    assert {replicas[1].ask("GET", "/livez").headers["x-mlops-version"] for _ in range(20)} == {"b"}


def test_a_shared_socket_is_not_touched_before_the_model_is_ready(start, slow_folder, python_folder, shared_socket):
    """While a new replica loads, every request goes to the old one."""
    listening = shared_socket()
    options = {"pass_fds": [listening.fileno()], "address": listening.getsockname()}
    old = start(python_folder, "--version", "old", "--fd", listening.fileno(), **options)
    new = start(slow_folder, "--version", "new", "--fd", listening.fileno(), ready=False, **options)
    assert {old.ask("POST", INFER, row(9)).headers["x-mlops-version"] for _ in range(100)} == {"old"}
    assert new.ask_private("/startupz").status == 503


def test_a_replica_that_drains_leaves_new_connections_to_its_sibling(start, python_folder, shared_socket):
    """From SIGTERM on, only the sibling accepts."""
    listening = shared_socket()
    options = {"pass_fds": [listening.fileno()], "address": listening.getsockname()}
    old, new = (
        start(python_folder, "--version", version, "--drain", "1.5", "--fd", listening.fileno(), **options)
        for version in ("old", "new")
    )
    old.process.send_signal(signal.SIGTERM)
    old.wait_for("draining")
    time.sleep(0.1)
    assert {new.ask("GET", "/livez").headers["x-mlops-version"] for _ in range(100)} == {"new"}
    assert old.process.poll() is None
    assert old.process.wait(timeout=10) == 0


class Callers:
    """Threads that ask and note what went wrong: on a kept connection, on a new one each time, or late on one opened before."""

    def __init__(self, address, body):
        self.address, self.body = address, json.dumps(body).encode()
        self.versions, self.faults, self.done = {}, [], threading.Event()
        self.threads = [threading.Thread(target=self.call, args=(habit,)) for habit in ("keep", "new", "late") * 3]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def call(self, habit):
        """Ask until told to stop."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        while not self.done.is_set():
            try:
                if habit == "late":
                    connection.connect()
                    time.sleep(0.2)
                connection.request("POST", INFER, self.body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
                connection.close()
                continue
            if answer.status != 200:
                self.faults.append(answer.status)
            version = answer.headers["x-mlops-version"]
            self.versions[version] = self.versions.get(version, 0) + 1
            if habit != "keep":
                connection.close()
        connection.close()


def test_replicas_are_replaced_under_load_without_a_lost_request(start, array_folder, cancer, shared_socket):
    """Three times a replica is replaced on one inherited socket while nine callers ask: no request fails."""
    listening = shared_socket()
    options = {"pass_fds": [listening.fileno()], "address": listening.getsockname()}
    current = start(array_folder, "--version", "0", "--fd", listening.fileno(), **options)
    with Callers(listening.getsockname(), protocols.matrix_body(cancer[0][:1])) as callers:
        for version in ("1", "2", "3"):
            successor = start(array_folder, "--version", version, "--fd", listening.fileno(), **options)
            assert current.stop() == 0
            current = successor
            time.sleep(0.3)
    assert callers.faults == []
    assert set(callers.versions) == {"0", "1", "2", "3"}
    assert sum(callers.versions.values()) > 500


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_wrk_sees_no_error_while_a_replica_is_replaced(start, array_folder, cancer, shared_socket, tmp_path):
    """Under wrk with four kept connections a replacement costs no read, no connect and no status."""
    listening = shared_socket()
    options = {"pass_fds": [listening.fileno()], "address": listening.getsockname()}
    body = json.dumps(protocols.matrix_body(cancer[0][:1]))
    script = tmp_path / "post.lua"
    script.write_text(f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [[{body}]]\n")
    old, new = (start(array_folder, "--version", version, "--fd", listening.fileno(), **options) for version in ("old", "new"))
    host, port = listening.getsockname()
    with subprocess.Popen(
        ["wrk", "-t1", "-c4", "-d4s", "-s", str(script), f"http://{host}:{port}{INFER}"], stdout=subprocess.PIPE, text=True
    ) as load:
        time.sleep(1.5)
        assert old.stop() == 0
        report, _ = load.communicate(timeout=30)
    assert "Socket errors" not in report, report
    assert "Non-2xx" not in report, report
    assert int(re.search(r"(\d+) requests in", report)[1]) > 500
    assert new.process.poll() is None


PARENT = """
import subprocess, sys, os, time
child = subprocess.Popen([sys.executable, "-m", "mlops.serving", sys.argv[1], "--bind", "127.0.0.1:0", "--die-with-parent", str(os.getpid())], stderr=open(sys.argv[2], "wb"))
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_replica_dies_with_its_parent(python_folder, tmp_path):
    """When the supervisor is killed, the replica stops by itself."""
    log = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(python_folder), str(log)], stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        end = time.monotonic() + 20
        while '"ready"' not in log.read_text() and time.monotonic() < end:
            time.sleep(0.05)
        parent.kill()
    while _is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _is_running(pid)
    assert '"stopped"' in log.read_text()


def _is_running(pid):
    """Tell whether a process is there and no zombie that its reaper left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_parent_that_is_gone_already_is_noticed(start, python_folder):
    """A replica whose parent is not the process it was told stops at once."""
    replica = start(python_folder, "--die-with-parent", "1", ready=False)
    assert replica.process.wait(timeout=10) == 0


def test_what_cannot_be_served_is_one_line_and_exit_code_1(program, array_folder, shared_socket, tmp_path):
    """A bad folder, a port in use, a wrong descriptor: one line, exit code 1, no traceback."""
    host, port = shared_socket().getsockname()
    taken = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(taken))
        other.listen()
        broken = tmp_path / "broken"
        shutil.copytree(array_folder, broken)
        (broken / "input_example.json").write_text('{"inputs": []}')
        spoiled = tmp_path / "spoiled"
        shutil.copytree(array_folder, spoiled)
        (spoiled / "model.skops").write_bytes(b"no archive")
        cases = [
            ([tmp_path / "nowhere"], "there is no model folder"),
            ([tmp_path], "is no model folder"),
            ([], "no model folder was given"),
            ([array_folder, "--bind", f"{host}:{port}"], f"cannot listen on {host}:{port}: Address already in use"),
            ([array_folder, "--bind", "192.0.2.1:80"], "cannot listen on 192.0.2.1:80: Cannot assign requested address"),
            (
                [array_folder, "--bind", "127.0.0.1:0", "--private-uds", taken],
                f"cannot listen on {taken}: Address already in use",
            ),
            ([array_folder, "--private-uds", tmp_path / "no" / "p.sock"], "No such file or directory"),
            ([array_folder, "--fd", "77"], "file descriptor 77 is no socket"),
            ([broken, "--bind", "127.0.0.1:0"], "the model does not answer its own input_example.json: missing inputs"),
            ([spoiled, "--bind", "127.0.0.1:0"], "model.skops cannot be loaded"),
        ]
        for arguments, message in cases:
            code, text = program(*arguments)
            lines = [line for line in text.splitlines() if not line.startswith("{")]
            assert (code, len(lines)) == (1, 1), text
            assert lines[0].startswith("mlops-serve: "), text
            assert message in lines[0], text


@pytest.mark.parametrize(
    "arguments",
    [["--bind", "here"], ["--fd", "x"], ["--bind", "a:1", "--fd", "3"], ["--surprise"], ["--version", "a/b"], ["--name", "a b"]],
)
def test_wrong_usage_is_exit_code_2(program, arguments):
    """Arguments that are no arguments are explained by argparse."""
    code, text = program("folder", *arguments)
    assert code == 2
    assert "usage: mlops-serve" in text


def test_a_socket_that_a_dead_process_left_is_replaced(start, python_folder, tmp_path):
    """A stale unix socket does not keep a replica from starting."""
    place = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    replica = start(python_folder, "--private-uds", place, private=False)
    replica.private = place
    assert replica.ask_private("/readyz").status == 200


def test_the_private_listener_may_be_a_port(start, python_folder):
    """Where unix sockets do not reach, a loopback port answers the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    replica = start(python_folder, "--private-bind", f"127.0.0.1:{port}", private=False)
    replica.address = ("127.0.0.1", port)
    assert replica.ask("GET", "/metrics").status == 200


def test_warnings_are_log_lines(start, cancer, write_folder, tmp_path):
    """What a library warns of while loading is a JSON line like all others."""
    matrix, estimator, signature = cancer
    folder = write_folder(tmp_path / "m", estimator, signature, protocols.matrix_body(matrix[:1]), layout="array")
    raw = (folder / "model.skops").read_bytes()
    import sklearn

    version = sklearn.__version__.encode()
    (folder / "model.skops").write_bytes(_with_version(raw, version))
    line = start(folder).wait_for("warning")
    assert line["category"] == "InconsistentVersionWarning"


def _with_version(raw, version):
    """Return a skops archive that claims to be written by scikit-learn 1.0."""
    import io
    import zipfile

    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(target, "w") as changed:
        for name in source.namelist():
            changed.writestr(name, source.read(name).replace(b'\\"' + version + b'\\"', b'\\"1.0.0\\"'))
    return target.getvalue()
