"""Whatever a file holds, it is read or refused: never a traceback."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.core.errors import MlopsError

_bits = st.sampled_from(
    [b"a", b"b", b",", b'"', b"\n", b"\r", b"\r\n", b"1", b"-2.5", b"NA", b"\xff", b"\x00", b"\xc3\xa9", b" ", b"2024-01-31"]
)
_json = st.sampled_from(
    [b'{"a":', b'{"b":', b"1", b"}", b"\n", b'"x"', b",", b"null", b"[1]", b"NaN", b"1e999", b"\xff", b"\x00", b'"":']
)
COLUMNS = {"a": {"type": "int", "nullable": True, "max": 5}, "b": {"type": "category"}}


@settings(max_examples=150, deadline=None)
@given(
    data=st.lists(_bits, max_size=25).map(b"".join), columns=st.sampled_from([None, COLUMNS]), key=st.sampled_from([None, "a"])
)
def test_any_csv_is_read_or_refused(make, data, columns, key):
    _check(make, "a.csv", b"a,b\n" + data, columns, key)
    _check(make, "a.csv", data, columns, key)


@settings(max_examples=150, deadline=None)
@given(
    data=st.lists(_json, max_size=20).map(b"".join), columns=st.sampled_from([None, COLUMNS]), key=st.sampled_from([None, "a"])
)
def test_any_json_lines_are_read_or_refused(make, data, columns, key):
    _check(make, "a.jsonl", data, columns, key)


def _check(make, name, data, columns, key):
    with tempfile.TemporaryDirectory() as folder:
        project = make(Path(folder))
        project.write(name, data)
        try:
            made = project.read(source={"path": name}, columns=columns, key=key, split={"test": 0.5})
        except MlopsError:
            return
        assert len(project.frame(made)) == made.facts["rows"] > 0


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_of_zeros_is_refused(make, name, tmp_path):
    project = make(tmp_path)
    project.write(name, b"\x00" * 1000)
    with pytest.raises(MlopsError):
        project.read(source={"path": name}, columns=COLUMNS)
