"""Several workers behind one socket: one answers for all in `/metrics`, a crash is one worker's, and the end is everybody's."""

import contextlib
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops.serving.boards import Board, Seat
from mlops.serving.protocols import matrix_body

INFER = "/v2/models/credit/infer"
FAMILY = b"# HELP rows Rows.\n# TYPE rows counter\n"


def test_what_workers_left_is_read_together():
    """Samples of one family stand together, each with its worker's label; who left nothing is left out."""
    board = Board(3)
    Seat(board, 0).shared(FAMILY + b'rows{model="a"} 1.0\n')
    text = Seat(board, 2).shared(FAMILY + b"rows 2.0\n# HELP other Other.\n# TYPE other gauge\nother 3.0\n")
    assert text == (
        FAMILY + b'rows{worker="0",model="a"} 1.0\nrows{worker="2"} 2.0\n'
        b'# HELP other Other.\n# TYPE other gauge\nother{worker="2"} 3.0\n'
    )


def test_the_last_text_counts():
    """A worker's text takes the place of its former one, whichever is longer."""
    board = Board(1)
    for length in (10, 1000, 3):
        board.write(0, b"x" * length)
        assert board.read() == [b"x" * length]


def test_a_reader_never_sees_half_a_text():
    """While one process writes over and over, another reads whole texts only."""
    board = Board(1)
    board.write(0, b"a" * 50_000)
    child = os.fork()
    if not child:
        for turn in range(3000):
            board.write(0, (b"a", b"b")[turn % 2] * 50_000)
        os._exit(0)
    torn = 0
    while not os.waitpid(child, os.WNOHANG)[0]:
        (text,) = board.read()
        torn += len(set(text)) > 1 or len(text) != 50_000
    assert torn <= 2, "two writings within one reading are seen at most"


@pytest.fixture
def crew(start, array_folder):
    """Two workers that are both ready."""
    running = start(array_folder, "--workers", "2", private=False)
    _until(lambda: len([line for line in running.lines() if line["event"] == "ready"]) == 2, 60)
    return running


def _until(condition, seconds=40):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _workers(running):
    return [int(each) for each in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()]


def test_metrics_tell_of_all_workers(crew, cancer):
    """Whichever worker is asked, the counts of all are told, and their sum is what was asked."""
    assert [crew.ask("POST", INFER, matrix_body(cancer[0][:1])).status for _ in range(20)] == [200] * 20

    def counted():
        families = {each.name: each for each in text_string_to_metric_families(crew.ask("GET", "/metrics").body.decode())}
        samples = [each for each in families["mlops_requests"].samples if each.labels["code"] == "200"]
        return {each.labels["worker"] for each in samples} == {"0", "1"} and sum(each.value for each in samples) == 20

    _until(counted, 5)


def test_a_worker_that_crashes_is_started_again_alone(crew, cancer):
    """Killed by nine, it is back soon, its sibling is the same process, and who asks meanwhile is answered."""
    body = matrix_body(cancer[0][:1])
    killed, sibling = _workers(crew)
    statuses, done = [], threading.Event()

    def call():
        while not done.is_set():
            with contextlib.suppress(ConnectionError):  # what the killed one had in its hands
                statuses.append(crew.ask("POST", INFER, body).status)

    thread = threading.Thread(target=call)
    thread.start()
    os.kill(killed, signal.SIGKILL)
    _until(lambda: len([line for line in crew.lines() if line["event"] == "ready"]) == 3)
    done.set()
    thread.join()
    assert sibling in _workers(crew)
    assert killed not in _workers(crew)
    assert set(statuses) == {200}
    said = next(line for line in crew.lines() if line["event"] == "worker ended")
    assert (said["pid"], said["code"], said["restart_in"]) == (killed, -signal.SIGKILL, 0.1)


def test_sigterm_drains_every_worker(crew, cancer):
    """Every worker drains; all are gone before the first process leaves with 0, and callers were told to close."""
    workers = _workers(crew)
    crew.process.send_signal(signal.SIGTERM)
    _until(lambda: len([line for line in crew.lines() if line["event"] == "draining"]) == 2)
    with contextlib.suppress(ConnectionError):
        assert crew.ask("POST", INFER, matrix_body(cancer[0][:1])).headers["connection"] == "close"
    assert crew.process.wait(10) == 0
    assert [line["is_finished"] for line in crew.lines() if line["event"] == "stopped"] == [True, True]
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_workers_die_with_the_first_process(crew):
    """Nobody is left on the port when the first process is killed."""
    workers = _workers(crew)
    crew.process.kill()
    crew.process.wait()
    _until(lambda: not any(_is_running(worker) for worker in workers))


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_model_that_no_worker_can_serve_ends_all(program, array_folder, tmp_path):
    """What a restart would not mend ends the server, with the worker's words and its exit code."""
    for name in ("model.json", "input_example.json"):
        (tmp_path / name).write_bytes((array_folder / name).read_bytes())
    (tmp_path / "model.skops").write_bytes(b"no archive")
    code, text = program(tmp_path, "--name", "credit", "--workers", "2", "--bind", "127.0.0.1:0")
    assert code == 1
    assert re.search(r"^mlops-serve: .*model\.skops cannot be loaded", text, re.MULTILINE)


def test_workers_have_no_private_socket(program, array_folder, tmp_path):
    """What would be one worker's by chance is refused."""
    code, text = program(array_folder, "--workers", "2", "--private-uds", tmp_path / "p.sock")
    assert code == 2
    assert "a private socket is one worker's" in text
