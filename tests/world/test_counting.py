"""Rows are counted exactly while the bytes pass by."""

import csv
import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops.world.counting import Lines, Records, parsed


def _fed(counter, data, size):
    for start in range(0, len(data), size):
        counter.feed(data[start : start + size])
    return counter.rows()


def _by_csv(data, delimiter=","):
    rows = [row for row in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter) if row]
    return max(len(rows) - 1, 0)


_cells = st.text(st.sampled_from('ab",;\n\r 1\u00e9'), max_size=6)


@given(
    rows=st.lists(st.lists(_cells, min_size=1, max_size=3), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
    size=st.integers(1, 9),
    bom=st.booleans(),
)
@example(rows=[["a"], ['"']], quoting=csv.QUOTE_MINIMAL, end="\n", last=False, size=1, bom=True)
def test_csv_rows_are_those_of_the_csv_module_however_the_file_is_cut(rows, quoting, end, last, size, bom):
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=end).writerows(rows)
    data = text.getvalue().encode()
    data = data if last else data.removesuffix(end.encode())
    expected = _by_csv(data)
    counter = Records()
    if bom:
        data = b"\xef\xbb\xbf" + data
        counter.feed(data[:3])
        data = data[3:]
    assert _fed(counter, data, size) == expected


@given(text=st.text(st.sampled_from('a",\n\r'), max_size=30), size=st.integers(1, 9))
def test_csv_that_no_writer_would_write_is_counted_right_or_left_to_the_parser(text, size):
    data = text.encode()
    assert _fed(Records(), data, size) in (None, _by_csv(data))


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"", 0),
        (b"a,b", 0),
        (b"a,b\n", 0),
        (b"a,b\n1,2", 1),
        (b"a,b\r\n1,2\r\n", 1),
        (b"a,b\n\n1,2\n\n\n3,4\n", 2),
        (b'a\n"x\ny"\n"z"\n', 2),
        (b'a\n"x ""\n"" y"\n', 1),
        (b'a\n""\n', 1),
        (b'a\n5" pipe\n', None),
    ],
)
def test_csv_rows_by_hand(data, rows):
    for size in (1, 2, 100):
        assert _fed(Records(), data, size) == rows


def test_the_parser_counts_what_parity_cannot():
    assert parsed(io.StringIO('a,b\n5" pipe,x\n7" pipe,y\n'), ",") == 2
    assert parsed(io.StringIO("a\n" + "x" * 200_000), ",") is None


def test_another_delimiter_may_stand_before_a_quote():
    assert _fed(Records(b";"), b'a;"b"\n1;"x\ny"\n', 3) == 1
    assert _fed(Records(b","), b'a;"b"\n', 3) is None


@given(rows=st.lists(st.dictionaries(st.text(max_size=2), st.text(max_size=4), max_size=2), max_size=6), size=st.integers(1, 9))
def test_json_rows_are_the_lines_that_are_not_blank(rows, size):
    text = "".join(json.dumps(row) + "\n \n" for row in rows)
    assert _fed(Lines(), text.encode(), size) == len(rows)
    assert _fed(Lines(), text.encode().rstrip(), size) == len(rows)
