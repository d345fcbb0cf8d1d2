"""Ten minutes at four fifths of what a replica can do: memory stays flat, and every request is answered with 200."""

import http.client
import json
import threading
import time
from pathlib import Path

import pytest

from mlops.serving.protocols import matrix_body

INFER = "/v2/models/credit/infer"
CALLERS = 8
SECONDS = 600
SETTLED = 60  # seconds after which memory is taken as what a replica needs
GROWTH = 8  # MB that it may grow in the nine minutes after that


class Load:
    """Threads that ask at a pace, and what came back."""

    def __init__(self, address, body):
        self.address, self.body = address, json.dumps(body).encode()
        self.answered, self.faults = 0, []
        self._lock = threading.Lock()

    def run(self, seconds, pause=0.0):
        """Ask from every caller for so long, each with a pause from one request's begin to the next; return requests a second."""
        before, end = self.answered, time.monotonic() + seconds
        threads = [threading.Thread(target=self._call, args=(end, pause)) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return (self.answered - before) / seconds

    def _call(self, end, pause):
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        due, answered, faults = time.monotonic(), 0, []
        while time.monotonic() < end:
            try:
                connection.request("POST", INFER, self.body, {"content-type": "application/json"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                faults.append(repr(error))
                connection.close()
                continue
            answered += 1
            if answer.status != 200:
                faults.append(answer.status)
            due = max(due + pause, time.monotonic() - pause)
            time.sleep(max(0.0, due - time.monotonic()))
        connection.close()
        with self._lock:
            self.answered += answered
            self.faults += faults


def _memory(pid):
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["array", "python"])
def test_ten_minutes_at_four_fifths(start, array_folder, python_folder, cancer, kind):
    """An array model on the event loop, and the project's own code through the queue."""
    column = {"name": "a", "shape": [1], "datatype": "FP64", "data": [9]}
    body = matrix_body(cancer[0][:1]) if kind == "array" else {"inputs": [column, {**column, "name": "b", "datatype": "INT64"}]}
    replica = start(array_folder if kind == "array" else python_folder)
    load = Load(replica.address, body)
    capacity = load.run(5)
    pause = CALLERS / (0.8 * capacity)
    load.run(SETTLED, pause)
    settled = _memory(replica.process.pid)
    rate = load.run(SECONDS - SETTLED, pause)
    grown = _memory(replica.process.pid) - settled
    assert load.faults == []
    assert grown < GROWTH, f"{grown:.1f} MB more than {settled:.0f} MB after {load.answered} requests"
    assert load.answered > 10_000
    print(f"{kind}: {load.answered} requests, {rate:.0f}/s of {capacity:.0f}/s, {settled:.0f} MB and {grown:+.1f} MB")  # noqa: T201 - the figures
