"""The door to artifacts: content-addressed files and folders, where every step leaves what it made.

    files/ab/cdef…       the bytes, read-only, under their SHA-256
    manifests/ab/cdef…   one folder: canonical JSON of its sorted [relative path, digest, size]
    folders/abcdef…/     a folder laid out for its readers, made of hard links to `files`
    temporary/           files being written; a crash leaves them here, never under a final name

Any number of processes may read and write at once: a name appears by a rename, complete, and never changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops.core.digests import PREFIX, canonical
from mlops.core.errors import Refused, WorldError
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READ_ONLY = 0o444
_CHUNK = 1 << 20
_HEX = frozenset("0123456789abcdef")
_LENGTH = 64


class LocalArtifacts:
    """Artifacts in a folder of this machine, or in one that several machines mount."""

    def __init__(self, folder: Path) -> None:
        self._root = folder

    def put_bytes(self, data: bytes) -> str:
        """Keep `data`; return its digest."""
        return self._keep("files", data)

    def put_file(self, path: Path) -> str:
        """Keep a copy of the file; return the digest of its bytes.

        Raises:
            WorldError: the file cannot be read, or the disk is full.
        """
        with explaining(path), path.open("rb") as source, self._temporary() as (name, target):
            digest = _copy(source, target)
            self._publish(name, target, self._path("files", digest))
        return digest

    def put_folder(self, path: Path) -> str:
        """Keep every file below `path`, but no empty folders and no modes; return the digest of its manifest."""
        if not path.is_dir():
            message = f"{path} is no folder"
            raise Refused(message, "make the folder before it is kept")
        files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
        manifest = [[name, self.put_file(file), file.stat().st_size] for name, file in files]
        return self._keep("manifests", canonical(manifest))

    def put_kept(self, files: Mapping[str, str]) -> str:
        """Keep a folder of files that are kept already, {path in it: digest}; return the digest that `put_folder` would."""
        sizes = {name: self.file(digest).stat().st_size for name, digest in files.items()}
        return self._keep("manifests", canonical([[name, digest, sizes[name]] for name, digest in sorted(files.items())]))

    def read_bytes(self, digest: str) -> bytes:
        """Return the bytes; raise Refused where they are missing or were changed."""
        path = self._path("files", digest)
        with self._present(digest, path):
            data = path.read_bytes()
        if _digest(data) != digest:
            raise _changed(digest, path)
        return data

    def file(self, digest: str) -> Path:
        """Return the read-only file with these bytes, verified; raise Refused where it is missing or was changed."""
        path = self._path("files", digest)
        self._verify(digest, path)
        return path

    def folder(self, digest: str) -> Path:
        """Return a read-only folder as it was put, verified; raise Refused where a part is missing or was changed.

        Files that somebody else left in the folder, such as Python's caches, are removed.
        """
        manifest = self._manifest(digest)
        checkout = self._root / "folders" / digest.removeprefix(PREFIX)
        with explaining(checkout):
            checkout.mkdir(parents=True, exist_ok=True)
            for name, file in manifest.items():
                if not _is_intact(checkout / name, file):
                    self._lay_out(self.file(file), checkout / name)
            _remove_strangers(checkout, set(manifest))
        return checkout

    def has(self, digest: str) -> bool:
        """Tell whether the artifact is here: every file of it under its name, a folder's with the sizes of the manifest.

        That costs one look for each file, whatever its size. A name appears when its bytes are on the disk, so a crash leaves none
        that is cut short; what was damaged since is found when it is read, or by `is_whole`.
        """
        try:
            if self._path("files", digest).is_file():
                return True
            return all(self._size(file) == size for _, file, size in self._listed(digest))
        except (WorldError, OSError):
            return False

    def is_whole(self, digest: str) -> bool:
        """Tell whether the artifact is here and unchanged: its bytes are read and hashed."""
        try:
            if self._path("manifests", digest).exists():
                return all(self.is_whole(file) for file in self._manifest(digest).values())
            self.file(digest)
        except WorldError:
            return False
        return True

    def _keep(self, sort: str, data: bytes) -> str:
        digest = _digest(data)
        path = self._path(sort, digest)
        if not _is_intact(path, digest):
            with self._temporary() as (name, target):
                target.write(data)
                self._publish(name, target, path)
        return digest

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, IO[bytes]]]:
        folder = self._root / "temporary"
        with explaining(folder):
            try:
                file = tempfile.NamedTemporaryFile(dir=folder, delete=False)  # noqa: SIM115 - entered below
            except FileNotFoundError:  # the first artifact; to look each time costs as much as the write
                file = tempfile.NamedTemporaryFile(dir=_made(folder), delete=False)  # noqa: SIM115 - entered below
            with file as target:
                name = Path(target.name)
                try:
                    yield name, target.file
                finally:
                    name.unlink(missing_ok=True)

    def _publish(self, name: Path, target: IO[bytes], path: Path) -> None:
        """Make the written file durable and give it its final name; one that is there and whole stays as it is."""
        target.flush()
        if _is_intact(path, PREFIX + path.parent.name + path.name):
            return
        os.fchmod(target.fileno(), READ_ONLY)
        os.fsync(target.fileno())
        try:
            name.replace(path)
        except FileNotFoundError:
            name.replace(_made(path.parent) / path.name)
        _sync_folder(path.parent)

    def _path(self, sort: str, digest: str) -> Path:
        name = digest.removeprefix(PREFIX)
        if not digest.startswith(PREFIX) or len(name) != _LENGTH or not _HEX.issuperset(name):
            message = f"'{digest}' is no digest of an artifact"
            raise Refused(message, f"a digest is {PREFIX} and {_LENGTH} hexadecimal digits")
        return self._root / sort / name[:2] / name[2:]

    def _verify(self, digest: str, path: Path) -> None:
        with self._present(digest, path):
            found = _digest_of(path)
        if found != digest:
            raise _changed(digest, path)

    @contextmanager
    def _present(self, digest: str, path: Path) -> Iterator[None]:
        try:
            with explaining(path):
                yield
        except Refused as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            is_folder = self._path("manifests", digest).exists()
            message = f"artifact {digest} is {'a folder, no file' if is_folder else 'missing'}: {path} does not exist"
            hint = "ask for the folder" if is_folder else "`mlops apply --replace ADDRESS` makes what the address names anew"
            raise Refused(message, hint) from error

    def _manifest(self, digest: str) -> dict[str, str]:
        return {name: file for name, file, _ in self._listed(digest)}

    def _listed(self, digest: str) -> list[tuple[str, str, int]]:
        """Return the verified manifest of a folder: relative path, digest and size in bytes of each file."""
        path = self._path("manifests", digest)
        self._verify(digest, path)
        return json.loads(path.read_bytes())  # type: ignore[no-any-return]

    def _size(self, digest: str) -> int:
        return self._path("files", digest).stat().st_size

    def _lay_out(self, source: Path, place: Path) -> None:
        with tempfile.TemporaryDirectory(dir=_made(self._root / "temporary")) as folder:
            name = Path(folder, "file")
            try:
                name.hardlink_to(source)
            except OSError:  # another file system, or one without hard links
                shutil.copyfile(source, name)
                name.chmod(READ_ONLY)
            _made(place.parent)
            name.replace(place)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(data: bytes) -> str:
    return PREFIX + hashlib.sha256(data).hexdigest()


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    hashed = hashlib.sha256()
    while chunk := source.read(_CHUNK):
        hashed.update(chunk)
        target.write(chunk)
    return PREFIX + hashed.hexdigest()


def _is_intact(path: Path, digest: str) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and _digest_of(path) == digest
    except OSError:
        return False


def _changed(digest: str, path: Path) -> Refused:
    message = f"artifact {digest} was changed or cut short: the bytes of {path} have another digest"
    return Refused(message, f"delete {path}; `mlops apply --replace ADDRESS` makes what the address names anew")


def _remove_strangers(folder: Path, known: set[str]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):  # files before the folders that they are in
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            if not any(file.startswith(f"{name}/") for file in known):
                shutil.rmtree(path, ignore_errors=True)
        elif name not in known:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
