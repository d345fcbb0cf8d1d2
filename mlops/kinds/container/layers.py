"""Layers: folders as tar files that come out equal wherever and whenever they are written, and Python compiled ahead of its start.

A layer's diff id is the SHA-256 of its tar, which is also the digest under which it is kept.
"""

from __future__ import annotations

import tarfile
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from marshal import dumps
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EPOCH = 0  # of every file and of the image: the time of making would make each image another one
_FOLDER, _FILE, _PROGRAM = 0o755, 0o644, 0o755
_PLAIN = 2  # the format of marshal without references: those depend on what else the compiling process holds
_UNCHECKED = 0b01  # PEP 552: valid whatever the source's time says, which is no time here
_NEVER_IMPORTED = frozenset({"tests", "testing"})
_WORDS = 4  # bytes of a number in the head of a compiled file


def write(target: Path, folders: Mapping[str, Path]) -> None:
    """Write the tar of the files below each folder, at its path in the image: sorted, owned by root, without times."""
    files = {
        f"{place}/{name.relative_to(folder).as_posix()}": name for place, folder in folders.items() for name in _files(folder)
    }
    above = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(above | set(files)):
            entry = tarfile.TarInfo(name)
            entry.mtime = EPOCH
            if name in above:
                entry.type, entry.mode = tarfile.DIRTYPE, _FOLDER
                tar.addfile(entry)
                continue
            found = files[name].stat()
            entry.size, entry.mode = found.st_size, _PROGRAM if found.st_mode & 0o100 else _FILE
            with files[name].open("rb") as file:
                tar.addfile(entry, file)


def compile_below(folder: Path, place: str) -> None:
    """Compile every module below the folder, which will stand at `place` in the image, for the Python that we run in.

    Replicas with a disk that cannot be written would else compile all that they import at each start.
    """
    for path in _files(folder):
        if path.suffix == ".py" and _NEVER_IMPORTED.isdisjoint(path.relative_to(folder).parts):
            source = path.read_bytes()
            try:
                code = compile(source, f"/{place}/{path.relative_to(folder).as_posix()}", "exec", dont_inherit=True, optimize=0)
            except (SyntaxError, ValueError):
                continue  # a template, or for another Python: whoever imports it is told then
            compiled = Path(cache_from_source(str(path)))
            compiled.parent.mkdir(exist_ok=True)
            flags = _UNCHECKED.to_bytes(_WORDS, "little")
            compiled.write_bytes(MAGIC_NUMBER + flags + source_hash(source) + dumps(code, _PLAIN))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
