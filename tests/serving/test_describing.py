"""The OpenAPI document and the page are of the loaded models' own signatures."""

import html
import json
import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from mlops.serving import protocols
from mlops.serving.signatures import Column, Output, Signature

INFER = "/v2/models/credit/infer"


@pytest.fixture(scope="module")
def server(start, frame_folder):
    """A replica of the mixed table."""
    return start(frame_folder[0], "--version", "v1")


@pytest.fixture(scope="module")
def document(server):
    """Its document."""
    reply = server.ask("GET", "/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    return reply.json


def holds(document, path, answer, *, asked=False):
    """Tell whether a request or an answer of a path is as the document says."""
    post = document["paths"][path]["post"]
    content = post["requestBody"] if asked else post["responses"]["200"]
    schema = {**document, **content["content"]["application/json"]["schema"]}
    return jsonschema.Draft202012Validator(schema).is_valid(answer)


def test_the_document_is_openapi_3_1(start, array_folder, document):
    """Of a model of columns and of one that takes a matrix."""
    validate(document)
    validate(start(array_folder).ask("GET", "/openapi.json").json)
    assert document["openapi"] == "3.1.0"


def test_what_it_says_is_answered_is_answered(server, document, mixed):
    """Requests that it allows are answered as it says, in each protocol, also with what is missing."""
    body = protocols.request_body(mixed.signature, mixed.columns(30, seed=4))
    rows = [
        dict(zip([each["name"] for each in body["inputs"]], row, strict=True))
        for row in zip(*(each["data"] for each in body["inputs"]), strict=True)
    ]
    assert any(row["housing"] is None for row in rows)
    for path, asked in (
        (INFER, body),
        ("/v2/models/credit/versions/v1/infer", {**body, "outputs": [{"name": "predict"}]}),
        ("/v1/models/credit:predict", {"instances": rows}),
        ("/invocations", {"dataframe_records": rows}),
    ):
        assert holds(document, path, asked, asked=True), path
        reply = server.ask("POST", path, asked)
        assert (reply.status, holds(document, path, reply.json)) == (200, True), path
    assert holds(
        document, INFER, document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"], asked=True
    )


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (1, {"data": [17]}),
        (1, {"data": [1.5]}),
        (1, {"data": [None]}),
        (1, {"datatype": "FP64"}),
        (2, {"data": ["castle"]}),
        (2, {"data": [3]}),
        (3, {"data": ["yes"]}),
        (3, {"name": "owners"}),
        (0, {"datatype": "BYTES"}),
    ],
)
def test_what_it_forbids_is_refused(server, document, mixed, place, change):
    """Bounds, allowed values, datatypes, names and what may not be missing stand in the document, and the server holds to them."""
    columns = {name: array[:1] for name, array in mixed.columns(30, seed=4).items()}
    body = protocols.request_body(mixed.signature, columns)
    assert holds(document, INFER, body, asked=True)
    body["inputs"][place] |= change
    assert not holds(document, INFER, body, asked=True)
    assert server.ask("POST", INFER, body).status == 400


def test_a_matrix_or_its_columns(start, array_folder, cancer):
    """A model of numbers takes one tensor of its width, or one for each column; another width is neither."""
    matrix, _, signature = cancer
    document = start(array_folder).ask("GET", "/openapi.json").json
    columns = {column.name: matrix[:2, index] for index, column in enumerate(signature.inputs)}
    for asked, is_right in (
        (protocols.matrix_body(matrix[:2]), True),
        (protocols.request_body(signature, columns), True),
        (protocols.matrix_body(matrix[:2, :29]), False),
        ({"inputs": protocols.request_body(signature, columns)["inputs"][:29]}, False),
    ):
        assert holds(document, INFER, asked, asked=True) is is_right


def test_every_version_has_its_own_words(start_repository, write_version, tmp_path):
    """Versions of several models stand side by side, and what is loaded later is there too."""
    write_version(tmp_path, "1", 1.0)
    write_version(tmp_path, "1+b:2@x", 1.0, name="other")
    server = start_repository(tmp_path, "--model-control", "explicit")
    document = server.ask("GET", "/openapi.json").json
    validate(document)
    assert {"/v2/models/adding/infer", "/v2/models/other/versions/1+b:2@x/infer"} < document["paths"].keys()
    assert "/invocations" not in document["paths"]
    server.ask("POST", "/v2/repository/models/other/unload")
    assert not [path for path in server.ask("GET", "/openapi.json").json["paths"] if "other" in path]
    server.ask("POST", "/v2/repository/models/adding/unload")
    validate(server.ask("GET", "/openapi.json").json)
    assert "No model is loaded" in server.ask("GET", "/docs").body.decode()


def test_the_page_tells_people_and_needs_nothing_else(server, array_folder):
    """Columns, their values and a request to begin with; no script, and nothing from another place."""
    reply = server.ask("GET", "/docs")
    text = reply.body.decode()
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    for words in ("housing", "own, rent, free", "at least 18, at most 120", "predict_proba", f"http://HOST:PORT{INFER}"):
        assert words in text
    assert not re.findall(r"<script|<link|src=|https?://(?!HOST:PORT)", text)
    example = json.loads(html.unescape(re.search(r"-d '(.*?)'</code>", text, re.DOTALL)[1]))
    assert server.ask("POST", INFER, example).status == 200


def test_what_a_model_says_is_text_on_the_page(write_folder, start, tmp_path, cancer):
    """Names that look like HTML or end a shell's string are shown as they are."""
    from sklearn.linear_model import LogisticRegression

    matrix, _, _ = cancer
    estimator = LogisticRegression(max_iter=5000).fit(matrix[:, :1], matrix[:, 0] > 14)
    signature = Signature((Column("<b>it's</b>", "FP64"),), (Output("predict", "BOOL", (-1,), (False, True)),))
    example = protocols.request_body(signature, {"<b>it's</b>": matrix[:1, 0]})
    text = start(write_folder(tmp_path / "odd", estimator, signature, example, layout="array")).ask("GET", "/docs").body.decode()
    assert "<b>" not in text
    assert "&lt;b&gt;it'\\''s&lt;/b&gt;" in text
