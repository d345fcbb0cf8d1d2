"""Equal fits give equal files, and a file loads only what it may."""

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from mlops.serving.errors import FolderError
from mlops.serving.sklearn_files import dump_sklearn, load_sklearn

ROOT = Path(__file__).resolve().parents[2]


def fit(kind, mixed):
    """Return (fitted estimator, rows)."""
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    columns = mixed.columns(300)
    labels = mixed.labels(columns)
    numbers = np.column_stack([np.nan_to_num(columns["amount"]), columns["age"]])
    frame = mixed.frame(columns)
    words = [f"{a} {b} {c}" for a, b, c in zip(columns["housing"], columns["age"], columns["owner"], strict=True)]
    with threadpool_limits(1):
        return {
            "pipeline": lambda: (mixed.pipeline().fit(frame, labels), frame),
            "forest": lambda: (RandomForestClassifier(20, random_state=3).fit(numbers, labels), numbers),
            "boosting": lambda: (HistGradientBoostingClassifier(max_iter=20, random_state=3).fit(numbers, labels), numbers),
            "sparse": lambda: (make_pipeline(TfidfVectorizer(), KNeighborsClassifier(3)).fit(words, labels), words),
        }[kind]()


@pytest.mark.parametrize("kind", ["pipeline", "forest", "boosting", "sparse"])
def test_two_equal_fits_give_equal_files_that_predict_as_the_original_does(kind, mixed, tmp_path):
    """Two equal fits are the same file, byte for byte, and it predicts after loading what the fit predicted."""
    estimator, rows = fit(kind, mixed)
    again, _ = fit(kind, mixed)
    trusted = dump_sklearn(estimator, tmp_path / "a.skops")
    assert dump_sklearn(again, tmp_path / "b.skops") == trusted
    assert (tmp_path / "a.skops").read_bytes() == (tmp_path / "b.skops").read_bytes()
    loaded = load_sklearn(tmp_path / "a.skops", trusted=tuple(trusted))
    assert (loaded.predict(rows) == estimator.predict(rows)).all()
    assert np.array_equal(loaded.predict_proba(rows), estimator.predict_proba(rows))


def test_processes_with_other_hash_seeds_write_equal_files(tmp_path):
    """Neither the hash seed nor what a process did before shows in the file."""
    program = (
        "import sys; sys.path[:0] = ['tests/serving', 'tests/support']; from pathlib import Path; import conftest, test_sklearn_files as t\n"
        "from mlops.serving.sklearn_files import dump_sklearn\n"
        "for kind in ('pipeline', 'forest', 'boosting'):\n"
        "    dump_sklearn(t.fit(kind, conftest.Mixed())[0], Path(sys.argv[1]) / kind)\n"
    )
    digests = []
    for seed in ("1", "2"):
        place = tmp_path / seed
        place.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, str(place)], check=True, cwd=ROOT, env=environment, timeout=60)
        digests.append([hashlib.sha256((place / kind).read_bytes()).hexdigest() for kind in ("pipeline", "forest", "boosting")])
    assert digests[0] == digests[1]


def test_sets_are_written_in_an_order_of_their_own(tmp_path):
    """A set is written sorted, whatever order it iterates in."""
    from sklearn.feature_extraction.text import CountVectorizer

    one = CountVectorizer(stop_words=list({"a", "b"}))
    one.extra_ = {f"word{number}" for number in range(50)}
    other = CountVectorizer(stop_words=list({"a", "b"}))
    other.extra_ = {f"word{number}" for number in reversed(range(50))}
    dump_sklearn(one, tmp_path / "a.skops")
    dump_sklearn(other, tmp_path / "b.skops")
    assert (tmp_path / "a.skops").read_bytes() == (tmp_path / "b.skops").read_bytes()
    assert load_sklearn(tmp_path / "a.skops").extra_ == one.extra_


def test_objects_that_are_one_stay_one(tmp_path):
    """Two attributes that name one array still name one array after loading."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.first_ = model.second_ = np.arange(3.0)
    model.other_ = np.arange(3.0)
    dump_sklearn(model, tmp_path / "a.skops")
    loaded = load_sklearn(tmp_path / "a.skops")
    assert loaded.first_ is loaded.second_
    assert loaded.first_ is not loaded.other_


def test_gaps_between_fields_are_zero(tmp_path):
    """Memory that nobody wrote, between the fields of a record array, is not in the file."""
    from sklearn.linear_model import LogisticRegression

    dtype = np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})
    files = []
    for fill in (0x11, 0x77):
        array = np.frombuffer(bytearray([fill]) * 32, dtype).copy()
        array["a"], array["b"] = 1, 2.0
        model = LogisticRegression()
        model.records_ = array
        dump_sklearn(model, tmp_path / "a.skops")
        files.append((tmp_path / "a.skops").read_bytes())
    assert files[0] == files[1]


def test_types_that_are_not_trusted_do_not_load(mixed, tmp_path):
    """A type that the manifest does not name is refused, by name, before anything is built."""
    estimator, _ = fit("forest", mixed)
    trusted = dump_sklearn(estimator, tmp_path / "a.skops")
    assert trusted == ["sklearn.tree._tree.Tree"]
    with pytest.raises(FolderError, match=r"`trusted` in model.json does not name: sklearn.tree._tree.Tree"):
        load_sklearn(tmp_path / "a.skops")


def test_a_pickle_loads_only_where_it_is_allowed(cancer, tmp_path):
    """A .joblib file is refused unless the manifest allows pickles."""
    _, estimator, _ = cancer
    dump_sklearn(estimator, tmp_path / "a.joblib")
    dump_sklearn(estimator, tmp_path / "b.joblib")
    assert (tmp_path / "a.joblib").read_bytes() == (tmp_path / "b.joblib").read_bytes()
    with pytest.raises(FolderError, match="allow_pickle"):
        load_sklearn(tmp_path / "a.joblib")
    assert load_sklearn(tmp_path / "a.joblib", allow_pickle=True).classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[:200], lambda _: b"", lambda _: b"no zip", lambda raw: raw.replace(b"__loader__", b"__leader__")]
)
def test_a_garbled_file_is_one_clear_error(spoil, cancer, tmp_path):
    """A file that was cut or overwritten is a FolderError that names it."""
    _, estimator, _ = cancer
    dump_sklearn(estimator, tmp_path / "a.skops")
    (tmp_path / "a.skops").write_bytes(spoil((tmp_path / "a.skops").read_bytes()))
    with pytest.raises(FolderError, match=r"a\.skops cannot be loaded"):
        load_sklearn(tmp_path / "a.skops")


def test_the_archive_holds_no_time(cancer, tmp_path):
    """Every entry has the same fixed date."""
    _, estimator, _ = cancer
    dump_sklearn(estimator, tmp_path / "a.skops")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "a.skops").read_bytes())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_skops_cannot_hold_is_one_clear_error(tmp_path):
    """An object that skops cannot hold is a FolderError."""
    with pytest.raises(FolderError, match="skops cannot hold"):
        dump_sklearn((value for value in ()), tmp_path / "a.skops")
