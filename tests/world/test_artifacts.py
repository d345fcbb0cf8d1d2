"""The door to artifacts: what is put comes back whole, or one clear error."""

import hashlib
import os
import stat
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlops.core.errors import Refused
from mlops.world.artifacts import LocalArtifacts

ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def artifacts(tmp_path):
    return LocalArtifacts(tmp_path / "artifacts")


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_bytes_are_kept_under_their_sha256(artifacts):
    assert artifacts.put_bytes(b"abc") == ABC
    assert artifacts.read_bytes(ABC) == b"abc"
    assert artifacts.file(ABC).read_bytes() == b"abc"


def test_a_file_and_equal_bytes_are_one_artifact(artifacts, tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert artifacts.put_file(tmp_path / "a") == artifacts.put_bytes(b"abc") == ABC
    assert len(_files(artifacts._root / "files")) == 1


def test_kept_files_are_read_only(artifacts):
    assert stat.S_IMODE(artifacts.file(artifacts.put_bytes(b"abc")).stat().st_mode) == 0o444


@pytest.mark.parametrize("damage", [b"abd", b"ab", b"", b"abcd"])
def test_a_changed_or_cut_file_is_refused_naming_digest_path_and_what_to_do(artifacts, damage):
    path = artifacts.file(artifacts.put_bytes(b"abc"))
    path.chmod(0o644)
    path.write_bytes(damage)
    for read in (artifacts.read_bytes, artifacts.file):
        with pytest.raises(Refused) as error:
            read(ABC)
        assert ABC in error.value.message
        assert str(path) in error.value.message
        assert "--replace" in error.value.hint
    assert not artifacts.is_whole(ABC)


def test_putting_the_bytes_again_heals_a_changed_file(artifacts):
    path = artifacts.file(artifacts.put_bytes(b"abc"))
    path.chmod(0o644)
    path.write_bytes(b"x")
    artifacts.put_bytes(b"abc")
    assert artifacts.read_bytes(ABC) == b"abc"


def test_a_missing_artifact_says_how_to_make_it_anew(artifacts):
    with pytest.raises(Refused, match=f"artifact {ABC} is missing") as error:
        artifacts.read_bytes(ABC)
    assert "--replace" in error.value.hint
    assert not artifacts.has(ABC)
    assert not artifacts.is_whole(ABC)


@pytest.mark.parametrize("text", ["", "sha256:", ABC[:-1], "md5:" + "0" * 64, "sha256:" + "../" * 21 + "a", ABC.upper()])
def test_what_is_no_digest_is_refused_and_touches_no_path(artifacts, text):
    with pytest.raises(Refused, match="no digest"):
        artifacts.read_bytes(text)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "model.json").write_bytes(b"{}")
    (folder / "code" / "a.py").write_bytes(b"abc")
    return folder


def test_a_folder_is_the_hash_of_its_sorted_manifest(artifacts, model):
    empty = hashlib.sha256(b"{}").hexdigest()
    manifest = f'[["code/a.py","{ABC}",3],["model.json","sha256:{empty}",2]]'
    assert artifacts.put_folder(model) == "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


def test_a_folder_comes_back_as_it_was_put_without_empty_folders(artifacts, model):
    digest = artifacts.put_folder(model)
    folder = artifacts.folder(digest)
    assert _files(folder) == ["code/a.py", "model.json"]
    assert (folder / "code" / "a.py").read_bytes() == b"abc"
    assert not (folder / "empty").exists()
    assert stat.S_IMODE((folder / "model.json").stat().st_mode) == 0o444
    assert artifacts.folder(digest) == folder
    assert artifacts.has(digest)
    assert artifacts.is_whole(digest)


def test_a_folder_whose_part_is_missing_or_changed_is_refused(artifacts, model):
    digest = artifacts.put_folder(model)
    path = artifacts.file(ABC)
    artifacts.folder(digest)
    path.chmod(0o644)
    path.write_bytes(b"abd")
    assert artifacts.has(digest), "names and sizes are as they were"
    assert not artifacts.is_whole(digest)
    with pytest.raises(Refused, match="was changed"):
        artifacts.folder(digest)
    path.write_bytes(b"ab")
    assert not artifacts.has(digest), "a part of a folder has another size"
    path.unlink()
    (artifacts._root / "folders" / digest.removeprefix("sha256:") / "code" / "a.py").unlink()
    with pytest.raises(Refused, match="missing"):
        artifacts.folder(digest)
    assert not artifacts.has(digest)


def test_what_others_left_in_a_folder_is_removed_and_what_they_took_comes_back(artifacts, model):
    digest = artifacts.put_folder(model)
    folder = artifacts.folder(digest)
    (folder / "code" / "__pycache__").mkdir()
    (folder / "code" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / "stray").write_bytes(b"x")
    (folder / "model.json").unlink()
    assert _files(artifacts.folder(digest)) == ["code/a.py", "model.json"]


def test_a_folder_is_no_file_and_says_so(artifacts, model):
    digest = artifacts.put_folder(model)
    with pytest.raises(Refused, match="is a folder, no file"):
        artifacts.read_bytes(digest)


def test_a_file_that_is_not_there_cannot_be_put(artifacts, tmp_path):
    with pytest.raises(Refused, match="nowhere does not exist"):
        artifacts.put_file(tmp_path / "nowhere")
    with pytest.raises(Refused, match="is no folder"):
        artifacts.put_folder(tmp_path / "nowhere")


def test_a_failing_write_leaves_nothing_behind(artifacts, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refused, match="disk is full") as error:
        artifacts.put_bytes(b"abc")
    assert "free some space" in error.value.hint
    assert _files(artifacts._root) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_refused_and_leaves_nothing_behind(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        artifacts = LocalArtifacts(small)
        kept = artifacts.put_bytes(b"abc")
        with pytest.raises(Refused, match="disk is full"):
            artifacts.put_bytes(os.urandom(1 << 20))
        (tmp_path / "large").write_bytes(os.urandom(1 << 20))
        with pytest.raises(Refused, match="disk is full"):
            artifacts.put_file(tmp_path / "large")
        assert len(_files(small)) == 1
        assert artifacts.read_bytes(kept) == b"abc"
    finally:
        subprocess.run(["umount", small], check=True)


def _put_as_nobody(folder: Path) -> str:
    os.setuid(65534)
    try:
        LocalArtifacts(folder).put_bytes(b"abc")
    except Refused as error:
        return error.message
    return "no error"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_folder_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "artifacts"
    folder.mkdir(mode=0o700)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert "permission denied" in pool.submit(_put_as_nobody, folder).result()


def _put_and_read(folder: Path) -> list[str]:
    artifacts = LocalArtifacts(folder / "artifacts")
    kept = [artifacts.put_bytes(bytes([number]) * 50_000) for number in range(20)]
    kept.append(artifacts.put_folder(folder / "model"))
    artifacts.folder(kept[-1])
    return [digest for digest in kept if artifacts.is_whole(digest)]


def test_several_processes_may_put_and_read_the_same_things_at_once(tmp_path, model):
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        found = list(pool.map(_put_and_read, [tmp_path] * 4))
    assert [len(kept) for kept in found] == [21] * 4
    assert found[0] == found[1] == found[2] == found[3]
    assert _files(tmp_path / "artifacts" / "temporary") == []


def test_a_place_without_hard_links_gets_copies(artifacts, model, monkeypatch):
    def refuse(_self, _target):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert _files(artifacts.folder(artifacts.put_folder(model))) == ["code/a.py", "model.json"]
