"""Who looks on: the payload log, the mirror, request logs and traces, at real servers and a real HTTP sink; no caller waits for any of them."""

import contextlib
import hmac
import json
import re
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mlops.serving.protocols import matrix_body, request_body

INFER = "/v2/models/credit/infer"
KEY = "0123456789abcdef-secret"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def until(check, seconds=20):
    """Wait until `check` returns something true; return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError(check())


@contextlib.contextmanager
def sink(seconds=0.0, status=200):
    """Take POSTs as (path, headers, body), each answered after some seconds."""
    taken = []

    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(seconds)
            taken.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/events", taken
    finally:
        server.shutdown()
        server.server_close()


def counted(replica, name):
    """Return the samples of a metric by their outcome or code."""
    text = replica.ask("GET", "/metrics").body.decode()
    found = re.findall(rf'^{name}{{.*?(?:outcome|code)="(.*?)".*}} (.*)$', text, re.MULTILINE)
    return {outcome: float(value) for outcome, value in found}


@pytest.fixture(scope="module")
def logged(start, frame_folder, tmp_path_factory):
    """A server that logs payloads to a file, without the age and with hashed housing, and every request."""
    place = tmp_path_factory.mktemp("log")
    (place / "key").write_text(KEY + "\n")
    hidden = ("--payload-drop", "age", "--payload-hash", "housing", "--payload-key-file", place / "key")
    options = ("--version", "v1", "--track", "canary", "--log-rate", "1", "--payload-log", place / "events")
    return start(frame_folder[0], *options, *hidden), place / "events"


def events(path):
    """Return the events of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_request_and_its_answer_become_two_cloud_events(logged, mixed):
    """Types, ids and attributes are KServe's; the data is V2's, and the trace goes along."""
    replica, path = logged
    body = {**request_body(mixed.signature, mixed.columns(2)), "id": "body-1"}
    reply = replica.ask("POST", INFER, body, {"x-request-id": "call-1", "traceparent": PARENT, "tracestate": "a=1"})
    request, response = until(lambda: [each for each in events(path) if each["id"] == "call-1"][1:] and events(path)[-2:])
    assert (request["type"], response["type"]) == (
        "org.kubeflow.serving.inference.request",
        "org.kubeflow.serving.inference.response",
    )
    for event in (request, response):
        assert (event["specversion"], event["source"]) == ("1.0", "/v2/models/credit/versions/v1")
        assert (event["inferenceservicename"], event["endpoint"], event["modelversion"]) == ("credit", "canary", "v1")
        assert event["traceparent"] == reply.headers["traceparent"]
        assert event["tracestate"] == "a=1"
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert response["data"]["outputs"] == reply.json["outputs"]
    assert reply.headers["x-request-id"] == "call-1"
    assert reply.headers["traceparent"].startswith(f"00-{TRACE}-")


def test_what_nobody_may_read_is_not_logged(logged, mixed):
    """A dropped column is not there; a hashed one is the HMAC of its value, the same for the same value, and null where it is missing."""
    replica, path = logged
    columns = {**mixed.columns(3), "housing": np.array(["own", None, "own"], object), "age": np.array([33, 44, 55])}
    replica.ask("POST", INFER, request_body(mixed.signature, columns), {"x-request-id": "private"})
    found = until(lambda: [each for each in events(path) if each["id"] == "private"])[0]
    tensors = {each["name"]: each for each in found["data"]["inputs"]}
    assert sorted(tensors) == ["amount", "housing", "owner"]
    expected = hmac.digest(KEY.encode(), b'housing\0"own"', "sha256").hex()
    assert tensors["housing"]["data"] == [expected, None, expected]


def test_a_refused_request_is_not_logged_as_a_payload(logged, mixed):
    """The message of a refusal repeats a value, and would tell it."""
    replica, path = logged
    body = request_body(mixed.signature, mixed.columns(1))
    body["inputs"][2]["data"] = ["castle"]
    assert replica.ask("POST", INFER, body, {"x-request-id": "refused"}).status == 400
    line = until(lambda: [each for each in replica.lines() if each.get("request_id") == "refused"])[0]
    assert (line["event"], line["status"], line["model"]) == ("request", 400, "credit")
    assert "castle" not in path.read_text() if path.exists() else True


def test_every_request_has_a_log_line_where_that_is_asked(logged, mixed):
    """Ids and trace stand in the line, and how long it took."""
    replica, _ = logged
    body = request_body(mixed.signature, mixed.columns(1))
    replica.ask("POST", INFER, body, {"x-request-id": "line-1", "traceparent": PARENT})
    line = until(lambda: [each for each in replica.lines() if each.get("request_id") == "line-1"])[0]
    assert (line["status"], line["version"], line["trace_id"], line["parent_id"]) == (200, "v1", TRACE, "b7ad6b7169203331")
    assert 0 < line["seconds"] < 60


def test_an_http_sink_gets_events_in_binary_mode(start, array_folder, cancer):
    """Attributes are headers, the data is the body, as KServe's logger posts; without an id a new one names both events."""
    with sink() as (url, taken):
        replica = start(array_folder, "--payload-log", url)
        replica.ask("POST", INFER, matrix_body(cancer[0][:2]))
        until(lambda: len(taken) == 2)
        (path, first, body), (_, second, answer) = taken
        assert path == "/events"
        assert (first["ce-specversion"], first["content-type"]) == ("1.0", "application/json")
        assert first["ce-type"].endswith("inference.request")
        assert second["ce-type"].endswith("inference.response")
        assert first["ce-id"] == second["ce-id"] == json.loads(body)["id"] != ""
        assert len(json.loads(body)["inputs"]) == 30
        assert json.loads(answer)["outputs"][0]["shape"] == [2]
        until(lambda: counted(replica, "mlops_payloads_total") == {"logged": 1, "failed": 0, "dropped": 0})


def test_a_sink_that_is_gone_costs_no_caller_anything(start, array_folder, cancer):
    """What cannot be written is counted as failed and said once in the log; answers are as ever."""
    with sink() as (url, _):
        pass
    replica = start(array_folder, "--payload-log", url)
    for _ in range(3):
        assert replica.ask("POST", INFER, matrix_body(cancer[0][:1])).status == 200
    until(lambda: counted(replica, "mlops_payloads_total")["failed"] == 3)
    assert len([line for line in replica.lines() if line["event"] == "payloads cannot be logged"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--payload-drop", "agee"), "the payload log is to hide 'agee', which no model has; it has 'age', 'amount', 'housing'"),
        (("--payload-hash", "age"), "hashing columns needs a secret of at least 16 bytes in the variable MLOPS_PAYLOAD_KEY"),
    ],
)
def test_privacy_that_would_hide_nothing_is_an_error(program, frame_folder, tmp_path, options, message):
    """A misspelt column or a missing key stops the server before it is ready, and says so in one line."""
    code, said = program("--model", frame_folder[0], "--bind", "127.0.0.1:0", "--payload-log", tmp_path / "log", *options)
    assert code == 1
    assert message in said


# -- the mirror --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stable(start, array_folder):
    """The server that has the traffic."""
    return start(array_folder, "--version", "v1")


@pytest.fixture(scope="module")
def candidate(start, array_folder):
    """The server that shadows it."""
    return start(array_folder, "--version", "v2", "--track", "candidate")


def aim(replica, url, **fields):
    """Set the mirror."""
    return replica.ask_private("/admin/mirror", "PUT", {"url": url, "percent": 100, **fields})


def outcomes(replica, before=None):
    """Return what came of mirrored requests, since `before`."""
    now = counted(replica, "mlops_mirrored_requests_total")
    return {name: count - (before or {}).get(name, 0) for name, count in now.items()}


def test_the_mirror_asks_the_candidate_and_compares(stable, candidate, cancer):
    """Each request is asked again of the candidate, off the path, and equal answers agree; it goes on until it is taken away."""
    before, seen = outcomes(stable), counted(candidate, "mlops_requests_total")["200"]
    assert set(before) == {"agreed", "differed", "failed", "dropped"}
    url = "http://{}:{}".format(*candidate.address)
    assert aim(stable, url).json == {"url": url, "percent": 100.0, "tolerance": 0.05}
    assert stable.ask_private("/admin/mirror").json["url"] == url
    for path, body in (
        (INFER, matrix_body(cancer[0][:3])),
        ("/v2/models/credit/versions/v1/infer", matrix_body(cancer[0][3:4])),
        ("/v1/models/credit:predict", {"instances": cancer[0][4:6].tolist()}),
    ):
        assert stable.ask("POST", path, body).status == 200
    until(lambda: outcomes(stable, before)["agreed"] == 3)
    assert counted(candidate, "mlops_requests_total")["200"] - seen == 3
    assert stable.ask_private("/admin/mirror", "DELETE").json is None
    stable.ask("POST", INFER, matrix_body(cancer[0][:1]))
    time.sleep(0.3)
    assert counted(candidate, "mlops_requests_total")["200"] - seen == 3


def test_answers_that_differ_are_counted_so(stable, start, write_folder, cancer, tmp_path):
    """A candidate with other labels differs."""
    from sklearn.dummy import DummyClassifier

    matrix, _, signature = cancer
    other = DummyClassifier(strategy="constant", constant=0).fit(matrix, np.arange(len(matrix)) % 2)
    folder = write_folder(tmp_path / "other", other, signature, matrix_body(matrix[:1]), layout="array")
    shadow = start(folder, "--version", "v3")
    before = outcomes(stable)
    aim(stable, "http://{}:{}".format(*shadow.address))
    stable.ask("POST", INFER, matrix_body(matrix[:50]))
    until(lambda: outcomes(stable, before)["differed"] == 1)
    stable.ask_private("/admin/mirror", "DELETE")


def test_a_slow_or_lost_candidate_delays_nobody(stable, cancer):
    """The caller is answered at once while the candidate sleeps; nonsense for an answer, and nobody there, are failures."""
    body = matrix_body(cancer[0][:1])
    before = outcomes(stable)
    with sink(seconds=1.5) as (url, taken):
        aim(stable, url)
        begun = time.monotonic()
        for _ in range(3):
            assert stable.ask("POST", INFER, body).status == 200
        assert time.monotonic() - begun < 1.4
        until(lambda: outcomes(stable, before)["failed"] == 3)
        assert taken[0][0] == "/events/v2/models/credit/infer"
        assert taken[0][1]["x-mlops-mirrored"] == "1"
    aim(stable, url)
    assert stable.ask("POST", INFER, body).status == 200
    until(lambda: outcomes(stable, before)["failed"] == 4)
    stable.ask_private("/admin/mirror", "DELETE")


def test_what_came_from_a_mirror_is_not_mirrored_again(stable, cancer):
    """Two servers that mirror to each other do not do so for ever."""
    with sink() as (url, taken):
        aim(stable, url)
        stable.ask("POST", INFER, matrix_body(cancer[0][:1]), {"x-mlops-mirrored": "1"})
        time.sleep(0.3)
        stable.ask_private("/admin/mirror", "DELETE")
        assert taken == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"url": "ftp://x", "percent": 5}, "`url` is 'ftp://x', expected http://HOST:PORT"),
        ({"url": "http://x", "percent": 0}, "`percent` is 0, expected more than 0 and at most 100"),
        ({"url": "http://x", "percent": 101}, "`percent` is 101, expected"),
        ({"url": "http://x", "percent": 5, "tolerance": -1}, "`tolerance` is -1, expected at least 0"),
        ({"url": "http://x"}, "missing required field `percent`"),
        ({"url": "http://x", "percent": 5, "rate": 1}, "unknown field `rate`"),
    ],
)
def test_a_mirror_that_cannot_be_is_refused(stable, body, message):
    """A bad form is a 400 that says what is wrong, and changes nothing."""
    reply = stable.ask_private("/admin/mirror", "PUT", body)
    assert reply.status == 400
    assert message in reply.json["error"]
    assert stable.ask_private("/admin/mirror").json is None


def test_only_the_private_listener_knows_the_mirror(stable):
    """Whoever reaches the public address cannot send requests elsewhere; other methods are refused."""
    assert stable.ask("PUT", "/admin/mirror", {"url": "http://x", "percent": 5}).status == 404
    reply = stable.ask_private("/admin/mirror", "POST", {})
    assert (reply.status, reply.headers["allow"]) == (405, "GET, PUT, DELETE")


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_answers_are_counted_by_class_and_bin(stable, cancer):
    """`mlops_predictions_total` has every class and bin from the start, and each row once."""
    text = stable.ask("GET", "/metrics").body.decode()
    labels = 'mlops_predictions_total{bucket="1",model="credit",output="predict",track="stable",version="v1"}'
    before = float(next(line for line in text.splitlines() if labels in line).rpartition(" ")[2])
    assert text.count('output="predict_proba.1"') == 20
    rows = cancer[0][:40]
    stable.ask("POST", INFER, matrix_body(rows))
    text = stable.ask("GET", "/metrics").body.decode()
    after = float(next(line for line in text.splitlines() if labels in line).rpartition(" ")[2])
    assert after - before == int(cancer[1].predict(rows).sum())


def test_the_names_of_mlserver_and_kserve_are_there_from_the_start(candidate):
    """Every name of their dashboards has a series with model, version and track, at zero before the first of its kind."""
    text = candidate.ask("GET", "/metrics").body.decode()
    for name in (
        "model_infer_request_success_total",
        "model_infer_request_failure_total",
        "model_infer_request_duration_sum",
        "model_infer_request_duration_count",
        "batch_request_queue_count",
        "parallel_request_queue_count",
        "rest_server_requests_total",
        "rest_server_requests_duration_seconds_count",
        "rest_server_requests_in_progress",
        "grpc_server_handled_total",
        "request_preprocess_seconds_count",
        "request_predict_seconds_count",
        "request_postprocess_seconds_count",
        "request_explain_seconds_count",
    ):
        line = next(line for line in text.splitlines() if line.startswith(f"{name}{{"))
        assert 'track="candidate",version="v2"' in line
