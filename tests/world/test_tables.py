"""The door to tables: what stands in the source comes as it is, or one clear error; what is kept comes back."""

import datetime as dt
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import fsspec
import numpy as np
import pandas as pd
import pytest
import sklearn

from mlops.core.errors import Refused, Unavailable
from mlops.world import files
from mlops.world.secrets import EnvironmentSecrets
from mlops.world.tables import PandasTables, observe_bundled, observe_query


@pytest.fixture
def world(tmp_path):
    (tmp_path / "data").mkdir()
    return SimpleNamespace(root=tmp_path, secrets=EnvironmentSecrets())


def _read(world, **source):
    return PandasTables().read({"encoding": "utf-8", **source}, world)


def _locate(world, rows, **source):
    return PandasTables().locate({"encoding": "utf-8", **source}, rows, world)


def _cells(frame):
    return {name: frame[name].tolist() for name in frame.columns}


@pytest.mark.parametrize(
    ("data", "cells"),
    [
        (b"a,b\n1,x\n2,\n", {"a": ["1", "2"], "b": ["x", ""]}),
        (b"a,b\n1,x", {"a": ["1"], "b": ["x"]}),
        (b"a,b\n", {"a": [], "b": []}),
        (b"a,b", {"a": [], "b": []}),
        (b"\xef\xbb\xbfa,b\r\n1,x\r\n", {"a": ["1"], "b": ["x"]}),
        (b"a,b\r1,x\r\n2,y\n3,z\n", {"a": ["1", "2", "3"], "b": ["x", "y", "z"]}),
        (b'a,b\n"1\n2","x ""y"""\n', {"a": ["1\n2"], "b": ['x "y"']}),
        (b"a,b\n\n1,NA\n\n", {"a": ["1"], "b": ["NA"]}),
        (b"a,b\n 007 ,99999999999999999999\n", {"a": [" 007 "], "b": ["99999999999999999999"]}),
        ("a,b\né,日本\n".encode(), {"a": ["é"], "b": ["日本"]}),
    ],
)
def test_cells_of_csv_come_as_the_text_that_stands_there(world, data, cells):
    (world.root / "data" / "a.csv").write_bytes(data)
    frame = _read(world, path="data/a.csv")
    assert _cells(frame) == cells
    assert frame.attrs["observed"] == files.observe({"path": "data/a.csv"}, world).value
    assert frame.attrs["sha256"] == frame.attrs["observed"]["data/a.csv"]


@pytest.mark.parametrize(
    ("name", "data", "message", "hint"),
    [
        ("a.csv", b"", "data/a.csv is empty", "a CSV file has a header line with the names of its columns"),
        ("a.csv", b"\n\n", "data/a.csv is empty", "a CSV file has a header line with the names of its columns"),
        (
            "a.csv",
            b'a,b\n"1\n2",3\n4\n5,6,7\n\n8,9\n,,,\n',
            "data/a.csv:4: 1 cells, and the header has 2\ndata/a.csv:5: 3 cells, and the header has 2\ndata/a.csv:8: 4 cells, and the header has 2",
            "check the delimiter and the quotes in those lines",
        ),
        (
            "a.csv",
            b"a,a,,b\n1,2,3,4\n",
            "data/a.csv: column 3 has no name; two columns are named 'a'",
            "give each column a name of its own",
        ),
        (
            "a.csv",
            b"a,b\n1,2\n3,caf\xe9\n",
            "data/a.csv:3: byte 0xe9 is no utf-8",
            "save the file as UTF-8, or set source.encoding, for example to cp1252",
        ),
        ("a.txt", b"a\n1\n", "the end of data/a.txt does not tell its format", "set source.format to csv, parquet or jsonl"),
        (
            "a.jsonl",
            b'{"a": 1}\n{"a": \n\n[1]\n',
            "data/a.jsonl:2: no JSON: Expecting value\ndata/a.jsonl:4: no JSON object",
            "each line of a JSON lines file is one JSON object",
        ),
        ("a.jsonl", b"\n", "data/a.jsonl is empty", "each line of a JSON lines file is one JSON object"),
    ],
)
def test_a_broken_file_is_refused_with_file_and_line(world, name, data, message, hint):
    (world.root / "data" / name).write_bytes(data)
    with pytest.raises(Refused) as error:
        _read(world, path=f"data/{name}")
    assert (error.value.message, error.value.hint) == (message, hint)


def test_a_message_names_at_most_five_broken_lines(world):
    (world.root / "data" / "a.csv").write_bytes(b"a,b\n" + b"1\n" * 9)
    with pytest.raises(Refused) as error:
        _read(world, path="data/a.csv")
    assert error.value.message.count("\n") == 5
    assert error.value.message.endswith("…and more")


def test_a_broken_parquet_file_is_refused(world):
    (world.root / "data" / "a.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(Refused, match=r"data/a\.parquet is no Parquet file"):
        _read(world, path="data/a.parquet")


def test_delimiter_and_encoding_are_told(world):
    (world.root / "data" / "a.csv").write_bytes(b"a;b\ncaf\xe9;1,5\n")
    assert _cells(_read(world, path="data/a.csv", delimiter=";", encoding="cp1252")) == {"a": ["café"], "b": ["1,5"]}
    (world.root / "data" / "a.tsv").write_bytes(b"a\tb\n1,2\t3\n")
    assert _cells(_read(world, path="data/a.tsv")) == {"a": ["1,2"], "b": ["3"]}


def test_rows_are_found_again_at_their_line(world):
    (world.root / "data" / "a.csv").write_bytes(b'\xef\xbb\xbfa,b\n\n"1\n2",x\n3,y\n')
    (world.root / "data" / "b.csv").write_bytes(b"a,b\r\n4,z\r\n")
    assert _locate(world, [0, 1, 2], path="data/*.csv") == ["data/a.csv:3", "data/a.csv:5", "data/b.csv:2"]
    (world.root / "data" / "a.jsonl").write_bytes(b'{"a":1}\n\n{"a":2}\n')
    assert _locate(world, [1], path="data/a.jsonl") == ["data/a.jsonl:3"]
    pd.DataFrame({"a": [1, 2]}).to_parquet(world.root / "data" / "a.parquet")
    assert _locate(world, [1], path="data/a.parquet") == ["data/a.parquet, row 2"]
    assert _locate(world, [4], bundled="iris") == ["row 5"]


def test_files_of_a_glob_are_read_in_order_of_their_names_whatever_the_order_of_their_columns(world):
    (world.root / "data" / "2024-02.csv").write_bytes(b"b,a\n3,4\n")
    (world.root / "data" / "2024-01.csv").write_bytes(b"a,b\n1,2\n")
    frame = _read(world, path="data/*.csv")
    assert _cells(frame) == {"a": ["1", "4"], "b": ["2", "3"]}
    assert list(frame.attrs["observed"]) == ["data/2024-01.csv", "data/2024-02.csv"]
    assert frame.index.tolist() == [0, 1]


def test_files_with_different_columns_are_refused(world):
    (world.root / "data" / "1.csv").write_bytes(b"a,b\n1,2\n")
    (world.root / "data" / "2.csv").write_bytes(b"a,c\n1,2\n")
    with pytest.raises(Refused, match=r"compared with data/1.csv, data/2.csv lacks b and adds c"):
        _read(world, path="data/*.csv")


def test_parquet_and_json_lines_keep_large_integers_beside_gaps(world):
    large = 2**53 + 1
    pd.DataFrame({"a": pd.array([large, None], dtype="Int64")}).to_parquet(world.root / "data" / "a.parquet")
    (world.root / "data" / "a.jsonl").write_text(f'{{"a": {large}}}\n{{"b": true}}\n')
    assert _read(world, path="data/a.parquet")["a"].tolist() == [large, None]
    assert _cells(_read(world, path="data/a.jsonl")) == {"a": [large, None], "b": [None, True]}


def test_memory_and_http_files_are_read_and_observed_in_the_same_terms(world):
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/tables-test/a.csv", b"a\n1\n")
    try:
        frame = _read(world, path="memory://tables-test/a.csv")
        assert _cells(frame) == {"a": ["1"]}
        assert frame.attrs["observed"] == files.observe({"path": "memory://tables-test/a.csv"}, world).value
    finally:
        filesystem.rm("/tables-test", recursive=True)


@pytest.fixture
def server():
    """Return the URL of a server whose file has another ETag from the `change`th question for it on."""
    state = {"asked": 0, "change": 10**9}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            state["asked"] += 1
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.send_header("ETag", '"new"' if state["asked"] >= state["change"] else '"old"')
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"a\n1\n")

        def log_message(self, *_):
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/a.csv", state
        running.shutdown()


def test_a_url_is_read_under_its_etag(world, server):
    url, _ = server
    frame = _read(world, path=url)
    assert _cells(frame) == {"a": ["1"]}
    assert frame.attrs["observed"] == files.observe({"path": url}, world).value == {url: 'tag:"old"'}


def test_a_url_that_changes_while_it_is_read_may_be_tried_again(world, server):
    url, state = server
    state["change"] = 2
    with pytest.raises(Unavailable, match="changed while it was read"):
        _read(world, path=url)


@pytest.fixture
def database(world):
    with sqlite3.connect(world.root / "data" / "credit.db") as connection:
        connection.execute("create table loans (id integer, amount real, name text, at text)")
        connection.executemany("insert into loans values (?, ?, ?, ?)", [(1, 2.5, "ann", "2024-01-31"), (2, None, None, None)])
    connection.close()
    return "sqlite:///data/credit.db"


def test_a_query_gives_its_rows(world, database):
    frame = _read(world, query="select * from loans order by id", url=database)
    assert _cells(frame) == {"id": [1, 2], "amount": [2.5, None], "name": ["ann", None], "at": ["2024-01-31", None]}
    assert frame.attrs["observed"] is None


def test_planning_observes_the_version_query_only(world, database):
    version = "select count(*) from loans"
    assert observe_query({"url": database, "version": version}, world).value == 2
    assert observe_query({"url": database, "version": None}, world).value is None
    assert _read(world, query="select id from loans", url=database, version=version).attrs["observed"] == 2
    many = observe_query({"url": database, "version": "select id, amount from loans"}, world).value
    assert many.startswith("sha256:")


def test_a_secret_is_the_whole_url_or_the_password_of_one(world, database, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_WAREHOUSE", database)
    assert len(_read(world, query="select * from loans", secret="warehouse")) == 2  # noqa: S106 - a name
    monkeypatch.delenv("MLOPS_SECRET_WAREHOUSE")
    with pytest.raises(Refused, match="no secret 'warehouse'") as error:
        _read(world, query="select * from loans", secret="warehouse")  # noqa: S106 - a name
    assert "MLOPS_SECRET_WAREHOUSE" in error.value.hint


@pytest.mark.parametrize(
    ("source", "sort", "message"),
    [
        ({"query": "select * from loan", "url": "{db}"}, Refused, "the database refuses source.query: no such table: loan"),
        ({"query": "selec 1", "url": "{db}"}, Refused, 'the database refuses source.query: near "selec": syntax error'),
        (
            {"query": "select 1", "url": "{db}", "version": "x"},
            Refused,
            'the database refuses source.version: near "x": syntax error',
        ),
        ({"query": "delete from loans", "url": "{db}"}, Refused, "source.query returns no rows"),
        ({"query": "select id, id from loans", "url": "{db}"}, Refused, "the result of source.query: two columns are named 'id'"),
        ({"query": "select 1", "url": "nonsense"}, Refused, "source.url is no URL of a database"),
        ({"query": "select 1", "url": "nosuch://a/b"}, Refused, "the URL begins with no database that SQLAlchemy knows"),
        ({"query": "select 1", "url": "sqlite:///data/credits.db"}, Refused, "data/credits.db does not exist"),
    ],
)
def test_what_a_database_refuses_is_said_in_its_own_words(world, database, source, sort, message):
    source = {name: text.replace("{db}", database) for name, text in source.items()}
    with pytest.raises(sort) as error:
        _read(world, **source)
    assert error.value.message == message
    assert error.value.hint


def test_a_query_changes_nothing_in_the_database(world, database):
    with pytest.raises(Refused):
        _read(world, query="delete from loans", url=database)
    assert len(_read(world, query="select * from loans", url=database)) == 2


@pytest.mark.parametrize("url", ["postgresql+psycopg://ann@127.0.0.1:1/credit", None])
def test_no_message_shows_a_secret(world, monkeypatch, url):
    pytest.importorskip("psycopg")
    secret = "hunter2" if url else "postgresql+psycopg://ann:hunter2@127.0.0.1:1/credit"
    monkeypatch.setenv("MLOPS_SECRET_DB", secret)
    with pytest.raises(Unavailable, match="cannot be reached") as error:
        _read(world, query="select 1", url=url, secret="db")  # noqa: S106 - a name
    assert "hunter2" not in f"{error.value.message} {error.value.hint} {error.value.__cause__}"


def test_a_database_that_repeats_a_secret_is_not_quoted(world, monkeypatch, database):
    monkeypatch.setenv("MLOPS_SECRET_DB", database)
    with pytest.raises(Refused, match="the database refuses source.query: unrecognized token") as error:
        _read(world, query=f"select '{database}", secret="db")  # noqa: S106 - a name, and a query that is wrong
    assert "credit.db" not in error.value.message


def test_a_database_that_changes_while_it_is_read_may_be_tried_again(world, database):
    with pytest.raises(Unavailable, match="the database changed while it was read"):
        _read(world, query="select * from loans", url=database, version="select random()")


@pytest.mark.parametrize("text", ["sqlite:///data/hunter2.db", "hunter2", "hunter2://", "postgresql://ann:hunter2@host:port/db"])
def test_a_secret_that_is_no_url_is_not_shown(world, monkeypatch, text):
    monkeypatch.setenv("MLOPS_SECRET_DB", text)
    with pytest.raises(Refused) as error:
        _read(world, query="select 1", secret="db")  # noqa: S106 - a name
    assert "hunter2" not in f"{error.value.message} {error.value.hint}"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("iris", (150, 5)),
        ("wine", (178, 14)),
        ("breast_cancer", (569, 31)),
        ("diabetes", (442, 11)),
        ("digits", (1797, 65)),
        ("linnerud", (20, 6)),
    ],
)
def test_bundled_sets_come_with_the_version_of_scikit_learn(world, name, shape):
    frame = _read(world, bundled=name)
    assert frame.shape == shape
    assert (
        frame.attrs["observed"]
        == observe_bundled({"name": name}, world).value
        == {"name": name, "scikit-learn": sklearn.__version__}
    )


@pytest.fixture
def kept():
    frame = pd.DataFrame(
        {
            "bool": [True, False, True],
            "bool-gaps": pd.array([True, None, False], dtype="boolean"),
            "category": pd.Categorical(["b", None, "a"], categories=["c", "b", "a"]),
            "float": [0.5, np.nan, -1.0],
            "int": np.array([1, 2, 2**62 + 1], dtype="int64"),
            "int-gaps": pd.array([1, None, 3], dtype="Int64"),
            "string": pd.array(["x", None, "é"], dtype="str"),
            "time": np.array(["2024-01-31T10:00:00", "NaT", "1600-01-01"], dtype="datetime64[us]"),
        }
    )
    frame.attrs["key"] = "int"
    return frame


def test_a_kept_table_comes_back_with_gaps_as_nan_and_categories_and_key(kept, tmp_path):
    PandasTables().save(kept, tmp_path / "a.parquet")
    frame = PandasTables().load(tmp_path / "a.parquet")
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "bool": "bool",
        "bool-gaps": "float64",
        "category": "category",
        "float": "float64",
        "int": "int64",
        "int-gaps": "float64",
        "string": "str",
        "time": "datetime64[us]",
    }
    assert frame["category"].cat.categories.tolist() == ["c", "b", "a"]
    assert frame["category"].cat.codes.tolist() == [1, -1, 2]
    assert frame["int"].tolist() == [1, 2, 2**62 + 1]
    assert frame["bool-gaps"].fillna(9).tolist() == [1.0, 9.0, 0.0]
    assert frame["int-gaps"].fillna(9).tolist() == [1.0, 9.0, 3.0]
    assert frame["time"].iloc[0] == dt.datetime(2024, 1, 31, 10)  # noqa: DTZ001 - kept without an offset
    assert frame.attrs == {"key": "int"}


def test_equal_frames_give_equal_bytes_whatever_their_index(kept, tmp_path):
    tables = PandasTables()
    tables.save(kept, tmp_path / "a.parquet")
    tables.save(kept.copy().set_index(pd.Index([7, 8, 9])), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    tables.save(kept.assign(float=[0.5, 1.0, 2.0]), tmp_path / "c.parquet")
    assert (tmp_path / "a.parquet").read_bytes() != (tmp_path / "c.parquet").read_bytes()
