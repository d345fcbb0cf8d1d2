"""Reading requests: what fits the signature arrives as sent, everything else is refused with input, row, value and what was expected."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.serving.errors import BadRequestError
from mlops.serving.protocols import decode_request, matrix_body, request_body
from mlops.serving.signatures import DTYPES, Column, Output, Signature
from mlops.serving.tensors import Reader

OUTPUTS = (Output("predict", "FP64", (-1,)),)
MIXED = Signature(
    inputs=(
        Column("amount", "FP64", nullable=True, min=0),
        Column("age", "INT64", min=18, max=120),
        Column("housing", "BYTES", nullable=True, values=("own", "rent")),
        Column("owner", "BOOL"),
        Column("visits", "UINT8", nullable=True),
    ),
    outputs=OUTPUTS,
)
NUMBERS = Signature(
    inputs=(Column("a", "FP64"), Column("b", "INT64", min=0, max=9), Column("c", "BOOL"), Column("d", "FP32", nullable=True)),
    outputs=OUTPUTS,
)
GOOD = {"amount": [1.5, None], "age": [18, 120], "housing": ["own", None], "owner": [True, False], "visits": [255, None]}
TYPES = {"amount": "FP64", "age": "INT64", "housing": "BYTES", "owner": "BOOL", "visits": "UINT8"}


def tensor(name, data, datatype=None, shape=None):
    """Return a tensor of the mixed signature, by default of its own datatype and shape."""
    return {"name": name, "shape": [len(data)] if shape is None else shape, "datatype": datatype or TYPES[name], "data": data}


def mixed(**changed):
    """A good request with some tensors replaced; None leaves one out."""
    tensors = {name: tensor(name, data) for name, data in GOOD.items()} | changed
    return {"inputs": [each for each in tensors.values() if each is not None]}


def matrix(data, shape, datatype="FP64"):
    """Return a request of one tensor."""
    return {"inputs": [{"name": "input", "shape": shape, "datatype": datatype, "data": data}]}


def read(body, signature=MIXED, *, takes_matrix=False):
    """Read a request as the server does."""
    return Reader(signature, takes_matrix=takes_matrix).read(decode_request(json.dumps(body).encode()))


def test_columns_arrive_in_the_signatures_order_and_dtypes():
    """Each column is an array [n]; a number that is missing is NaN, a string that is missing None."""
    body = mixed()
    body["inputs"].reverse()
    arrays = read(body)
    assert list(arrays) == list(GOOD)
    assert [str(array.dtype) for array in arrays.values()] == ["float64", "int64", "object", "bool", "float64"]
    assert arrays["amount"][0] == 1.5
    assert np.isnan(arrays["amount"][1])
    assert np.isnan(arrays["visits"][1])
    assert arrays["housing"].tolist() == ["own", None]


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6, 0, 1.5], [[1, 2, 3, 4], [5, 6, 0, 1.5]]])
def test_a_matrix_is_flat_or_nested(data):
    """Data may be nested as the shape says or flat in row-major order."""
    with pytest.raises(BadRequestError, match=r"input 'c', row 0: got 3\.0, expected from 0 to 1"):
        read(matrix(data, [2, 4]), NUMBERS, takes_matrix=True)
    data = json.loads(json.dumps(data).replace("3", "1"))
    assert read(matrix(data, [2, 4]), NUMBERS, takes_matrix=True).tolist() == [[1, 2, 1, 4], [5, 6, 0, 1.5]]


def test_an_array_model_takes_columns_too():
    """The columns of an array model may come one by one, each of shape [n] or [n, 1]."""
    body = {
        "inputs": [
            tensor("d", [None, 2.5], "FP32"),
            tensor("a", [[1], [2]], "INT32", [2, 1]),
            tensor("b", [3, 4], "UINT8"),
            tensor("c", [True, False], "BOOL", [2, 1]),
        ]
    }
    read_matrix = read(body, NUMBERS, takes_matrix=True)
    assert read_matrix.dtype == np.float64
    assert np.array_equal(read_matrix, [[1, 3, 1, np.nan], [2, 4, 0, 2.5]], equal_nan=True)


def test_a_declared_single_precision_is_kept():
    """FP32 data means single-precision numbers, as they would come in binary."""
    one = Signature(inputs=(Column("a", "FP64"),), outputs=OUTPUTS)
    assert read({"inputs": [tensor("a", [0.1], "FP32")]}, one)["a"][0] == np.float64(np.float32(0.1))


COLUMN_CASES = [
    (mixed(age=None), "missing inputs: 'age'"),
    (mixed(extra=tensor("extra", [1, 2], "FP64")), "unknown inputs: 'extra'"),
    (mixed(age=None, agee=tensor("agee", [20, 21], "INT64")), "missing inputs: 'age'; unknown inputs: 'agee'"),
    ({"inputs": []}, "missing inputs: 'amount', 'age', 'housing', 'owner', 'visits'"),
    ({"inputs": mixed()["inputs"] + [tensor("age", [20, 21])]}, "the input 'age' is given twice"),
    (mixed(age=tensor("age", [20])), "input 'amount' has 2 rows and input 'age' has 1; expected as many"),
    (mixed(age=tensor("age", [20, "x"])), "input 'age', row 1: got 'x', expected an integer (INT64)"),
    (mixed(age=tensor("age", [20, 21.0])), "input 'age', row 1: got 21.0, expected an integer (INT64)"),
    (mixed(age=tensor("age", [True, 21])), "input 'age', row 0: got true, expected an integer (INT64)"),
    (mixed(age=tensor("age", [20, None])), "input 'age', row 1: got null, expected a value (the column is not nullable)"),
    (mixed(age=tensor("age", [17, 21])), "input 'age', row 0: got 17, expected from 18 to 120"),
    (
        mixed(age=tensor("age", [20, 10**19])),
        "input 'age', row 1: got 10000000000000000000, expected an integer from -9223372036854775808",
    ),
    (
        mixed(age=tensor("age", [20, 2**63], "UINT64")),
        "input 'age', row 1: got 9223372036854775808, expected an integer from -92",
    ),
    (mixed(age=tensor("age", [20, 300], "UINT8")), "input 'age', row 1: got 300, expected an integer from 0 to 255 (UINT8)"),
    (mixed(age=tensor("age", [20, 21], "FP64")), "input 'age' has the datatype 'FP64', expected INT64"),
    (mixed(age=tensor("age", [20, 21], "int64")), "input 'age' has the unknown datatype 'int64', expected INT64"),
    (mixed(age=tensor("age", [20, 21], shape=[1, 2])), "input 'age' has the shape [1, 2], expected [n] or [n, 1]"),
    (mixed(age=tensor("age", [20, 21], shape=[])), "input 'age' has the shape [], expected [n] or [n, 1]"),
    (mixed(age=tensor("age", [20, 21], shape=[3])), "input 'age' has 2 values, expected 3 for the shape [3]"),
    (mixed(age=tensor("age", [20, 21], shape=[-2])), "input 'age' has the shape [-2], expected at least one row"),
    (mixed(age=tensor("age", [], shape=[0])), "input 'age' has the shape [0], expected at least one row"),
    (mixed(age=tensor("age", [[20], [21, 22]], shape=[2, 1])), "input 'age', row 1: got [21, 22], expected a list of 1"),
    (mixed(age=tensor("age", [[20], 21], shape=[2, 1])), "input 'age', row 1: got 21, expected a list of 1"),
    (mixed(age=tensor("age", [[20], [[21]]], shape=[2, 1])), "input 'age', row 1: got [21], expected an integer (INT64)"),
    (mixed(age=tensor("age", [[20]], shape=[2, 1])), "input 'age' has 1 rows, expected 2 for the shape [2, 1]"),
    (mixed(age=tensor("age", [20, [21]])), "input 'age', row 1: got [21], expected an integer (INT64)"),
    (mixed(age=tensor("age", [20, {"a": 1}])), "input 'age', row 1: got {'a': 1}, expected an integer (INT64)"),
    (mixed(amount=tensor("amount", [-0.5, 1])), "input 'amount', row 0: got -0.5, expected at least 0"),
    (mixed(amount=tensor("amount", [1, "1"])), "input 'amount', row 1: got '1', expected a number (FP64)"),
    (mixed(amount=tensor("amount", [1, 1e39], "FP32")), "input 'amount', row 1: got 1e+39, expected a number within float32"),
    (
        mixed(housing=tensor("housing", ["own", "castle"])),
        "input 'housing', row 1: got 'castle', expected one of ['own', 'rent']",
    ),
    (mixed(housing=tensor("housing", ["own", 5])), "input 'housing', row 1: got 5, expected a string (BYTES)"),
    (mixed(owner=tensor("owner", [True, 1])), "input 'owner', row 1: got 1, expected true or false (BOOL)"),
    (mixed(owner=tensor("owner", [True, None])), "input 'owner', row 1: got null, expected a value"),
    (mixed(visits=tensor("visits", [3, 256], "INT64")), "input 'visits', row 1: got 256, expected an integer from 0 to 255"),
    (mixed(housing=tensor("housing", ["own", "x" * 500])), "…, expected one of"),
]
MATRIX_CASES = [
    (matrix([1, 2, 1], [1, 3]), "input 'input' has the shape [1, 3], expected [n, 4], the columns 'a', 'b', 'c', 'd'"),
    (matrix([1, 2, 1, 4, 5], [1, 4]), "input 'input' has 5 values, expected 4 for the shape [1, 4]"),
    (matrix([None, 2, 1, 4], [1, 4]), "input 'a', row 0: got null, expected a value (the column is not nullable)"),
    (matrix([1, 2.5, 1, 4], [1, 4]), "input 'b', row 0: got 2.5, expected an integer"),
    (matrix([1, 2, 1, 4, 1, 10, 1, 4], [2, 4]), "input 'b', row 1: got 10.0, expected from 0 to 9"),
    (matrix([1, 2, "1", 4], [1, 4]), "input 'c', row 0: got '1', expected a number (FP64)"),
    (matrix(["1", "2", "3", "4"], [1, 4], "BYTES"), "input 'input' has the datatype 'BYTES', expected a number datatype"),
    (
        matrix([1, 2, 1, 4], [1, 2, 2]),
        "missing inputs: 'a', 'b', 'c', 'd'; unknown inputs: 'input'; expected one tensor a column, or one",
    ),
    (matrix([10**400, 2, 1, 4], [1, 4]), "…, expected a number within FP64"),
    (matrix([1e308, 2, 1, 4], [1, 4], "FP32"), "input 'a', row 0: got 1e+308, expected a number within float32"),
]


@pytest.mark.parametrize(("body", "message"), COLUMN_CASES)
def test_a_column_that_does_not_fit_is_refused_by_name(body, message):
    """The refusal names the input, the row, the value and what was expected."""
    with pytest.raises(BadRequestError, match=re.escape(message)):
        read(body)


@pytest.mark.parametrize(("body", "message"), MATRIX_CASES)
def test_a_matrix_that_does_not_fit_is_refused_by_the_columns_name(body, message):
    """A value of a matrix is named by its column and row."""
    with pytest.raises(BadRequestError, match=re.escape(message)):
        read(body, NUMBERS, takes_matrix=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"NaN", "the body is not JSON"),
        (b'{"inputs":[],"id":"\xff"}', "the body is not UTF-8"),
        (b"[" * 100_000, "the body is nested too deeply|does not follow"),
        (b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":' + b"[" * 100_000, "the body is nested too deeply"),
        (b"[]", r"Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs":[{"name":"a"}]}', r"missing required field `shape` - at `\$.inputs\[0\]`"),
        (
            b'{"inputs":[{"name":"a","shape":[1.5],"datatype":"FP64","data":[1]}]}',
            r"Expected `int`, got `float` - at `\$.inputs\[0\].shape\[0\]`",
        ),
        (b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1e999]}]}', "out of range"),
        (b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":"x"}]}', "Expected `array`, got `str`"),
        (b'{"inputs":[],"id":5}', r"Expected `str \| null`, got `int`"),
    ],
)
def test_what_is_no_request_is_refused_with_its_place(body, message):
    """A body that is no request of the protocol says where it leaves it."""
    with pytest.raises(BadRequestError, match=message):
        decode_request(body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
SHAPES = st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3)
ANY_TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*GOOD, "a", "b", "c", "d", "input", ""]),
        "shape": SHAPES,
        "datatype": st.sampled_from([*DTYPES, "x"]),
        "data": st.lists(JSON, max_size=8),
    }
)


@settings(max_examples=400, deadline=None)
@given(
    tensors=st.lists(ANY_TENSOR, max_size=3),
    replaced=st.dictionaries(st.sampled_from(list(GOOD)), st.lists(JSON, min_size=2, max_size=2)),
    is_matrix=st.booleans(),
)
def test_whatever_comes_is_read_or_refused(tensors, replaced, is_matrix):
    """Any JSON in any place is either an array that keeps to the signature or a BadRequestError, never another error."""
    bodies = [{"inputs": tensors}, mixed(**{name: tensor(name, data) for name, data in replaced.items()})]
    for body in bodies:
        refused, batch = "", {}
        try:
            batch = read(body, NUMBERS if is_matrix else MIXED, takes_matrix=is_matrix)
        except BadRequestError as error:
            refused = str(error)
        assert len(refused) < 600
        assert refused or is_matrix or all(18 <= age <= 120 for age in batch["age"])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(0, 9),
            st.booleans(),
            st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_rows_survive_the_wire_in_every_form(rows):
    """The same rows as columns and as a matrix are the same numbers, bit for bit."""
    table = np.array([[np.nan if value is None else float(value) for value in row] for row in rows])
    columns = {column.name: array.astype(column.dtype) for column, array in zip(NUMBERS.inputs, table.T, strict=True)}
    by_column = read(request_body(NUMBERS, columns), NUMBERS, takes_matrix=True)
    by_matrix = read(matrix_body(table), NUMBERS, takes_matrix=True)
    assert by_column.tobytes() == by_matrix.tobytes() == table.tobytes()
