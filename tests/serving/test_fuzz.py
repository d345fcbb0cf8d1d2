"""Whatever is sent is answered: no 5xx but 503, no hang, no lost connection, and every refusal says what is wrong.

The normal suite sends some hundred, `make soak` ten thousand.
"""

import http.client
import json
import math
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.serving.protocols import matrix_body, request_body

INFER = "/v2/models/credit/infer"
PATHS = (
    INFER,
    "/v2/models/credit/versions/1/infer",
    "/v1/models/credit:predict",
    "/invocations",
    "/v2/repository/index",
    "/v2/models/credit",
    "/v2",
    "/readyz",
    "/metrics",
    "/ping",
    "/v2/models/credit/ready",
)
TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "text/csv",
    "application/octet-stream",
    "",
    "text/csv; charset=latin-1",
)
DATATYPES = ("FP64", "FP32", "FP16", "INT64", "INT8", "UINT8", "UINT64", "BOOL", "BYTES", "FP8", "", "int64")

numbers = st.one_of(
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -0.0, 1e308, 2**53 + 1, 2**63, -1, math.inf]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)
names = st.sampled_from(["input", "amount", "age", "housing", "owner", "mean radius", "a", "é", ""])
tensors = st.fixed_dictionaries(
    {
        "name": names | values,
        "shape": st.lists(st.integers(-2, 40) | st.just(2**62), max_size=3) | values,
        "datatype": st.sampled_from(DATATYPES) | values,
        "data": st.lists(scalars, max_size=40) | values,
    },
    optional={
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "content_type", "x"]), values, max_size=2) | values
    },
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, max_size=5) | values},
    optional={
        "id": st.text(max_size=5) | values,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["predict", "predict_proba", "odds"]) | values}), max_size=3
        )
        | values,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": values, "content_type": values}) | values,
    },
)
rows = st.lists(st.dictionaries(names, scalars, max_size=5) | st.lists(scalars, max_size=5) | scalars, max_size=4)
tables = st.dictionaries(
    st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records", "params", "signature_name"]),
    rows | values | st.fixed_dictionaries({"columns": st.lists(names, max_size=5) | values, "data": rows | values}),
    max_size=2,
)
bodies = st.one_of(
    requests.map(lambda each: json.dumps(each).encode()),
    tables.map(lambda each: json.dumps(each).encode()),
    values.map(lambda each: json.dumps(each).encode()),
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda each: each.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"[" * 5000,
            b'{"inputs":' * 3000,
            b'{"inputs":[{"data":' + b"[" * 3000,
            b"\x00",
            b"",
            b"a,b\n1\n",
            b"amount,age\n1,2\n,\n",
        ]
    ),
)
lengths = st.sampled_from([None, None, None, "0", "5", "-1", "1e3", "99999999999", "x", "١"]) | st.integers(0, 200).map(str)


@st.composite
def damaged(draw, body):
    """A request that is right but for a few changed, cut or doubled bytes."""
    raw = bytearray(draw(st.sampled_from(body)))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(raw) - 1))
        stop = min(len(raw), start + draw(st.integers(0, 12)))
        raw[start:stop] = draw(
            st.binary(max_size=6) | st.sampled_from([b"null", b"1e999", b"-", b'"', b"]", b"[[", bytes(raw[start:stop]) * 2])
        )
    return bytes(raw)


class Caller:
    """One kept connection to a server, and what came back over it."""

    def __init__(self, server):
        self.server = server
        self.connection = http.client.HTTPConnection(*server.address, timeout=20)
        self.statuses = {}

    def send(self, method, path, body, headers):
        """Send a request; check that its answer is one that a caller can use."""
        try:
            answer, content = self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException):  # the server may close where it did not read the body before (RFC 9112, 9.6)
            self.connection.close()
            answer, content = self._exchange(method, path, body, headers)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        assert answer.status < 500 or answer.status == 503, (method, path, body, headers, content)
        if answer.status >= 400 and method != "HEAD":
            message = json.loads(content)["error"]
            assert message, (path, body)
            assert "Traceback" not in message

    def _exchange(self, method, path, body, headers):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer, answer.read()


@pytest.fixture(scope="module")
def callers(start, array_folder, frame_folder):
    """A caller of an array model and one of a frame model."""
    made = [Caller(start(folder, "--max-rows", "1000")) for folder in (array_folder, frame_folder[0])]
    yield made
    for each in made:
        each.connection.close()


@pytest.fixture(scope="module")
def examples(cancer, mixed):
    """Right requests of both models, in JSON and as bytes behind it."""
    columns = mixed.columns(2, seed=3)
    return [
        json.dumps(matrix_body(cancer[0][:2])).encode(),
        json.dumps(request_body(mixed.signature, columns)).encode(),
        json.dumps({"instances": cancer[0][:2].tolist()}).encode(),
    ]


BUDGET = settings(
    max_examples=300,  # a request to each of two servers
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
ANYTHING = {
    "method": st.sampled_from(["POST"] * 8 + ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]),
    "path": st.sampled_from(PATHS) | st.text(max_size=20).map(lambda each: "/" + quote(each)),
    "body": bodies,
    "content_type": st.sampled_from(TYPES),
    "length": lengths,
}


def _send(callers, method, path, body, content_type, length):
    headers = {"content-type": content_type, **({"inference-header-content-length": length.encode()} if length else {})}
    for caller in callers:
        caller.send(method, path, body, headers)


@given(**ANYTHING)
@BUDGET
def test_anything_is_answered(callers, **request):
    """Any method, path, body, content type and binary length gets an answer that is no failure of the server."""
    _send(callers, **request)


@pytest.mark.soak
@given(**ANYTHING)
@settings(BUDGET, max_examples=5000)
def test_ten_thousand_of_anything_are_answered(callers, **request):
    """The same ten thousand times."""
    _send(callers, **request)


@given(data=st.data())
@BUDGET
def test_a_damaged_request_is_answered(callers, examples, data):
    """What was a right request until some bytes were changed is answered too, and may be wrong in any depth."""
    body = data.draw(damaged(examples))
    path = data.draw(st.sampled_from(PATHS[:4]))
    length = data.draw(st.sampled_from([None, None, str(len(body)), str(len(body) // 2)]))
    _send(callers, "POST", path, body, "application/json", length)


def test_after_all_that_the_server_answers_as_before(callers, examples):
    """Nothing that was sent above has made it unwell, and many of the requests were refused as they should be."""
    for caller, body in zip(callers, examples[:2], strict=True):
        caller.send("POST", INFER, body, {"content-type": "application/json"})
        assert caller.statuses.get(200)
        assert caller.server.ask_private("/readyz").status == 200
        failures = [line for line in caller.server.lines() if line["event"] == "request failed"]
        assert failures == []
