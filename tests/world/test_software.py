"""Wheels for images: which fit a platform, what is kept, and what is said where none can be had."""

import hashlib
import zipfile

import packaging.tags
import pytest

from mlops.core.errors import Refused, Unavailable
from mlops.core.images import Locked, Platform
from mlops.world import software
from mlops.world.software import PipSoftware

DEBIAN = Platform("3.11", "x86_64", "glibc", "2.36")


def wheel(folder, name="tiny", version="1.0"):
    """Write a wheel as the specification of binary distributions has it."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "x = 1\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Give a folder that is all that pip knows; no network is asked."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_names_of_a_platform_are_those_that_packaging_knows(monkeypatch):
    monkeypatch.setattr(packaging.tags.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(packaging._manylinux, "_get_glibc_version", lambda: (2, 36))
    monkeypatch.setattr(packaging._manylinux, "_have_compatible_abi", lambda *_: True)
    ours = [tag for tag in software._tags(DEBIAN) if "linux_2_" in tag or tag.startswith("manylinux2")]
    theirs = [tag for tag in packaging._manylinux.platform_tags(["x86_64"]) if "manylinux1_" not in tag]
    assert ours == theirs


def test_musl_has_names_of_its_own():
    alpine = Platform("3.12", "aarch64", "musl", "1.2")
    assert list(software._tags(alpine)) == ["musllinux_1_2_aarch64", "musllinux_1_1_aarch64", "linux_aarch64"]


def test_what_is_resolved_is_fetched_once_and_then_needs_no_index(index, tmp_path):
    made = wheel(index)
    door = PipSoftware(tmp_path / "cache")
    locked = door.resolve(["tiny"], {"tiny": "1.0"}, DEBIAN)
    assert locked == [Locked("tiny", "1.0", hashlib.sha256(made.read_bytes()).hexdigest())]
    [kept] = door.fetch(locked, DEBIAN)
    made.unlink()
    assert door.fetch(locked, DEBIAN) == [kept]
    kept.write_bytes(b"changed")
    with pytest.raises(Refused, match="no wheel fits the base"):
        door.fetch(locked, DEBIAN)


def test_a_wheel_with_other_bytes_than_were_locked_is_refused(index, tmp_path):
    wheel(index)
    with pytest.raises(Refused, match="pip cannot resolve what the model needs"):
        PipSoftware(tmp_path / "cache").fetch([Locked("tiny", "1.0", "0" * 64)], DEBIAN)


def test_a_version_without_a_wheel_for_the_base_is_told_with_the_base(index, tmp_path):
    with pytest.raises(
        Refused, match=r"no wheel fits the base, which has Python 3\.11 on x86_64 with glibc 2\.36: .*nothing==1\.0"
    ):
        PipSoftware(tmp_path / "cache").resolve(["nothing"], {"nothing": "1.0"}, DEBIAN)


def test_an_index_that_does_not_answer_may_come_back(tmp_path, monkeypatch):
    for name, value in (("INDEX_URL", "http://127.0.0.1:9/simple"), ("RETRIES", "1"), ("FIND_LINKS", ""), ("NO_INDEX", "0")):
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(Unavailable, match="the package index does not answer"):
        PipSoftware(tmp_path / "cache").resolve(["numpy"], {"numpy": "2.0"}, DEBIAN)


def test_the_server_that_an_image_gets_is_the_leaf_and_nothing_else(tmp_path):
    PipSoftware(tmp_path / "cache").server(tmp_path / "server")
    tops = {path.relative_to(tmp_path / "server").parts[:2] for path in (tmp_path / "server").rglob("*.py")}
    assert tops == {("mlops", "__init__.py"), ("mlops", "serving")}
