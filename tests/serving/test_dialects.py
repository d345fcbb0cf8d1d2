"""Every protocol asks the same model: the same rows get the same answers, bit for bit, and what is wrong is said."""

import json
import struct

import grpc
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor

from mlops.serving import grpc_messages, protocols
from mlops.serving.signatures import Column, Output, Signature

INFER = "/v2/models/credit/infer"
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="module")
def diabetes():
    """Ten columns and a forest whose answers need all digits."""
    data = load_diabetes()
    return data.data[:40], RandomForestRegressor(3, random_state=0).fit(data.data, data.target), list(data.feature_names)


@pytest.fixture(scope="module")
def regressor(diabetes, write_folder, start, tmp_path_factory):
    """A replica that predicts numbers."""
    rows, model, names = diabetes
    signature = Signature(tuple(Column(name, "FP64") for name in names), (Output("predict", "FP64", (-1,)),))
    folder = tmp_path_factory.mktemp("models") / "diabetes"
    written = write_folder(folder, model, signature, protocols.matrix_body(rows[:1]), layout="array")
    return start(written, "--grpc", "127.0.0.1:0")


@pytest.fixture(scope="module")
def classifier(frame_folder, start):
    """A replica of the mixed table: text, gaps, truth values."""
    return start(frame_folder[0])


def binary_request(inputs, raw, **fields):
    """Return body and headers of a request whose data stands behind its JSON."""
    head = json.dumps({"inputs": inputs, **fields}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + raw, headers


def texts(values):
    """Return strings as the extension writes them."""
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def test_all_protocols_give_the_same_bits(diabetes, regressor):
    """JSON, bytes in, bytes out, gRPC, content types, V1, MLflow's four forms and CSV answer the same rows with the same bits."""
    rows, model, names = diabetes
    expected = model.predict(rows).tolist()
    records = [dict(zip(names, row, strict=True)) for row in rows.tolist()]
    assert regressor.ask("POST", INFER, protocols.matrix_body(rows)).json["outputs"][0]["data"] == expected
    tensor = {"name": "input", "shape": [40, 10], "datatype": "FP64", "parameters": {"binary_data_size": 3200}}
    body, headers = binary_request([tensor], rows.tobytes(), parameters={"binary_data_output": True}, id="7")
    answer = regressor.ask("POST", INFER, body, headers)
    length = int(answer.headers["inference-header-content-length"])
    head = json.loads(answer.body[:length])
    assert head["id"] == "7"
    assert head["outputs"] == [{"name": "predict", "shape": [40], "datatype": "FP64", "parameters": {"binary_data_size": 320}}]
    assert np.frombuffer(answer.body[length:], "<f8").tolist() == expected
    assert _by_grpc(regressor, contents={"fp64_contents": rows.ravel().tolist()}) == expected
    assert _by_grpc(regressor, raw=[rows.tobytes()]) == expected
    frame = [
        {"name": name, "shape": [40], "datatype": "FP64", "data": rows[:, place].tolist()} for place, name in enumerate(names)
    ]
    framed = regressor.ask("POST", INFER, {"inputs": frame, "parameters": {"content_type": "pd"}}).json
    assert framed["outputs"][0]["data"] == expected
    lines = [",".join(names), *(",".join(map(repr, row)) for row in rows.tolist())]
    for path, content, content_headers in [
        ("/v1/models/credit:predict", {"instances": rows.tolist()}, JSON),
        ("/v1/models/credit:predict", {"instances": records}, JSON),
        ("/invocations", {"dataframe_split": {"columns": names, "data": rows.tolist()}}, JSON),
        ("/invocations", {"dataframe_records": records}, JSON),
        ("/invocations", {"instances": records}, JSON),
        ("/invocations", {"inputs": {name: rows[:, place].tolist() for place, name in enumerate(names)}}, JSON),
        ("/invocations", {"inputs": rows.tolist(), "params": {}}, JSON),
        ("/invocations", "\n".join(lines).encode(), CSV),
        ("/invocations", "\r\n".join([*lines, ""]).encode("utf-8-sig"), {"content-type": "text/csv; charset=UTF-8"}),
    ]:
        answer = regressor.ask("POST", path, content, content_headers)
        assert (answer.status, answer.json) == (200, {"predictions": expected}), (path, content)


def _by_grpc(server, contents=None, raw=()):
    """Return what gRPC answers to forty rows as a typed list or as bytes."""
    classes = grpc_messages.message_classes()
    tensor = {"name": "input", "datatype": "FP64", "shape": [40, 10], **({"contents": contents} if contents else {})}
    message = classes["ModelInferRequest"](model_name="credit", inputs=[tensor], raw_input_contents=raw)
    with grpc.insecure_channel(server.wait_for("ready")["grpc"]) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", None, classes["ModelInferResponse"].FromString)
        answer = call(message.SerializeToString(), timeout=20)
    if raw:
        return np.frombuffer(answer.raw_output_contents[0], "<f8").tolist()
    return list(answer.outputs[0].contents.fp64_contents)


def test_text_gaps_and_truth_values_survive_in_every_protocol(frame_folder, classifier, mixed):
    """Strings, missing values, integers and truth values reach the model as they were meant."""
    columns = mixed.columns(30, seed=4)
    expected = frame_folder[1].predict(mixed.frame(columns)).tolist()
    body = protocols.request_body(mixed.signature, columns)
    assert classifier.ask("POST", INFER, body).json["outputs"][0]["data"] == expected
    by_name = {each["name"]: each["data"] for each in body["inputs"]}
    records = [{name: values[row] for name, values in by_name.items()} for row in range(30)]
    sparse = [{name: value for name, value in record.items() if value is not None} for record in records]
    cells = [["" if record[name] is None else str(record[name]) for name in by_name] for record in records]
    for path, content, headers in [
        ("/v1/models/credit:predict", {"instances": sparse}, JSON),
        ("/v1/models/credit:predict", {"instances": [list(record.values()) for record in records]}, JSON),
        ("/invocations", {"dataframe_records": [{**record, "extra": "x"} for record in sparse]}, JSON),
        ("/invocations", {"inputs": by_name}, JSON),
        ("/invocations", "\n".join([",".join(by_name), *map(",".join, cells)]).encode(), CSV),
    ]:
        answer = classifier.ask("POST", path, content, headers)
        assert (answer.status, answer.json) == (200, {"predictions": expected}), (path, content)


def test_binary_tensors_of_every_sort(frame_folder, classifier, mixed):
    """Text, truth values and numbers with NaN for what is missing go in as bytes; an output comes back as bytes where it is asked so."""
    columns = {name: array[:2] for name, array in mixed.columns(30, seed=4).items()}
    columns |= {"amount": np.array([np.nan, 90.0]), "housing": np.array(["own", "rent"], object)}
    parts = {
        "amount": columns["amount"].astype("<f8").tobytes(),
        "age": columns["age"].astype("<i8").tobytes(),
        "housing": texts(columns["housing"]),
        "owner": columns["owner"].tobytes(),
    }
    datatypes = {each.name: each.datatype for each in mixed.signature.inputs}
    inputs = [
        {"name": name, "shape": [2], "datatype": datatypes[name], "parameters": {"binary_data_size": len(raw)}}
        for name, raw in parts.items()
    ]
    asked = [{"name": "predict", "parameters": {"binary_data": True}}, {"name": "predict_proba"}]
    body, headers = binary_request(inputs, b"".join(parts.values()), outputs=asked)
    answer = classifier.ask("POST", INFER, body, headers)
    assert answer.status == 200, answer.body
    length = int(answer.headers["inference-header-content-length"])
    labels = frame_folder[1].predict(mixed.frame(columns)).tolist()
    assert answer.body[length:] == texts(labels)
    chances = frame_folder[1].predict_proba(mixed.frame(columns)).ravel().tolist()
    assert json.loads(answer.body[:length])["outputs"][1]["data"] == chances


TENSOR = {"name": "input", "shape": [1, 10], "datatype": "FP64"}


@pytest.mark.parametrize(
    ("tensor", "raw", "length", "message"),
    [
        (TENSOR | {"parameters": {"binary_data_size": 80}}, b"", None, "expected a number of bytes up to 0"),
        (TENSOR | {"parameters": {"binary_data_size": 72}}, bytes(72), None, "has 72 bytes, expected 80 for the shape [1, 10]"),
        (TENSOR | {"parameters": {"binary_data_size": 80}}, bytes(81), None, "1 bytes follow"),
        (TENSOR | {"parameters": {"binary_data_size": "80"}}, bytes(80), None, "expected a number of bytes up to 80"),
        (TENSOR, bytes(80), None, "neither `data` nor `binary_data_size`"),
        (TENSOR | {"data": [0] * 10, "parameters": {"binary_data_size": 80}}, bytes(80), None, "both"),
        (TENSOR | {"parameters": {"binary_data_size": 80}}, bytes(80), "9999", "expected a number of bytes up to"),
        (TENSOR | {"parameters": {"binary_data_size": 80}}, bytes(80), "-1", "expected a number of bytes up to"),
        (
            TENSOR | {"parameters": {"binary_data_size": 80}},
            struct.pack("<10d", *[float("nan")] * 10),
            None,
            "the column is not nullable",
        ),
        (TENSOR | {"parameters": {"binary_data_size": 80}}, struct.pack("<10d", *[float("inf")] * 10), None, "a finite number"),
        (
            TENSOR | {"datatype": "BYTES", "parameters": {"binary_data_size": 5}},
            b"\x09\0\0\0x",
            None,
            "value 0: its bytes end early",
        ),
        (TENSOR | {"datatype": "BYTES", "parameters": {"binary_data_size": 5}}, b"\x01\0\0\0\xff", None, "not UTF-8"),
    ],
)
def test_malformed_bytes_are_refused(regressor, tensor, raw, length, message):
    """Bytes that are not what their JSON says are a 400 that says what is wrong."""
    body, headers = binary_request([tensor], raw)
    answer = regressor.ask("POST", INFER, body, headers | ({"inference-header-content-length": length} if length else {}))
    assert answer.status == 400
    assert message in answer.json["error"]


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "message"),
    [
        ("/v1/models/credit:predict", {"inputs": []}, JSON, 400, "no `instances`"),
        ("/v1/models/credit:predict", {"instances": []}, JSON, 400, "no list of rows"),
        ("/v1/models/credit:predict", {"instances": [[1.0]]}, JSON, 400, "row 0: expected a list of 10 values"),
        ("/v1/models/credit:predict", {"instances": [{"age": 1.0}, 3]}, JSON, 400, "row 1: expected an object"),
        ("/v1/models/credit:predict", {"instances": [{"age": 1.0}]}, JSON, 400, "missing inputs: 'sex'"),
        ("/v1/models/credit:predict", b"{", JSON, 400, "not JSON"),
        ("/v1/models/credit:predict", b"[]", JSON, 400, "does not follow KServe's V1 protocol: Expected `object`"),
        ("/v1/models/other:predict", {"instances": []}, JSON, 404, "there is no model 'other'"),
        ("/invocations", {}, JSON, 400, "exactly one"),
        ("/invocations", {"inputs": {}, "instances": []}, JSON, 400, "exactly one"),
        ("/invocations", {"inputs": {"age": 3}}, JSON, 400, "no list under 'age'"),
        ("/invocations", {"inputs": [[0] * 10], "params": {"a": 1}}, JSON, 400, "takes no `params`"),
        ("/invocations", {"dataframe_split": {"columns": [1], "data": []}}, JSON, 400, "list of names"),
        ("/invocations", {"dataframe_split": {"columns": ["age"]}}, JSON, 400, "`columns` and `data`"),
        ("/invocations", b"", CSV, 400, "no CSV with a header"),
        ("/invocations", b"age\n1,2\n", CSV, 400, "row 0: expected a list of 1 values"),
        ("/invocations", b"age,sex\nold,1\n", CSV, 400, "input 'age', row 0: got 'old', expected a value of FP64"),
        ("/invocations", b"\xff", CSV, 400, "no CSV with a header in UTF-8"),
        ("/invocations", b"a", {"content-type": "text/csv; charset=latin-1"}, 415, "expected UTF-8"),
        ("/invocations", b"a", {"content-type": "text/plain"}, 415, "content type"),
        ("/invocations", b"a", {"content-type": "text/csv", "content-encoding": "gzip"}, 415, "content encoding"),
    ],
)
def test_malformed_rows_are_refused(regressor, path, content, headers, status, message):
    """Rows that cannot be read are a 4xx that says what is wrong."""
    answer = regressor.ask("POST", path, content, headers)
    assert answer.status == status, answer.body
    assert message in answer.json["error"]


def test_health_version_and_index_of_every_protocol(regressor):
    """MLflow's and V1's health, the version and the repository's index are answered."""
    assert {regressor.ask("GET", path).status for path in ("/ping", "/health", "/v1/models/credit")} == {200}
    assert regressor.ask("GET", "/version").body == b"1"
    assert regressor.ask("GET", "/v1/models").json == {"models": ["credit"]}
    index = regressor.ask("POST", "/v2/repository/index", {})
    assert index.json == [{"name": "credit", "version": "1", "state": "READY", "reason": ""}]
    assert regressor.ask("GET", "/v2").json["extensions"] == ["binary_tensor_data", "model_repository"]


def test_requests_of_every_protocol_are_counted(regressor):
    """A request by V1 or MLflow counts as any other."""
    before = regressor.ask("GET", "/metrics").body
    regressor.ask("POST", "/invocations", {})
    after = regressor.ask("GET", "/metrics").body
    line = 'mlops_requests_total{code="400"'
    counts = [float(row.rpartition(" ")[2]) for text in (before, after) for row in text.decode().splitlines() if line in row]
    assert counts[1] == counts[0] + 1
