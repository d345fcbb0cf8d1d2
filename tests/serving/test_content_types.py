"""MLServer's content types `pd`, `np` and `str`, of a request and of its tensors; what is expected is from MLServer's documentation."""

import numpy as np
import pytest

from mlops.serving import folders, protocols
from mlops.serving.signatures import Column, Output, Signature

INFER = "/v2/models/credit/infer"


@pytest.fixture(scope="module")
def table(start, frame_folder):
    """A replica of the mixed table."""
    return start(frame_folder[0])


@pytest.fixture(scope="module")
def numbers(start, array_folder):
    """A replica of thirty numbers."""
    return start(array_folder)


@pytest.fixture(scope="module")
def words(start, tmp_path_factory):
    """A replica that counts the letters of one word."""
    folder = tmp_path_factory.mktemp("models") / "words"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "counting.py").write_text(
        "import numpy as np\nclass Model:\n    def predict(self, columns):\n"
        "        return {'letters': np.array([len(word) for word in columns['word']]), 'upper': np.array([word.upper() for word in columns['word']], object)}\n"
        "def load(folder):\n    return Model()\n"
    )
    signature = Signature((Column("word", "BYTES"),), (Output("letters", "INT64", (-1,)), Output("upper", "BYTES", (-1,))))
    example = protocols.request_body(signature, {"word": np.array(["a"], object)})
    folders.write(
        folder, folders.Manifest(signature=signature, flavor="python", layout="columns", entry="counting:load"), example
    )
    return start(folder)


def of(content_type):
    """Return parameters that name a content type."""
    return {"parameters": {"content_type": content_type}}


def strings(**more):
    """Return the input of MLServer's example of `str`."""
    return {"name": "foo", "datatype": "BYTES", "shape": [2], "data": ["bar", "bar2"], **more}


def test_a_data_frame_comes_as_columns_and_its_answer_is_marked(table, frame_folder, mixed):
    """`pd` stacked with `str`, of [n] or [n, 1], is answered as without; the answer says `pd`, and of each output np or str."""
    body = protocols.request_body(mixed.signature, mixed.columns(20, seed=4))
    plain = table.ask("POST", INFER, body).json
    assert "parameters" not in plain
    assert all("parameters" not in output for output in plain["outputs"])
    body["inputs"][2] |= {"shape": [20, 1]} | of("str")
    answer = table.ask("POST", INFER, {**body, **of("pd")}).json
    assert answer["parameters"] == {"content_type": "pd"}
    assert [output.pop("parameters") for output in answer["outputs"]] == [{"content_type": "str"}, {"content_type": "np"}]
    assert answer["outputs"] == plain["outputs"]


def test_an_array_comes_whatever_its_name(numbers, cancer):
    """`np`, of the request or of its only input, is an array of all columns in their order."""
    rows = cancer[0][:3]
    tensor = {"name": "foo", "datatype": "FP64", "shape": [3, 30], "data": rows.ravel().tolist()}
    plain = numbers.ask("POST", INFER, protocols.matrix_body(rows)).json["outputs"]
    for body in ({"inputs": [tensor | of("np")]}, {"inputs": [tensor], **of("np")}):
        answer = numbers.ask("POST", INFER, body).json
        assert [output["data"] for output in answer["outputs"]] == [output["data"] for output in plain]
        assert "parameters" not in answer  # two outputs are no single array
    only = numbers.ask("POST", INFER, {"inputs": [tensor], **of("np"), "outputs": [{"name": "predict_proba"}]}).json
    assert only["parameters"] == only["outputs"][0]["parameters"] == {"content_type": "np"}


def test_strings_come_whatever_their_name(words):
    """`str`, of the request or of its only input, is a list of strings; asked for of an output it is marked."""
    for body in (
        {"inputs": [strings()], **of("str")},
        {"inputs": [strings(shape=[2, 1], **of("str"))]},
        {"inputs": [strings(name="word")]},
    ):
        answer = words.ask("POST", INFER, body).json
        assert [output["data"] for output in answer["outputs"]] == [[3, 4], ["BAR", "BAR2"]]
    body = {"inputs": [strings()], **of("str"), "outputs": [{"name": "upper"}]}
    answer = words.ask("POST", INFER, body).json
    assert answer["parameters"] == answer["outputs"][0]["parameters"] == {"content_type": "str"}
    asked = {"inputs": [strings(name="word")], "outputs": [{"name": "upper", **of("str")}, {"name": "letters"}]}
    marked = words.ask("POST", INFER, asked).json
    assert ["parameters" in output for output in marked["outputs"]] == [True, False]
    assert "parameters" not in marked


def test_an_array_of_strings_becomes_the_columns_in_their_order(start, tmp_path):
    """Several columns of text take one array [n, k] of strings, flat as MLServer sends it or nested."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "joining.py").write_text(
        "class Model:\n    def predict(self, columns):\n        return {'joined': columns['a'] + columns['b']}\ndef load(folder):\n    return Model()\n"
    )
    signature = Signature((Column("a", "BYTES"), Column("b", "BYTES")), (Output("joined", "BYTES", (-1,)),))
    example = protocols.request_body(signature, {"a": np.array(["x"], object), "b": np.array(["y"], object)})
    manifest = folders.Manifest(signature=signature, flavor="python", layout="columns", entry="joining:load")
    folders.write(tmp_path, manifest, example)
    server = start(tmp_path)
    for data in (["a", "b", "c", "d"], [["a", "b"], ["c", "d"]]):
        tensor = {"name": "foo", "datatype": "BYTES", "shape": [2, 2], "data": data}
        assert server.ask("POST", INFER, {"inputs": [tensor], **of("np")}).json["outputs"][0]["data"] == ["ab", "cd"]
    wide = {"name": "foo", "datatype": "BYTES", "shape": [1, 3], "data": ["a", "b", "c"]}
    refused = server.ask("POST", INFER, {"inputs": [wide], **of("np")})
    assert refused.json == {"error": "input 'foo' has the shape [1, 3], expected [n, 2], the columns 'a', 'b'"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"inputs": [strings()], **of("base64")},
            "the request has the content type 'base64'; known here are 'np', 'pd', 'str'",
        ),
        ({"inputs": [strings(**of("pd"))]}, "input 'foo' has the content type 'pd'; known here are 'np', 'str'"),
        ({"inputs": [strings()], **of(3)}, "the request has the content type 3; known here are 'np', 'pd', 'str'"),
        (
            {"inputs": [strings(), strings(name="bar")], **of("str")},
            "the content type 'str' of a request is for one input; this one has 2",
        ),
        (
            {"inputs": [strings(datatype="FP64", data=[1, 2], **of("str"))]},
            "input 'foo' has the content type 'str' and the datatype 'FP64'; strings are BYTES",
        ),
        (
            {"inputs": [strings(shape=[1, 2])], **of("pd")},
            "input 'foo' has the shape [1, 2]; by the content type 'pd' it is a column, [n] or [n, 1]",
        ),
        ({"inputs": [strings(shape=[3])], **of("np")}, "input 'foo' has 2 values, expected 3 for the shape [3]"),
        (
            {"inputs": [strings(name="word")], "outputs": [{"name": "letters", **of("str")}]},
            "output 'letters' has the content type 'str' and the datatype 'INT64'; strings are BYTES",
        ),
    ],
)
def test_a_content_type_that_does_not_fit_is_refused(words, body, message):
    """What is not known or contradicts the tensors is a 400, and never passed over."""
    refused = words.ask("POST", INFER, body)
    assert (refused.status, refused.json) == (400, {"error": message})
