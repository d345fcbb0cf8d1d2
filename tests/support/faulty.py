"""A server of the standard library alone that answers as `mlops.serving` does, and can be told to do what the real one cannot be made to.

`harbour.image` makes images of it. The environment says which: FAULT is one of

    none            answers 200 after 2 ms
    errors:0.05     so many of its answers are 500
    slow:3          takes so many times as long
    shifted         predicts other numbers than the rest
    never           listens, and is never ready
    dies:5          ends with exit code 3 after so many seconds
    late:2          is ready after so many seconds
"""

import json
import os
import signal
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import urlsplit

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NAME, VERSION = os.environ.get("NAME", "credit"), os.environ.get("VERSION", "1")
FAULT, _, AMOUNT = os.environ.get("FAULT", "none").partition(":")
SECONDS = 0.002
CHANCE = Random()  # noqa: S311 - faults are no secrets


class State:
    """What the server counts and knows."""

    def __init__(self):
        self.lock = threading.Lock()
        self.codes = {200: 0, 400: 0, 500: 0}
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self.predictions = {"own": 0, "rent": 0}
        self.mirrored = {"agreed": 0, "differed": 0, "failed": 0, "dropped": 0}
        self.mirror = None
        self.in_flight = 0
        self.is_draining = False
        self.is_ready = False


STATE = State()


class Server(ThreadingHTTPServer):
    """Takes as many connections at once as a proxy may open."""

    request_queue_size = 256
    daemon_threads = True


class Answers(BaseHTTPRequestHandler):
    """The routes of the Open Inference Protocol, /metrics, and the admin route for mirroring."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/metrics":
            self.answer(200, exposition().encode())
        elif self.path.endswith("ready") and not (STATE.is_ready and not STATE.is_draining):
            self.answer(503, b"{}")
        else:
            self.answer(200, json.dumps({"name": NAME, "version": VERSION}).encode())

    def do_PUT(self):
        STATE.mirror = json.loads(self.body())
        self.answer(200, b"{}")

    def do_DELETE(self):
        STATE.mirror = None
        self.answer(200, b"{}")

    def do_POST(self):
        with STATE.lock:
            STATE.in_flight += 1
        try:
            self.infer()
        finally:
            with STATE.lock:
                STATE.in_flight -= 1

    def infer(self):
        start, body = time.perf_counter(), self.body()
        time.sleep(SECONDS * (float(AMOUNT) if FAULT == "slow" else 1))
        code = 500 if FAULT == "errors" and CHANCE.random() < float(AMOUNT) else 200
        word = "rent" if CHANCE.random() < (0.9 if FAULT == "shifted" else 0.3) else "own"
        answer = json.dumps(
            {"model_name": NAME, "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [1], "data": [word]}]}
        )
        with STATE.lock:
            STATE.codes[code] += 1
            STATE.predictions[word] += 1
            seconds = time.perf_counter() - start
            STATE.counts[next((place for place, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
            STATE.total += seconds
        self.answer(code, answer.encode())
        if STATE.mirror and CHANCE.random() * 100 < STATE.mirror["percent"]:
            threading.Thread(target=mirror, args=(self.path, body, word), daemon=True).start()

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("x-mlops-version", VERSION)
        self.send_header("content-length", str(len(body)))
        if STATE.is_draining:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def mirror(path, body, word):
    """Send a copy to the other version and compare what it says."""
    url = urlsplit(STATE.mirror["url"])
    try:
        connection = HTTPConnection(url.hostname, url.port, timeout=5)
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        outcome = "agreed" if answer["outputs"][0]["data"] == [word] else "differed"
        connection.close()
    except OSError:
        outcome = "failed"
    with STATE.lock:
        STATE.mirrored[outcome] += 1


def exposition():
    """Return what Prometheus scrapes, of the families that a delivery reads."""
    own = f'model="{NAME}",version="{VERSION}",track="stable"'
    lines = [f'mlops_requests_total{{{own},code="{code}"}} {count}' for code, count in STATE.codes.items()]
    running = 0
    for bound, count in zip((*BOUNDS, "+Inf"), STATE.counts, strict=True):
        running += count
        lines.append(f'mlops_request_duration_seconds_bucket{{{own},le="{bound}"}} {running}')
    lines += [
        f"mlops_request_duration_seconds_count{{{own}}} {running}",
        f"mlops_request_duration_seconds_sum{{{own}}} {STATE.total}",
    ]
    for word, count in STATE.predictions.items():
        lines.append(f'mlops_predictions_total{{{own},output="predict",bucket="{word}"}} {count}')
    for outcome, count in STATE.mirrored.items():
        lines.append(f'mlops_mirrored_requests_total{{{own},outcome="{outcome}"}} {count}')
    return "\n".join(lines) + "\n"


def drain(*_):
    """Be not ready, ask callers to leave, finish what is in flight, and end."""
    STATE.is_draining = True
    threading.Thread(target=end).start()


def end():
    """End once nothing is in flight, as the real server does."""
    time.sleep(0.6)
    while STATE.in_flight:
        time.sleep(0.01)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, drain)
    if FAULT == "dies":
        threading.Timer(float(AMOUNT), os._exit, [3]).start()
    if FAULT == "late":
        threading.Timer(float(AMOUNT), lambda: setattr(STATE, "is_ready", True)).start()
    STATE.is_ready = FAULT not in ("never", "late")
    sys.setswitchinterval(0.001)
    threading.Thread(target=Server(("127.0.0.1", 8081), Answers).serve_forever, daemon=True).start()
    Server(("0.0.0.0", 8080), Answers).serve_forever()  # noqa: S104 - inside a container of its own
