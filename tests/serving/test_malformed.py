"""Golden cases of what is wrong with a request: `malformed/*.yaml`, each a request, and the status and the message that it gets.

A body stands there as text, as it is sent, or as bytes in base64; one that repeats itself as what is repeated, how often.
"""

import http.client
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlops.serving import protocols
from mlops.serving.signatures import Column, Output, Signature

FILES = sorted((Path(__file__).parent / "malformed").glob("*.yaml"))
CASES = [(file.stem, number, case) for file in FILES for number, case in enumerate(yaml.safe_load(file.read_bytes()))]


@pytest.fixture(scope="module")
def servers(start, write_folder, frame_folder, tmp_path_factory):
    """A server of a model of three numbers, whose rows may be one tensor, and one of a model of the mixed columns."""
    from sklearn.tree import DecisionTreeClassifier

    signature = Signature(
        inputs=(Column("age", "INT64", min=18, max=120), Column("income", "FP64", nullable=True), Column("rate", "FP32")),
        outputs=(Output("predict", "INT64", (-1,), (0, 1)), Output("predict_proba", "FP64", (-1, 2), (0, 1))),
    )
    rows = np.array([[30, 1.5, 0.5], [50, 2.5, 0.25]])
    estimator = DecisionTreeClassifier(random_state=0).fit(rows, [0, 1])
    folder = tmp_path_factory.mktemp("models") / "plain"
    write_folder(folder, estimator, signature, protocols.matrix_body(rows[:1]), layout="array")
    return {"array": start(folder), "frame": start(frame_folder[0])}


def _body(case):
    match case.get("body"):
        case {"repeat": part, "times": times, **around}:
            return (around.get("before", "") + part * times).encode()
        case str() as text:
            return text.encode()
        case body:
            return body


def _answer(server, case):
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        connection.request(case["method"], case["path"], _body(case), case["headers"])
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(("file", "number", "case"), CASES, ids=[f"{file}: {case['name']}" for file, _, case in CASES])
def test_what_is_wrong_is_said(servers, request, file, number, case):
    """Each is a 4xx with one line under `error` that says what is wrong, where, and what was expected."""
    status, content = _answer(servers[case["model"]], case)
    assert 400 <= status < 500, content
    message = yaml.safe_load(content)["error"]
    assert "\n" not in message
    assert len(message) < 400
    assert (status, message) == (case["status"], case["error"])


def test_there_are_two_hundred_of_them():
    """None is there twice."""
    assert len({(file, case["name"]) for file, _, case in CASES}) == len(CASES) >= 200
