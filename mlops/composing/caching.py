"""Caching: a composition is kept with the stamps and hashes of what was read, so that an unchanged project is not composed again.

One file for each set of overrides, below `.mlops/cache`. It is believed only when its own hash is right and it was written by the
same code; anything else is as if there were none. A file of conf/ is unchanged when its stamp is; a stamp that is not
older than the moment of hashing proves nothing (the file may have changed again within one tick of the clock), as in git,
and then its content is hashed again. The moment is taken from a file's own time stamp: the same clock, on the same disk.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlops.composing.origins import Written  # noqa: TC001 - msgspec reads it at run time
from mlops.composing.sources import Source  # noqa: TC001 - msgspec reads it at run time
from mlops.core.addresses import Address, Ref
from mlops.core.diagnostics import Diagnostic  # noqa: TC001 - msgspec reads it at run time
from mlops.core.ops import Template
from mlops.core.resources import PLAIN, Lifecycle, Resource
from mlops.core.worlds import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.core.resources import Kind

FOLDER = ".mlops/cache"
SUFFIX = ".composed"
MOST = 8  # compositions that are kept
HASH = 32  # bytes


class Step(NamedTuple):
    """A `Template` as it is kept."""

    name: str
    verb: str
    op: dict[str, Any]
    outputs: tuple[str, ...]
    reads: tuple[str, ...]
    digest: str
    here: bool


class Entry(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One compiled resource, and on what the result depends: its own key and the keys of all that was asked for.

    Its warnings have no origin: where a value is written may change while the resource does not.
    """

    address: str
    key: bytes
    asked: dict[str, bytes | None]
    body: dict[str, Any]
    digest: str
    outputs: tuple[str, ...]
    steps: tuple[Step, ...]
    inputs: dict[str, tuple[str, dict[str, Any], str]]
    gates: tuple[str, ...]
    refs: tuple[tuple[str, str], ...]
    lifecycle: dict[str, Any] | None
    warnings: tuple[Diagnostic, ...]

    def resource(self) -> Resource:
        """Return the resource."""
        return Resource(
            Address(self.address),
            self.body,
            self.digest,
            self.outputs,
            tuple(Template(*step) for step in self.steps),
            {name: Request(*request) for name, request in self.inputs.items()},
            tuple(map(Ref, self.gates)),
            tuple((path, Ref(ref)) for path, ref in self.refs),
            PLAIN if self.lifecycle is None else Lifecycle.model_validate(self.lifecycle),
        )


def entry(resource: Resource, key: bytes, asked: dict[str, bytes | None], warnings: Sequence[Diagnostic]) -> Entry:
    """Return the resource as it is kept."""
    return Entry(
        str(resource.address),
        key,
        asked,
        dict(resource.body),
        resource.digest,
        resource.outputs,
        tuple(Step(it.name, it.verb, dict(it.op), it.outputs, it.reads, it.digest, it.here) for it in resource.steps),
        {name: (it.door, dict(it.arguments), it.field) for name, it in resource.inputs.items()},
        tuple(map(str, resource.gates)),
        tuple((path, str(ref)) for path, ref in resource.refs),
        None if resource.lifecycle is PLAIN else resource.lifecycle.model_dump(),
        tuple(warnings),
    )


class Kept(msgspec.Struct, array_like=True, gc=False):
    """A composition as it is kept.

    moment      the file system's time just before the files were hashed
    sources     the files of conf/ with their stamps; `digests` and `needs` beside them
    needs       what each file needs: CLOSED, OPEN or MERGED of `reading`
    variables   what oc.env may read, hashed
    places      parts, written, through and renamed of `Places`
    base        digest of what every entry depends on: the code and what config.yaml allows
    """

    moment: int
    sources: list[Source]
    digests: list[bytes]
    needs: bytes
    variables: dict[str, bytes]
    base: bytes
    settings: dict[str, Any]
    places: tuple[tuple[tuple[str, str], ...], tuple[Written, ...], frozenset[str], dict[str, str]]
    entries: list[Entry]


class Cache:
    """The kept compositions of one project."""

    def __init__(self, root: Path, overrides: Sequence[str], kinds: Mapping[str, Kind]) -> None:
        self._folder = root / FOLDER
        self.signature = signature(kinds)
        name = hashlib.sha256(msgspec.msgpack.encode(list(overrides))).hexdigest()[:32]
        self._file = self._folder / f"{name}{SUFFIX}"

    def load(self) -> Kept | None:
        """Return what was kept for these overrides, or None."""
        return self._load(self._file)

    def nearest(self) -> Kept | None:
        """Return what was kept last for any overrides: most of its entries fit as well."""
        try:
            files = sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
        except OSError:
            return None
        return self._load(files[-1]) if files else None

    def moment(self) -> int:
        """Return the file system's time; 0 (everything is hashed again next time) where it cannot be had."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return 0

    def save(self, kept: Kept) -> None:
        """Keep the composition; nothing happens where that is impossible: it will be composed again."""
        try:
            content = msgspec.msgpack.encode(kept)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".tmp", delete=False) as file:
                written = Path(file.name)
                try:
                    file.write(self.signature + hashlib.sha256(content).digest() + content)
                    file.flush()
                    written.replace(self._file)
                finally:
                    written.unlink(missing_ok=True)
            for old in sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)[:-MOST]:
                old.unlink(missing_ok=True)
        except (OSError, TypeError, ValueError, OverflowError):  # a full disk; a whole number that msgpack cannot hold
            return

    def _load(self, file: Path) -> Kept | None:
        try:
            content = memoryview(file.read_bytes())
        except OSError:
            return None
        seal, body = content[HASH : 2 * HASH], content[2 * HASH :]
        if content[:HASH] != self.signature or hashlib.sha256(body).digest() != seal:
            return None
        try:
            return msgspec.msgpack.decode(body, type=Kept)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def hash_variable(name: str) -> bytes:
    """Return a hash of the variable's value, so that no value is kept."""
    value = os.environ.get(name)
    return b"" if value is None else hashlib.sha256(os.fsencode(value)).digest()


def signature(kinds: Mapping[str, Kind]) -> bytes:
    """Return the hash of the code that composes: Python, the packages, all of mlops, and the modules of the kinds."""
    packages = {"mlops", "hydra", "omegaconf", "pydantic", "pydantic_core", "yaml", "msgspec"}
    own = {"mlops", *(type(kind).__module__.partition(".")[0] for kind in kinds.values())}
    stamps = [(name, _stamps(name, deep=name in own)) for name in sorted(packages | own)]
    names = [(name, type(kind).__module__, type(kind).__qualname__, kind.revision) for name, kind in kinds.items()]
    return hashlib.sha256(repr((sys.version, stamps, names)).encode()).digest()


def _stamps(package: str, *, deep: bool) -> list[tuple[str, int, int]]:
    module = sys.modules.get(package)
    found = importlib.util.find_spec(package) if module is None else None
    origin = found.origin if found is not None else getattr(module, "__file__", None)
    files = [Path(origin)] if origin else []
    for folder in getattr(module, "__path__", ()) if deep else ():
        files += Path(folder).rglob("*.py")
    return [(str(file), (stat := file.stat()).st_mtime_ns, stat.st_size) for file in sorted(files)]


def is_settled(kept: Kept, source: Source) -> bool:
    """Tell whether the stamp is older than the hash that was made of the file, so that an equal stamp means equal content."""
    return source.modified < kept.moment and source.changed < kept.moment


def holds(kept: Kept, found: list[Source], root: Path) -> bool:
    """Tell whether the files and the variables are still those that the composition was made of.

    Files whose stamps prove nothing are hashed again.
    """
    if any(hash_variable(name) != value for name, value in kept.variables.items()):
        return False
    if [source.option for source in kept.sources] != [source.option for source in found]:
        return False
    return all(hash_file(root / found[index].file) == kept.digests[index] for index in _doubtful(kept, found))


def is_clean(kept: Kept, found: list[Source]) -> bool:
    """Tell whether all stamps are as they were, and prove it."""
    return len(kept.sources) == len(found) and not _doubtful(kept, found)


def _doubtful(kept: Kept, found: list[Source]) -> list[int]:
    moment = kept.moment
    return [
        index
        for index, (old, new) in enumerate(zip(kept.sources, found, strict=False))
        if old != new or new.modified >= moment or new.changed >= moment
    ]


def hash_file(path: Path) -> bytes:
    """Return the hash of the file's bytes; empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
