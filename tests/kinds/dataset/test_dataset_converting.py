"""Values become what their column's type says, or are marked; columns at once and values one by one agree."""

import datetime as dt
import decimal
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.kinds.dataset import converting
from mlops.kinds.dataset.converting import convert, infer


def _one(value, sort, form=None):
    """Return the converted value, alone in its column; None where it does not fit."""
    values, bad = convert(pd.Series([value], dtype="str" if isinstance(value, str) else object), sort, form)
    return None if bad[0] else values[0]


@pytest.mark.parametrize(
    ("sort", "value", "expected"),
    [
        ("int", "5", 5),
        ("int", " +5 ", 5),
        ("int", "-0", 0),
        ("int", "5.0", 5),
        ("int", "5.", 5),
        ("int", "9223372036854775807", 2**63 - 1),
        ("int", "-9223372036854775808", -(2**63)),
        ("int", "9223372036854775808", None),
        ("int", "5.5", None),
        ("int", "1e3", None),
        ("int", "0x1F", None),
        ("int", "1_000", None),
        ("int", "٣", None),
        ("int", "1,000", None),
        ("int", 5, 5),
        ("int", 5.0, 5),
        ("int", decimal.Decimal(7), 7),
        ("int", 5.5, None),
        ("int", True, None),
        ("int", math.inf, None),
        ("int", 2**63, None),
        ("int", [1], None),
        ("int", {}, None),
        ("float", "1.5", 1.5),
        ("float", "+.5", 0.5),
        ("float", "5.", 5.0),
        ("float", "-1E-3", -0.001),
        ("float", "inf", None),
        ("float", "1e999", None),
        ("float", "1,5", None),
        ("float", "0x1p3", None),
        ("float", 3, 3.0),
        ("float", decimal.Decimal("0.1"), 0.1),
        ("float", True, None),
        ("float", math.inf, None),
        ("float", 10**400, None),
        ("float", [1.0], None),
        ("bool", "Yes", True),
        ("bool", " false ", False),
        ("bool", "1", True),
        ("bool", "0", False),
        ("bool", "2", None),
        ("bool", "y", None),
        ("bool", True, True),
        ("bool", 0, False),
        ("bool", 1.0, True),
        ("bool", 2, None),
        ("category", "a ", "a "),
        ("category", 1, "1"),
        ("category", 1.0, "1"),
        ("category", 1.5, "1.5"),
        ("category", True, "true"),
        ("string", {"a": 1}, None),
        ("string", b"x", None),
        ("string", np.array([1, 2]), None),
        ("datetime", " 2024-01-31 ", np.datetime64("2024-01-31")),
        ("datetime", "today", None),
        ("datetime", "2024-01-31", np.datetime64("2024-01-31T00:00:00")),
        ("datetime", "2024-01-31T10:00:00+02:00", np.datetime64("2024-01-31T08:00:00")),
        ("datetime", "2024-01-31 10:00:00.25", np.datetime64("2024-01-31T10:00:00.25")),
        ("datetime", "1500-01-31", np.datetime64("1500-01-31")),
        ("datetime", "9999-12-31", np.datetime64("9999-12-31")),
        ("datetime", "31.01.2024", None),
        ("datetime", "2024-02-30", None),
        ("datetime", "now", None),
        ("datetime", dt.date(2024, 1, 31), np.datetime64("2024-01-31T00:00:00")),
        (
            "datetime",
            dt.datetime(2024, 1, 31, 10, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            np.datetime64("2024-01-31T08:00:00"),
        ),
        ("datetime", 20240131, None),
    ],
)
def test_a_value_becomes_what_its_type_says_or_does_not_fit(sort, value, expected):
    assert _one(value, sort) == expected
    if isinstance(value, str):  # as an object beside others, as JSON lines have it
        values, bad = convert(pd.Series([value, ""], dtype=object), sort)
        assert (None if bad[0] else values[0]) == expected


def test_a_datetime_may_be_written_in_a_form_of_its_own():
    assert _one("31.01.2024", "datetime", "%d.%m.%Y") == np.datetime64("2024-01-31")
    assert _one("2024-01-31", "datetime", "%d.%m.%Y") is None


_texts = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from(
        ["", "x", " 1", "1 ", "+1", "1.", ".5", "1e5", "true", "No", "0x1F", "007", "2024-01-31", "2024-01-31T10:00:00Z", "é"]
    ),
    st.text(max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(_texts, max_size=6), sort=st.sampled_from(["int", "float", "bool", "string", "datetime"]))
def test_a_column_at_once_gives_what_its_values_give_one_by_one(texts, sort):
    column = pd.Series(texts, dtype="str")
    values, bad = convert(column, sort)
    alone = [_one(text, sort) for text in texts]
    assert [None if wrong else value for value, wrong in zip(values, bad, strict=True)] == alone
    objects, bad_objects = convert(column.astype(object), sort)
    assert bad_objects.tolist() == bad.tolist()
    assert objects[~bad].tolist() == values[~bad].tolist()


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=2), st.none(), st.lists(st.none())), max_size=5
    )
)
def test_every_value_fits_the_type_that_is_inferred(values):
    column = pd.Series(values, dtype=object)
    present = column[~converting.is_missing(column, {""})]
    sort = infer(present)
    nested = present.map(lambda value: isinstance(value, list)).to_numpy(dtype=bool)
    infinite = present.map(lambda value: isinstance(value, float) and math.isinf(value)).to_numpy(dtype=bool)
    large = present.map(lambda value: isinstance(value, int) and not -(2**63) <= value < 2**63).to_numpy(dtype=bool)
    assert not (convert(present, sort)[1] & ~nested & ~infinite & ~large).any()


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(_texts, max_size=6))
def test_every_text_fits_the_type_that_is_inferred(texts):
    column = pd.Series(texts, dtype="str")
    assert not convert(column, infer(column))[1].any()


@pytest.mark.parametrize(
    ("values", "sort"),
    [
        (["1", "2"], "int"),
        (["1", "2.5"], "float"),
        (["1", "99999999999999999999"], "string"),
        (["01", "2"], "string"),
        (["0", "0.5", "-0.5"], "float"),
        (["true", "False"], "bool"),
        (["yes", "no"], "string"),
        (["yes", "no", "yes", "no"], "category"),
        (["2024-01-31", "2024-02-01"], "datetime"),
        (["2024-01-31", "2024-02-30"], "string"),
        ([], "float"),
    ],
)
def test_types_of_text_are_inferred_by_all_values(values, sort):
    assert infer(pd.Series(values, dtype="str")) == sort


@pytest.mark.parametrize(
    ("dtype", "sort"),
    [
        ("int8", "int"),
        ("uint64", "int"),
        ("float32", "float"),
        ("bool", "bool"),
        ("datetime64[s]", "datetime"),
        ("category", "category"),
    ],
)
def test_types_of_numpy_columns_are_their_own(dtype, sort):
    column = pd.Series([0, 1]).astype(dtype)
    assert infer(column) == sort
    assert not convert(column, sort)[1].any()


def test_floats_that_are_no_integers_do_not_become_some():
    values, bad = convert(pd.Series([1.0, 2.5, 2.0**60, 2.0**70]), "int")
    assert bad.tolist() == [False, True, False, True]
    assert values[[0, 2]].tolist() == [1, 2**60]
