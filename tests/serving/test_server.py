"""The Open Inference Protocol V2 over real HTTP: each path, each refusal, each header."""

import http.client
import json
import re
import socket

import jsonschema
import numpy as np
import pytest

from mlops.serving.protocols import matrix_body, request_body

import open_inference

INFER = "/v2/models/credit/infer"
EXTENSIONS = ["binary_tensor_data", "model_repository"]
VERSIONED = "/v2/models/credit/versions/v1"


@pytest.fixture(scope="module")
def server(start, array_folder):
    """A replica of the array model."""
    return start(array_folder, "--version", "v1", "--track", "canary", "--max-body", "100000")


@pytest.fixture(scope="module")
def frame_server(start, frame_folder):
    """A replica of the frame model."""
    return start(frame_folder[0], "--version", "v1")


@pytest.fixture(scope="module")
def python_server(start, python_folder):
    """A replica of the project's own code."""
    return start(python_folder, "--version", "v1")


def test_an_answer_is_the_models(server, cancer):
    """The answer to rows holds the estimator's labels and probabilities, exactly."""
    matrix, estimator, _ = cancer
    reply = server.ask("POST", INFER, {**matrix_body(matrix[:5]), "id": "42"})
    assert reply.status == 200
    answer = reply.json
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("credit", "v1", "42")
    label, probabilities = answer["outputs"]
    assert (label["name"], label["datatype"], label["shape"]) == ("predict", "INT64", [5])
    assert label["data"] == estimator.predict(matrix[:5]).tolist()
    assert (probabilities["name"], probabilities["datatype"], probabilities["shape"]) == ("predict_proba", "FP64", [5, 2])
    assert probabilities["data"] == estimator.predict_proba(matrix[:5]).ravel().tolist()


def test_every_form_of_the_same_rows_gets_the_same_answer(server, cancer):
    """Flat, nested, one tensor a column, with and without the version: one answer."""
    matrix, _, signature = cancer
    rows = matrix[:3]
    nested = {"inputs": [{**matrix_body(rows)["inputs"][0], "data": rows.tolist()}]}
    columns = request_body(signature, {column.name: rows[:, index] for index, column in enumerate(signature.inputs)})
    answers = [
        server.ask("POST", path, body).body
        for path in (INFER, f"{VERSIONED}/infer")
        for body in (matrix_body(rows), nested, columns)
    ]
    assert len(set(answers)) == 1


@pytest.mark.skipif(not open_inference.DOCUMENT.exists(), reason=f"{open_inference.DOCUMENT} is not on this machine")
def test_every_answer_is_held_against_the_published_document():
    """What all tests of the server ask through finds the schema of an answer, and refuses one that is not so."""
    for method, path, status, name in (
        ("GET", "/v2/", 200, "metadata_server_response"),
        ("GET", VERSIONED, 200, "metadata_model_response"),
        ("POST", f"{VERSIONED}/infer", 200, "inference_response"),
        ("POST", INFER, 400, "metadata_model_error_response"),
    ):
        assert open_inference.component(method, path, status) == name
        with pytest.raises(jsonschema.ValidationError, match="is a required property"):
            open_inference.check(method, path, status, "application/json", {"versions": []})


def test_the_input_example_is_answered(server, frame_server, array_folder, frame_folder):
    """What lies in the folder as input example is a request that its server answers."""
    for running, folder in ((server, array_folder), (frame_server, frame_folder[0])):
        assert running.ask("POST", INFER, (folder / "input_example.json").read_bytes()).status == 200


def test_only_the_outputs_that_were_asked_for_are_given(server, cancer):
    """Requested outputs are honoured in their order; an unknown one is refused by name."""
    body = matrix_body(cancer[0][:1])
    some = server.ask("POST", INFER, {**body, "outputs": [{"name": "predict_proba"}]}).json
    assert [output["name"] for output in some["outputs"]] == ["predict_proba"]
    turned = server.ask("POST", INFER, {**body, "outputs": [{"name": "predict_proba"}, {"name": "predict"}]}).json
    assert [output["name"] for output in turned["outputs"]] == ["predict_proba", "predict"]
    refused = server.ask("POST", INFER, {**body, "outputs": [{"name": "odds"}]})
    assert (refused.status, refused.json["error"]) == (
        400,
        "there is no output 'odds'; this model gives 'predict', 'predict_proba'",
    )


def test_unknown_fields_and_parameters_are_ignored(server, cancer):
    """The protocol leaves room for parameters and extensions; what is unknown is passed over."""
    body = matrix_body(cancer[0][:1])
    body["inputs"][0]["parameters"] = {"content_type": "np"}
    reply = server.ask(
        "POST", INFER, {**body, "parameters": {"a": 1}, "priority": 3, "outputs": [{"name": "predict", "parameters": {}}]}
    )
    assert reply.status == 200
    assert "id" not in reply.json


def test_the_metadata_says_how_to_ask(server, frame_server):
    """An array model advertises one tensor [-1, k], a frame model one tensor a column; the columns stand in the properties."""
    metadata = server.ask("GET", "/v2/models/credit").json
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("credit", ["v1"], "sklearn_skops")
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 30]}]
    assert metadata["outputs"][1] == {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]}
    assert json.loads(metadata["properties"]["columns"])[0] == {"name": "mean radius", "datatype": "FP64"}
    assert json.loads(metadata["properties"]["classes"]) == {"predict": [0, 1], "predict_proba": [0, 1]}
    columns = frame_server.ask("GET", "/v2/models/credit").json["inputs"]
    assert columns[2] == {"name": "housing", "datatype": "BYTES", "shape": [-1]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "mlops", "version": "1", "extensions": EXTENSIONS}),
        ("/v2/", {"name": "mlops", "version": "1", "extensions": EXTENSIONS}),
        ("/v2/models", {"models": ["credit"]}),
        ("/v2/models/credit/ready", {"name": "credit", "ready": True}),
        (f"{VERSIONED}/ready", {"name": "credit", "ready": True}),
        *(
            (path, {"name": "credit", "version": "v1", "live": True, "started": True, "ready": True})
            for path in ("/v2/health/live", "/v2/health/ready", "/livez", "/readyz", "/startupz")
        ),
    ],
)
def test_what_a_get_answers(server, path, expected):
    """Each GET of the protocol answers 200 with the superset of what its known clients read, on both sockets."""
    for reply in (server.ask("GET", path), server.ask_private(path)):
        assert (reply.status, reply.json, reply.headers["content-type"]) == (200, expected, "application/json")
    head = server.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")


def test_every_answer_names_the_version(server):
    """A delivery reads from any answer which version gave it."""
    for method, path in (("GET", "/livez"), ("POST", INFER), ("GET", "/nothing"), ("PUT", INFER)):
        assert server.ask(method, path).headers["x-mlops-version"] == "v1"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "there is nothing at /"),
        ("GET", "/v1/models/other", 404, "there is no model 'other'; this server has 'credit'"),
        ("GET", "/v2/models/other", 404, "there is no model 'other'; this server has 'credit'"),
        ("POST", "/v2/models/other/infer", 404, "there is no model 'other'; this server has 'credit'"),
        ("POST", "/v2/models/credit/versions/v2/infer", 404, "there is no version 'v2' of model 'credit'; this server has 'v1'"),
        ("GET", "/v2/models/credit/versions/v2", 404, "there is no version 'v2' of model 'credit'; this server has 'v1'"),
        ("GET", "/v2/models/credit/explain", 404, "there is nothing at /v2/models/credit/explain"),
        ("GET", "/v2/models/cr%C3%A9dit", 404, "there is no model 'crédit'; this server has 'credit'"),
        ("GET", INFER, 405, "/v2/models/credit/infer takes POST, not GET"),
        ("DELETE", INFER, 405, "/v2/models/credit/infer takes POST, not DELETE"),
        ("POST", "/v2/models/credit", 405, "/v2/models/credit takes GET, not POST"),
        ("PATCH", "/metrics", 405, "/metrics takes GET, not PATCH"),
    ],
)
def test_what_is_not_there_is_refused(server, method, path, status, message):
    """An unknown path, model or version is 404, a wrong method 405 with what is allowed; each says what."""
    reply = server.ask(method, path)
    assert (reply.status, reply.json) == (status, {"error": message})
    if status == 405:
        assert message.split(" takes ")[1].split(",")[0] in reply.headers["allow"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": "application/json; charset=UTF-8"}, 200),
        ({"content-type": 'Application/JSON; charset="utf-8"'}, 200),
        ({"content-type": "application/json; charset=latin-1"}, 415),
        ({"content-type": "text/csv"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-encoding": "gzip"}, 415),
    ],
)
def test_only_json_is_read(server, cancer, headers, status):
    """A body that is not said to be plain JSON in UTF-8 is 415."""
    reply = server.ask("POST", INFER, matrix_body(cancer[0][:1]), headers)
    assert reply.status == status
    assert status == 200 or "expected" in reply.json["error"] or "binary" in reply.json["error"]


def test_a_body_that_is_too_long_is_refused_before_it_is_read(server):
    """An announced length beyond the limit is 413 at once, a body in pieces as soon as the limit is passed."""
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.putrequest("POST", INFER)
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "100001")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())) == (413, {"error": "the body is longer than 100000 bytes"})
    connection.close()
    with socket.create_connection(server.address, timeout=10) as raw:
        raw.sendall(
            b"POST /v2/models/credit/infer HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(3):
            raw.sendall(b"c350\r\n" + b" " * 50000 + b"\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_in_pieces_is_read(server, cancer):
    """Chunked transfer is as good as an announced length."""
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    body = json.dumps(matrix_body(cancer[0][:1])).encode()
    connection.request("POST", INFER, iter([body[:50], body[50:]]), {"content-type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"inputs":' + b"[" * 40_000, b'{"inputs":[{}]}', b"0" * 50_000]
)
def test_garbage_is_the_callers_fault(server, body):
    """Whatever is sent, the answer is 400 with a reason and the server goes on."""
    reply = server.ask("POST", INFER, body)
    assert reply.status == 400
    assert reply.json["error"]
    assert server.ask("GET", "/readyz").status == 200


def test_a_bad_value_is_named(frame_server, mixed):
    """A 400 names input, row, value and what was expected."""
    columns = {name: array[:3] for name, array in mixed.columns(50).items()}
    body = request_body(mixed.signature, columns)
    body["inputs"][2]["data"][1] = "castle"
    reply = frame_server.ask("POST", INFER, body)
    expected = "input 'housing', row 1: got 'castle', expected one of ['own', 'rent', 'free']"
    assert (reply.status, reply.json) == (400, {"error": expected})


def test_strings_and_gaps_survive_the_wire(frame_server, frame_folder, mixed):
    """A frame model over HTTP says what its pipeline says of the same table."""
    columns = mixed.columns(60, seed=9)
    answer = frame_server.ask("POST", INFER, request_body(mixed.signature, columns)).json
    estimator = frame_folder[1]
    assert answer["outputs"][0]["data"] == estimator.predict(mixed.frame(columns)).tolist()
    assert answer["outputs"][1]["data"] == estimator.predict_proba(mixed.frame(columns)).ravel().tolist()


def test_a_large_batch_is_answered_off_the_loop(start, array_folder, cancer):
    """More rows than the loop should wait for are predicted in a thread, with the same answer."""
    matrix, estimator, _ = cancer
    large = np.tile(matrix, (4, 1))
    answer = start(array_folder).ask("POST", INFER, matrix_body(large)).json
    assert answer["outputs"][0]["data"] == estimator.predict(large).tolist()


def number(text, name, **labels):
    """Return the value of one series of an exposition, whatever the order of its labels."""
    for line in text.splitlines():
        match = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line)
        if match and match[1] == name and labels.items() <= dict(re.findall(r'(\w+)="(.*?)"', match[2])).items():
            return float(match[3])
    return pytest.fail(f"{name} {labels} is not in\n{text}")


def test_series_stand_at_zero_from_the_start(start, python_folder):
    """Before any request every series is there, with model, version and track."""
    reply = start(python_folder, "--version", "v7", "--track", "canary").ask_private("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    text = reply.body.decode()
    labels = {"version": "v7", "track": "canary"}
    for name in ("mlops_requests_total", "rest_server_requests_total"):
        for code in ("200", "400", "500"):
            attribute = "code" if name.startswith("mlops") else "status_code"
            assert number(text, name, model="credit", **labels, **{attribute: code}) == 0
    for name in (
        "mlops_request_duration_seconds_count",
        "mlops_predict_duration_seconds_count",
        "mlops_rows_total",
        "mlops_requests_in_progress",
        "model_infer_request_success_total",
        "model_infer_request_failure_total",
        "model_infer_request_duration_count",
        "model_infer_request_duration_sum",
        "rest_server_requests_duration_seconds_count",
        "rest_server_requests_in_progress",
    ):
        assert number(text, name, model="credit", **labels) == 0
    for phase in ("preprocess", "predict", "postprocess"):
        assert number(text, f"request_{phase}_seconds_count", model_name="credit", **labels) == 0
    assert number(text, "mlops_request_duration_seconds_bucket", le="0.0005") == 0
    assert number(text, "mlops_ready", model="credit", **labels) == 1


def test_requests_are_counted_under_every_name(start, python_folder):
    """Two good requests, a bad one and a failure of the model are counted as such by our names and by MLServer's and KServe's."""
    server = start(python_folder, "--version", "v1")
    for a, status in ((9.0, 200), (8.0, 200), ("x", 400), (-1.0, 500)):
        body = {
            "inputs": [
                {"name": "a", "shape": [1], "datatype": "FP64", "data": [a]},
                {"name": "b", "shape": [1], "datatype": "INT64", "data": [1]},
            ]
        }
        assert server.ask("POST", INFER, body).status == status
    text = server.ask_private("/metrics").body.decode()
    assert [number(text, "mlops_requests_total", code=code) for code in ("200", "400", "500")] == [2, 1, 1]
    assert number(text, "mlops_rows_total") == 2
    assert number(text, "mlops_request_duration_seconds_count") == 4
    assert number(text, "mlops_request_duration_seconds_bucket", le="+Inf") == 4
    assert number(text, "model_infer_request_success_total") == 2
    assert number(text, "model_infer_request_failure_total") == 2
    assert number(text, "rest_server_requests_total", status_code="400") == 1
    assert number(text, "request_predict_seconds_count") == 2
    assert number(text, "mlops_requests_in_progress") == 0


def test_a_failure_of_the_model_is_a_500_and_its_log_says_how(python_server):
    """A model that fails on good input answers 500 without its insides; the log has the traceback."""
    body = {
        "inputs": [
            {"name": "a", "shape": [1], "datatype": "FP64", "data": [-1]},
            {"name": "b", "shape": [1], "datatype": "INT64", "data": [1]},
        ]
    }
    reply = python_server.ask("POST", INFER, body)
    assert (reply.status, reply.json) == (500, {"error": "the model failed on this request; the server's log says how"})
    line = python_server.wait_for("model failed")
    assert (line["level"], line["model"], line["version"], line["track"]) == ("error", "credit", "v1", "stable")
    assert "ValueError: negative" in line["traceback"]


def test_one_connection_carries_many_requests(server, cancer, send):
    """Connections are kept alive, after refusals too."""
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.connect()
    opened = connection.sock
    for body, status in ((matrix_body(cancer[0][:1]), 200), ({"inputs": []}, 400), (matrix_body(cancer[0][:2]), 200)):
        assert send(connection, "POST", INFER, body).status == status
    assert connection.sock is opened
    connection.close()
