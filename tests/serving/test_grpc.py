"""gRPC's `inference.GRPCInferenceService`: the same rooms as HTTP, with the messages of the published protocol."""

import signal
import socket
import threading
import time

import grpc
import numpy as np
import pytest

from mlops.serving import grpc_messages, protocols
from mlops.serving.signatures import Column, Output, Signature

MESSAGES = grpc_messages.message_classes()
SORTS = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES")
FIELDS = {"INT8": "int", "INT16": "int", "INT32": "int", "UINT8": "uint", "UINT16": "uint", "UINT32": "uint"}


@pytest.fixture(scope="module")
def sorts_folder(tmp_path_factory):
    """A model that gives back a column of each datatype."""
    from mlops.serving import folders

    folder = tmp_path_factory.mktemp("models") / "sorts"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "echoing.py").write_text(
        "class Model:\n    def predict(self, columns):\n        return {f'{name}_out': array for name, array in columns.items()}\n"
        "def load(folder):\n    return Model()\n"
    )
    signature = Signature(
        tuple(Column(name, name) for name in SORTS), tuple(Output(f"{name}_out", name, (-1,)) for name in SORTS)
    )
    example = protocols.request_body(signature, columns_of(signature))
    manifest = folders.Manifest(signature=signature, flavor="python", layout="columns", entry="echoing:load")
    folders.write(folder, manifest, example)
    return folder, signature


def columns_of(signature):
    """Return two rows at the ends of what each datatype holds."""
    ends = {"BOOL": [False, True], "BYTES": ["", "Zürich"]}
    columns = {}
    for column in signature.inputs:
        is_whole = column.dtype.kind in "iu"
        limits = np.iinfo(column.dtype) if is_whole else None
        values = [limits.min, limits.max] if is_whole else ends.get(column.datatype, [-0.1, 1 / 3])
        columns[column.name] = np.array(values, column.dtype)
    return columns


class Client:
    """Calls by hand, as any generated stub would."""

    def __init__(self, address, credentials=None):
        self.address = address
        self.channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)

    def __call__(self, name, /, metadata=(), **fields):
        """Return the answer to a call."""
        call = self.channel.unary_unary(
            f"/inference.GRPCInferenceService/{name}",
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=MESSAGES[f"{name}Response"].FromString,
        )
        message = fields.pop("raw", None) or MESSAGES[f"{name}Request"](**fields)
        answer, self.call = call.with_call(message, timeout=20, metadata=metadata)
        return answer

    def refused(self, name, /, **fields):
        """Return the status and the words with which a call is refused."""
        with pytest.raises(grpc.RpcError) as caught:
            self(name, **fields)
        return caught.value.code().name, caught.value.details()


@pytest.fixture(scope="module")
def connect(start):
    """Give the function that starts a replica with gRPC and connects to it."""
    clients = []

    def begin(folder, *options, **popen):
        replica = start(folder, "--grpc", "127.0.0.1:0", *options, **popen)
        replica.client = Client(replica.wait_for("starting")["grpc"])
        clients.append(replica.client)
        return replica

    yield begin
    for client in clients:
        client.channel.close()


@pytest.fixture(scope="module")
def server(connect, array_folder):
    """A replica of the array model."""
    return connect(array_folder, "--version", "v1", "--max-body", "100000")


def tensor(**fields):
    """Return an input for one row of thirty columns."""
    return {"name": "input", "datatype": "FP64", "shape": [1, 30], **fields}


def infer(inputs, **fields):
    """Return the fields of a request to infer."""
    return {"model_name": "credit", "inputs": inputs, **fields}


def test_every_call_answers(server):
    """Health, metadata and the index say what HTTP says."""
    ask = server.client
    assert ask("ServerLive").live
    assert ask("ServerReady").ready
    assert ask("ModelReady", name="credit").ready
    assert ask("ModelReady", name="credit", version="v1").ready
    assert not ask("ModelReady", name="other").ready
    assert list(ask("ServerMetadata").extensions) == ["binary_tensor_data", "model_repository"]
    metadata, over_http = ask("ModelMetadata", name="credit"), server.ask("GET", "/v2/models/credit").json
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.outputs] == [
        tuple(each.values()) for each in over_http["outputs"]
    ]
    assert dict(metadata.properties) == over_http["properties"]
    (entry,) = ask("RepositoryIndex").models
    assert (entry.name, entry.version, entry.state) == ("credit", "v1", "READY")


def test_an_answer_comes_as_its_request_did(server, cancer):
    """Bytes are answered with bytes, lists with lists; only the outputs that were asked for; the id and the version come back."""
    matrix, estimator, _ = cancer
    expected = estimator.predict_proba(matrix[:1])
    wanted = [{"name": "predict_proba"}]
    listed = infer([tensor(contents={"fp64_contents": matrix[0].tolist()})], outputs=wanted, id="7")
    answer = server.client("ModelInfer", **listed)
    assert (answer.id, answer.model_version, len(answer.raw_output_contents)) == ("7", "v1", 0)
    assert list(answer.outputs[0].contents.fp64_contents) == expected.ravel().tolist()
    raw = server.client("ModelInfer", **infer([tensor()], outputs=wanted, raw_input_contents=[matrix[0].tobytes()]))
    assert raw.raw_output_contents[0] == expected.tobytes()
    assert (raw.outputs[0].datatype, list(raw.outputs[0].shape), raw.outputs[0].HasField("contents")) == ("FP64", [1, 2], False)


def test_every_datatype_survives(connect, sorts_folder):
    """The ends of each datatype come back as they were sent, as bytes and, but for FP16, in typed lists."""
    from mlops.serving.binary import raw_bytes

    folder, signature = sorts_folder
    ask, columns = connect(folder).client, columns_of(signature)
    inputs = [{"name": name, "datatype": name, "shape": [2]} for name in SORTS]
    raw = [raw_bytes(columns[name]) for name in SORTS]
    assert list(ask("ModelInfer", **infer(inputs, raw_input_contents=raw)).raw_output_contents) == raw
    for each in inputs:
        if each["name"] != "FP16":
            values = columns[each["name"]].tolist()
            field = f"{FIELDS.get(each['name'], each['name'].lower())}_contents"
            each["contents"] = {field: [value.encode() for value in values] if each["name"] == "BYTES" else values}
    assert ask.refused("ModelInfer", **infer(inputs)) == (
        "INVALID_ARGUMENT",
        "input 'FP16' is FP16, which comes in `raw_input_contents` only",
    )
    inputs[SORTS.index("FP16")] |= {"datatype": "FP32", "contents": {"fp32_contents": columns["FP16"].tolist()}}
    answer = ask("ModelInfer", **infer(inputs))  # an output of FP16 is asked for: all come as bytes
    assert list(answer.raw_output_contents) == raw
    some = ask("ModelInfer", **infer(inputs, outputs=[{"name": f"{name}_out"} for name in SORTS if name != "FP16"]))
    assert [each.contents for each in some.outputs] == [
        MESSAGES["ModelInferRequest"](inputs=[each]).inputs[0].contents for each in inputs if each["name"] != "FP16"
    ]


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"model_name": "other"}, "NOT_FOUND", "there is no model 'other'; this server has 'credit'"),
        ({"model_version": "v2"}, "NOT_FOUND", "there is no version 'v2' of model 'credit'; this server has 'v1'"),
        ({}, "INVALID_ARGUMENT", "missing inputs"),
        ({"inputs": [tensor()]}, "INVALID_ARGUMENT", "has 0 values, expected 30"),
        (
            {"inputs": [tensor()], "raw_input_contents": [b"", b""]},
            "INVALID_ARGUMENT",
            "has 2 items, expected one for each of the 1",
        ),
        ({"inputs": [tensor()], "raw_input_contents": [b"1234567"]}, "INVALID_ARGUMENT", "has 7 bytes, expected 240"),
        (
            {"inputs": [tensor(contents={"fp64_contents": [1.0] * 30})], "raw_input_contents": [bytes(240)]},
            "INVALID_ARGUMENT",
            "has both `contents` and `raw_input_contents`",
        ),
        ({"inputs": [tensor(contents={"fp32_contents": [1.0] * 30})]}, "INVALID_ARGUMENT", "expected 'fp64_contents' for FP64"),
        ({"inputs": [tensor(contents={"fp64_contents": [float("nan")] * 30})]}, "INVALID_ARGUMENT", "the column is not nullable"),
        ({"inputs": [tensor(contents={"fp64_contents": [float("inf")] * 30})]}, "INVALID_ARGUMENT", "a finite number"),
        ({"inputs": [tensor(datatype="FP128")]}, "INVALID_ARGUMENT", "unknown datatype 'FP128'"),
        (
            {"inputs": [tensor(datatype="INT8", contents={"int_contents": [1] * 29 + [200]})]},
            "INVALID_ARGUMENT",
            "value 29: got 200, which is beyond INT8",
        ),
        (
            {"inputs": [tensor(datatype="BYTES", contents={"bytes_contents": [b"\xff"] * 30})]},
            "INVALID_ARGUMENT",
            "value 0: not UTF-8",
        ),
        ({"outputs": [{"name": "odds"}], "inputs": [tensor()]}, "INVALID_ARGUMENT", "there is no output 'odds'"),
        ({"raw": b"\xff\xff"}, "INVALID_ARGUMENT", "the message is no ModelInferRequest"),
        ({"raw": bytes(100_001)}, "RESOURCE_EXHAUSTED", "100001 vs. 100000"),
    ],
)
def test_what_is_wrong_is_said(server, fields, code, message):
    """Each bad call has gRPC's status for it and words that say what is wrong; the server goes on."""
    found, words = server.client.refused("ModelInfer", **({"model_name": "credit"} | fields))
    assert (found, message in words) == (code, True), words
    assert server.client("ServerReady").ready


def test_calls_are_counted_as_requests_are(server):
    """A call that is refused is counted by its status as it would be over HTTP."""
    before = server.ask("GET", "/metrics").body
    server.client.refused("ModelInfer", **infer([tensor()]))
    after = server.ask("GET", "/metrics").body
    counts = [
        float(line.rpartition(b" ")[2])
        for text in (before, after)
        for line in text.splitlines()
        if line.startswith(b'mlops_requests_total{code="400"')
    ]
    assert counts[1] == counts[0] + 1


def test_load_and_unload_are_as_over_http(server):
    """What is not allowed over HTTP is not allowed here."""
    assert server.client.refused("RepositoryModelUnload", model_name="credit")[0] == "PERMISSION_DENIED"
    assert server.client.refused("RepositoryModelLoad", repository_name="credit")[0] == "PERMISSION_DENIED"
    assert server.client.refused("ModelMetadata", name="other")[0] == "NOT_FOUND"


def test_a_failure_of_the_model_is_internal(connect, python_folder):
    """What a 500 says over HTTP is INTERNAL here."""
    inputs = [
        {"name": "a", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [-1.0]}},
        {"name": "b", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [1]}},
    ]
    found = connect(python_folder).client.refused("ModelInfer", **infer(inputs))
    assert found == ("INTERNAL", "the model failed on this request; the server's log says how")


def test_callers_need_a_token_where_one_is_asked_for(connect, array_folder, cancer, tmp_path):
    """Without a token only health is answered, as over HTTP."""
    (tmp_path / "tokens").write_text("0123456789abcdef0123\n")
    ask = connect(array_folder, "--token-file", tmp_path / "tokens").client
    assert ask("ServerLive").live
    call = infer([tensor()], raw_input_contents=[cancer[0][0].tobytes()])
    assert ask.refused("ModelInfer", **call)[0] == "UNAUTHENTICATED"
    assert ask("ModelInfer", metadata=(("authorization", "Bearer 0123456789abcdef0123"),), **call).model_name == "credit"


def test_tls_is_as_over_http(connect, array_folder, keys):
    """With a certificate only TLS is spoken, and with authorities only to callers who show a certificate of them."""
    options = ["--tls-cert", keys / "server.pem", "--tls-key", keys / "server.key", "--tls-client-ca", keys / "ca.pem"]
    plain = connect(array_folder, *options).client
    assert plain.refused("ServerLive")[0] == "UNAVAILABLE"
    address = plain.address.replace("127.0.0.1", "localhost")
    authority = (keys / "ca.pem").read_bytes()
    strange = Client(address, grpc.ssl_channel_credentials(authority))
    assert strange.refused("ServerLive")[0] == "UNAVAILABLE"
    pair = [(keys / f"client.{end}").read_bytes() for end in ("key", "pem")]
    known = Client(address, grpc.ssl_channel_credentials(authority, *pair))
    assert known("ServerLive").live
    for client in (strange, known):
        client.channel.close()


def test_what_names_a_request_comes_back(server, cancer):
    """The version, the caller's id and the trace stand in the metadata behind the answer."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = (("x-request-id", "seven"), ("traceparent", trace))
    server.client("ModelInfer", metadata=metadata, **infer([tensor()], raw_input_contents=[cancer[0][0].tobytes()]))
    told = dict(server.client.call.trailing_metadata())
    assert (told["x-mlops-version"], told["x-request-id"]) == ("v1", "seven")
    assert told["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")


def test_sigterm_finishes_the_calls_in_flight(connect, python_folder):
    """While it drains the server says that it is not ready; a call that runs is answered; exit code 0."""
    replica = connect(python_folder, "--drain", "0.5")
    late = []
    inputs = [
        {"name": "a", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [1.5]}},
        {"name": "b", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [1]}},
    ]
    asking = threading.Thread(target=lambda: late.append(Client(replica.client.address)("ModelInfer", **infer(inputs))))
    asking.start()
    time.sleep(0.5)
    replica.process.send_signal(signal.SIGTERM)
    replica.wait_for("draining")
    assert not replica.client("ServerReady").ready
    asking.join()
    assert list(late[0].outputs[0].contents.fp64_contents) == [2.5]
    assert replica.process.wait(timeout=10) == 0
    assert replica.lines()[-1]["is_finished"] is True


def test_a_port_in_use_is_one_line_and_exit_code_1(program, array_folder):
    """As with HTTP, a port that somebody has is no reason for a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, text = program(array_folder, "--bind", "127.0.0.1:0", "--grpc", f"127.0.0.1:{port}")
    lines = [line for line in text.splitlines() if not line.startswith("{")]
    assert code == 1
    assert f"mlops-serve: cannot listen on 127.0.0.1:{port} for gRPC: the address is in use or not ours" in lines, text
