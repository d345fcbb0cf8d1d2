"""The door `file`: what a dataset's source is now, as digests (or a server's tags), with rows and bytes for people.

Planning asks it for every dataset, often for thousands at once: hashes are kept in `.mlops/cache/files.json` by inode,
size and times, and files that are new to it are hashed in threads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.core.digests import PREFIX
from mlops.core.errors import Refused, Unavailable, WorldError
from mlops.core.worlds import Observation
from mlops.world import counting, places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.core.worlds import World
    from mlops.world.places import Place

SUFFIXES = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}

_CHUNK = 1 << 20
_THREADS = 4
_RACY = 2_000_000_000  # ns; a file this young may be written once more without a new time
_LAYOUT = 1


class Form(NamedTuple):
    """How the rows of a file are written: `csv`, `parquet`, `jsonl` or empty where nobody knows."""

    name: str
    delimiter: str = ""


class Seen(NamedTuple):
    """A file as it was found: `mark` is its digest or its server's tag; size and rows None where they are not known."""

    mark: str
    size: int | None = None
    rows: int | None = None


def form_of(name: str, arguments: Mapping[str, Any]) -> Form:
    """Return the form that the arguments tell, else the one that the end of the name does."""
    told = arguments.get("format") or SUFFIXES.get(os.path.splitext(name)[1].lower(), "")  # noqa: PTH122 - 10,000 in one plan
    if told != "csv":
        return Form(told)
    return Form(told, arguments.get("delimiter") or ("\t" if name.lower().endswith(".tsv") else ","))


def digest_of(data: bytes) -> str:
    """Return the digest by which `observe` knows a file with these bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def observe(arguments: Mapping[str, Any], world: World) -> Observation:
    """Answer one `file` request; see `observe_all`.

    Raises:
        WorldError: there is no such file, it cannot be read, or its server does not answer.
    """
    [found] = observe_all([arguments], world)
    if isinstance(found, WorldError):
        raise found
    return found


def observe_all(requests: Sequence[Mapping[str, Any]], world: World) -> list[Observation | WorldError]:
    """Answer `file` requests (`path`, and maybe `format` and `delimiter`) in order; an error stands in its answer's place.

    The value maps each file to `sha256:…`, or to the ETag or size and time that its server tells. The facts are
    `files`, and where they are known without fetching the file from a server `bytes` and `rows` (below the header).
    """
    cache = _Cache(world.root / ".mlops" / "cache" / "files.json")
    wanted = [_wanted(request, str(world.root)) for request in requests]
    every = {file: None for files in wanted if not isinstance(files, WorldError) for file in files}
    with ThreadPoolExecutor(_THREADS) as pool:
        seen: dict[_File, Seen | WorldError] = {}
        late = {}
        for file in every:
            found = cache.find(file)
            if found is not None:
                seen[file] = found
            elif _is_slow(file[0]):
                late[file] = pool.submit(_look, file)
            else:
                seen[file] = cache.keep(file, _look(file))
        for file, future in late.items():
            seen[file] = cache.keep(file, future.result())
    cache.save()
    return [files if isinstance(files, WorldError) else _answer(files, seen) for files in wanted]


_File = tuple["Place", Form]


def _is_slow(place: Place) -> bool:
    """Tell whether a thread is worth its while."""
    with suppress(OSError):  # gone since it was found: reading it will tell
        return place.filesystem is not None or os.path.getsize(place.path) >= _CHUNK  # noqa: PTH202 - 10,000 of them in one plan
    return False


def _wanted(arguments: Mapping[str, Any], root: str) -> list[_File] | WorldError:
    try:
        return [(place, form_of(place.name, arguments)) for place in places.find(arguments["path"], root)]
    except WorldError as error:
        return error


def _answer(files: list[_File], seen: Mapping[_File, Seen | WorldError]) -> Observation | WorldError:
    value, facts = {}, {"files": len(files), "bytes": 0, "rows": 0}
    for file in files:
        found = seen[file]
        if isinstance(found, WorldError):
            return found
        value[file[0].name] = found.mark
        for name, number in (("bytes", found.size), ("rows", found.rows)):
            if number is None:
                facts.pop(name, None)
            elif name in facts:
                facts[name] += number
    return Observation(value, facts)


def _look(file: _File) -> tuple[Seen, tuple[int, ...]] | WorldError:
    """Hash and count the file; return it with its stamp, which is empty where nothing tells that it was changed."""
    place, form = file
    try:
        if place.is_tagged:
            return Seen(places.tag(place)), ()
        before = _stamp(place)
        with places.failing(place.name):
            found = _hashed(place, form)
        if _stamp(place) != before:
            message = f"{place.name} changed while it was read"
            return Unavailable(message, "try again when it is written")
    except WorldError as error:
        return error
    return found, before


def _stamp(place: Place) -> tuple[int, ...]:
    if place.filesystem is not None:
        return ()
    found = places.look(place)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _hashed(place: Place, form: Form) -> Seen:
    counter = _counter(form)
    hashed, size = hashlib.sha256(), 0
    with places.opened(place) as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
            size += len(chunk)
            if counter is not None:
                counter.feed(chunk)
    rows = counter.rows() if counter is not None else None
    return Seen(PREFIX + hashed.hexdigest(), size, _parsed_rows(place, form) if rows is None else rows)


def _counter(form: Form) -> counting.Counter | None:
    if form.name == "csv":
        return counting.Records(form.delimiter.encode())
    return counting.Lines() if form.name == "jsonl" else None


def _parsed_rows(place: Place, form: Form) -> int | None:
    """Return the rows where the bytes alone did not tell."""
    if form.name not in ("csv", "parquet"):
        return None
    with places.opened(place) as file:
        if form.name == "csv":
            with io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as text:
                return counting.parsed(text, form.delimiter)
        import pyarrow.parquet

        try:
            return int(pyarrow.parquet.read_metadata(file).num_rows)
        except pyarrow.ArrowException as error:
            message = f"{places.shown(place.name)} is no Parquet file, or is damaged"
            raise Refused(message, "write it again, or set `format` to what it is") from error


class _Cache:
    """What files hashed to, by path, form and stamp. It saves time and nothing else: a broken one is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_new = False
        self._known: dict[str, list[Any]] = {}
        with suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(path.read_bytes())
            self._known = dict(kept["files"]) if kept["layout"] == _LAYOUT else {}

    def find(self, file: _File) -> Seen | WorldError | None:
        """Return what is known of the file as it is now; None where it must be looked at."""
        place, form = file
        if place.filesystem is not None:
            return None
        try:
            stamp = _stamp(place)
        except WorldError as error:
            return error
        kept = self._known.get(place.path)
        return Seen(*kept[2:]) if kept is not None and kept[0] == [*stamp] and kept[1] == [*form] else None

    def keep(self, file: _File, found: tuple[Seen, tuple[int, ...]] | WorldError) -> Seen | WorldError:
        """Remember what was found, unless the file is so young that a further change could have the same stamp."""
        if isinstance(found, WorldError):
            return found
        seen, stamp = found
        if stamp and max(stamp[2:]) + _RACY < time.time_ns():
            self._known[file[0].path] = [[*stamp], [*file[1]], *seen]
            self._is_new = True
        return seen

    def save(self) -> None:
        """Write what is new, without the files that are gone."""
        if not self._is_new:
            return
        files = {path: entry for path, entry in self._known.items() if os.path.exists(path)}  # noqa: PTH110 - 10,000 of them
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as target:
                json.dump({"layout": _LAYOUT, "files": files}, target)
            Path(target.name).replace(self._path)
