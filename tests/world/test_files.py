"""The door `file`: digests, counts, and errors that say what to do."""

import hashlib
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import fsspec
import pandas as pd
import pytest

from mlops.core.errors import Refused, Unavailable
from mlops.world import files


def observe(arguments, root):
    return files.observe(arguments, SimpleNamespace(root=root))


def observe_all(requests, root):
    return files.observe_all(requests, SimpleNamespace(root=root))


CSV = b"a,b\n1,2\n3,4\n"
DIGEST = "sha256:" + hashlib.sha256(CSV).hexdigest()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "credit.csv").write_bytes(CSV)
    return tmp_path


def _age(path, seconds=10):
    """Make the file's modification old; its change time is now, so the door must wait that out."""
    then = time.time_ns() - seconds * 1_000_000_000
    os.utime(path, ns=(then, then))


def test_a_file_answers_with_its_digest_and_counts(root):
    found = observe({"path": "data/credit.csv"}, root)
    assert found.value == {"data/credit.csv": DIGEST}
    assert found.facts == {"files": 1, "bytes": 12, "rows": 2}


def test_a_glob_answers_with_every_file_sorted(root):
    (root / "data" / "b.csv").write_bytes(b"a,b\n1,2")
    (root / "data" / "folder.csv").mkdir()
    found = observe({"path": "data/*.csv"}, root)
    assert list(found.value) == ["data/b.csv", "data/credit.csv"]
    assert found.facts == {"files": 2, "bytes": 19, "rows": 3}


def test_a_name_with_magic_characters_is_that_file_where_it_exists(root):
    (root / "data" / "a[1].csv").write_bytes(CSV)
    assert observe({"path": "data/a[1].csv"}, root).value == {"data/a[1].csv": DIGEST}


def test_rows_of_parquet_and_json_lines_are_counted(root):
    pd.DataFrame({"a": [1, 2, 3]}).to_parquet(root / "data" / "a.parquet")
    (root / "data" / "a.jsonl").write_bytes(b'{"a":1}\n\n{"a":2}')
    (root / "data" / "a.txt").write_bytes(b"a\n1\n")
    assert observe({"path": "data/a.parquet"}, root).facts["rows"] == 3
    assert observe({"path": "data/a.jsonl"}, root).facts["rows"] == 2
    assert "rows" not in observe({"path": "data/a.txt"}, root).facts
    assert observe({"path": "data/a.txt", "format": "csv"}, root).facts["rows"] == 1


def test_quotes_inside_fields_are_left_to_the_parser(root):
    (root / "data" / "pipes.csv").write_bytes(b'a;b\n5" pipe;1\n7" pipe;2\n')
    assert observe({"path": "data/pipes.csv", "delimiter": ";"}, root).facts["rows"] == 2


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("data/credits.csv", "data/credits.csv does not exist", "did you mean 'data/credit.csv'?"),
        ("dat/credit.csv", "dat/credit.csv does not exist", "did you mean 'data/credit.csv'?"),
        ("data/zzz", "data/zzz does not exist", "data has: credit.csv"),
        ("data/credit.csv/x", "data/credit.csv/x does not exist", "data/credit.csv is a file and no folder"),
        ("data/*.parquet", "no file matches data/*.parquet", "data has: credit.csv"),
        ("data", "data is a folder", "name the files in it, for example data/*.csv"),
        ("/dev/null", "/dev/null is no regular file", "name a file that can be read twice"),
        ("a\0b", "'a\\x00b' is no path: embedded null byte", "check the path"),
        ("nosuch://a/b", "nosuch://a/b cannot be read: Protocol not known: nosuch", "check the URL"),
        ("memory://nowhere.csv", "memory://nowhere.csv does not exist", "check the path"),
        ("memory://nowhere/*.csv", "no file matches memory://nowhere/*.csv", "check the pattern"),
    ],
)
def test_what_cannot_be_observed_says_what_and_what_to_do(root, path, message, hint):
    with pytest.raises(Refused) as error:
        observe({"path": path}, root)
    assert (error.value.message, error.value.hint) == (message, hint)


def _observe_as_nobody(root):
    os.setuid(65534)
    found = observe_all([{"path": "data/credit.csv"}], root)[0]
    return found.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_file_of_another_user_is_refused():
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        root = Path(folder)
        root.chmod(0o755)
        (root / "data").mkdir()
        (root / "data" / "credit.csv").write_bytes(CSV)
        (root / "data" / "credit.csv").chmod(0o600)
        message = "data/credit.csv may not be accessed: permission denied"
        assert pool.submit(_observe_as_nobody, root).result() == message


def test_a_broken_parquet_file_is_refused(root):
    (root / "data" / "a.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(Refused, match=r"data/a\.parquet is no Parquet file"):
        observe({"path": "data/a.parquet"}, root)


def test_in_a_batch_an_error_stands_in_the_place_of_its_answer(root):
    first, second, third = observe_all([{"path": "data/credit.csv"}, {"path": "x.csv"}, {"path": "data/*.csv"}], root)
    assert first.value == third.value == {"data/credit.csv": DIGEST}
    assert isinstance(second, Refused)


@pytest.fixture
def hashed(monkeypatch):
    """Return the names of the files that were hashed."""
    names = []
    original = files._hashed

    def spy(place, form):
        names.append(place.name)
        return original(place, form)

    monkeypatch.setattr(files, "_hashed", spy)
    return names


def test_an_old_file_is_hashed_once_and_a_changed_one_again(root, hashed, monkeypatch):
    monkeypatch.setattr(files, "_RACY", -10_000_000_000)  # so that the test need not wait
    for _ in range(3):
        assert observe({"path": "data/credit.csv"}, root).facts["rows"] == 2
    assert len(hashed) == 1
    (root / "data" / "credit.csv").write_bytes(b"a,b\n9,2\n3,4\n")
    assert observe({"path": "data/credit.csv"}, root).value != {"data/credit.csv": DIGEST}
    assert len(hashed) == 2


def test_a_young_file_is_not_trusted_to_the_cache(root, hashed):
    path = root / "data" / "credit.csv"
    observe({"path": "data/credit.csv"}, root)
    assert not (root / ".mlops").exists()
    path.write_bytes(b"a,b\n9,9\n9,9\n")  # the same size, maybe within one tick of the clock
    observe({"path": "data/credit.csv"}, root)
    assert len(hashed) == 2


def test_a_time_that_was_set_back_does_not_fool_the_cache(root, hashed, monkeypatch):
    monkeypatch.setattr(files, "_RACY", -10_000_000_000)
    path = root / "data" / "credit.csv"
    _age(path)
    times = path.stat()
    observe({"path": "data/credit.csv"}, root)
    path.write_bytes(b"a,b\n9,9\n9,9\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert observe({"path": "data/credit.csv"}, root).value != {"data/credit.csv": DIGEST}


def test_another_format_counts_anew(root, monkeypatch):
    monkeypatch.setattr(files, "_RACY", -10_000_000_000)
    assert observe({"path": "data/credit.csv"}, root).facts["rows"] == 2
    assert observe({"path": "data/credit.csv", "format": "jsonl"}, root).facts["rows"] == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"layout": 0, "files": {}}', b'{"layout": 1, "files": 3}'])
def test_a_broken_cache_is_left_out(root, content):
    cache = root / ".mlops" / "cache" / "files.json"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    assert observe({"path": "data/credit.csv"}, root).value == {"data/credit.csv": DIGEST}


def test_the_cache_forgets_files_that_are_gone(root, monkeypatch):
    monkeypatch.setattr(files, "_RACY", -10_000_000_000)
    (root / "data" / "b.csv").write_bytes(CSV)
    observe({"path": "data/*.csv"}, root)
    (root / "data" / "b.csv").unlink()
    (root / "data" / "c.csv").write_bytes(CSV)
    observe({"path": "data/*.csv"}, root)
    kept = json.loads((root / ".mlops" / "cache" / "files.json").read_bytes())["files"]
    assert sorted(path.rpartition("/")[2] for path in kept) == ["c.csv", "credit.csv"]


def test_a_file_that_grows_while_it_is_read_may_be_tried_again(root, monkeypatch):
    original = files._hashed

    def grow(place, form):
        seen = original(place, form)
        with (root / "data" / "credit.csv").open("ab") as file:
            file.write(b"5,6\n")
        return seen

    monkeypatch.setattr(files, "_hashed", grow)
    with pytest.raises(Unavailable, match="changed while it was read"):
        observe({"path": "data/credit.csv"}, root)


def test_memory_files_answer_with_digests(root):
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/files-test/a.csv", CSV)
    try:
        assert observe({"path": "memory://files-test/a.csv"}, root).value == {"memory://files-test/a.csv": DIGEST}
        assert observe({"path": "memory://files-test/*.csv"}, root).facts == {"files": 1, "bytes": 12, "rows": 2}
    finally:
        filesystem.rm("/files-test", recursive=True)


@pytest.fixture
def server():
    headers = {"ETag": '"one"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            status = {"/a.csv": 200, "/secret.csv": 403}.get(self.path, 404)
            self.send_response(status)
            self.send_header("Content-Length", str(len(CSV)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self):
            self.do_HEAD()
            self.wfile.write(CSV)

        def log_message(self, *_):
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", headers
        running.shutdown()


def test_a_url_answers_with_its_etag_else_with_size_and_time(root, server):
    url, headers = server
    assert observe({"path": f"{url}/a.csv"}, root).value == {f"{url}/a.csv": 'tag:"one"'}
    headers["ETag"] = '"two"'
    assert observe({"path": f"{url}/a.csv"}, root).value == {f"{url}/a.csv": 'tag:"two"'}
    del headers["ETag"]
    time_tag = "size:12 time:Mon, 01 Jan 2024 00:00:00 GMT"
    assert observe({"path": f"{url}/a.csv"}, root).value == {f"{url}/a.csv": time_tag}
    del headers["Last-Modified"]
    with pytest.raises(Refused, match="neither an ETag nor size and time"):
        observe({"path": f"{url}/a.csv"}, root)


def test_urls_that_fail_are_told_apart(root, server):
    url, _ = server
    with pytest.raises(Refused, match="does not exist"):
        observe({"path": f"{url}/nowhere.csv"}, root)
    with pytest.raises(Refused, match="the server answered 403"):
        observe({"path": f"{url}/secret.csv"}, root)
    with pytest.raises(Unavailable, match="cannot be reached"):
        observe({"path": "http://127.0.0.1:1/a.csv"}, root)


def test_credentials_in_a_url_are_not_shown(root):
    with pytest.raises(Unavailable) as error:
        observe({"path": "http://ann:hunter2@127.0.0.1:1/a.csv"}, root)
    assert "hunter2" not in error.value.message + str(error.value.hint)
