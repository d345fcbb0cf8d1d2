"""Where users keep their data: a path of the project, a glob, or an fsspec URL; the only importer of fsspec.

`find` says which files are meant, `read` fetches one, `tag` asks a server for its mark of one version of a file.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.diagnostics import nearest
from mlops.core.errors import MlopsError, Refused, Unavailable
from mlops.world.failures import explained, explaining

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_URL = re.compile(r"[a-z][a-z0-9+.]*://|[a-z0-9]+::")
_MAGIC = re.compile(r"[*?\[]")
_PASSWORD = re.compile(r"://[^/@]*@")
_HASHED = ("file", "local", "memory")  # read as fast as asked about
_TAGS = ("ETag", "etag", "content_md5", "md5", "Content-MD5", "Digest")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified")


@dataclass(frozen=True, slots=True)
class Place:
    """One file. `name` is how the user and keys call it; `path` is where this machine finds it."""

    name: str
    path: str
    filesystem: Any = None  # None: a plain local file

    @property
    def is_tagged(self) -> bool:
        """Tell whether one version of the file is known by its server's tag, not by its digest."""
        return self.filesystem is not None and not set(_protocols(self.filesystem)) & set(_HASHED)


def find(path: str, root: str) -> list[Place]:
    """Return the files that `path` means, sorted by name.

    Raises:
        Refused: there is none, or one is no regular file; the hint names the nearest that is.
        Unavailable: a server does not answer.
    """
    if _URL.match(path):
        return _find_url(path)
    if _MAGIC.search(path) and not os.path.lexists(os.path.join(root, path)):  # noqa: PTH118 - 10,000 of these in one plan
        return _find_glob(path, root)
    return [Place(path, os.path.join(root, path))]  # noqa: PTH118 - the same


def look(place: Place) -> os.stat_result:
    """Return the size and times of a local file; raise Refused where there is none."""
    try:
        found = os.stat(place.path)  # noqa: PTH116 - 10,000 of these in one plan
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{place.name} does not exist"
        raise Refused(message, _neighbour(place)) from error
    except OSError as error:
        raise explained(error, place.name) from error
    except ValueError as error:
        message = f"{place.name!r} is no path: {error}"
        raise Refused(message, "check the path") from error
    if stat.S_ISDIR(found.st_mode):
        message = f"{place.name} is a folder"
        raise Refused(message, f"name the files in it, for example {place.name.rstrip('/')}/*.csv")
    if not stat.S_ISREG(found.st_mode):
        message = f"{place.name} is no regular file"
        raise Refused(message, "name a file that can be read twice")
    return found


def opened(place: Place) -> AbstractContextManager[Any]:
    """Return the file, open for reading bytes; errors of opening and reading are left to `failing`."""
    if place.filesystem is None:
        look(place)
        return open(place.path, "rb")  # noqa: PTH123 - a Path has no more to say
    return place.filesystem.open(place.path, "rb")  # type: ignore[no-any-return] # fsspec is untyped


def read(place: Place) -> bytes:
    """Return all bytes of the file."""
    with failing(place.name), opened(place) as file:
        return bytes(file.read())


def tag(place: Place) -> str:
    """Return the server's tag of the file, or its size and time; raise Refused where the server gives neither."""
    with failing(place.name):
        place.filesystem.invalidate_cache()
        info = place.filesystem.info(place.path)
    found = next((str(info[name]) for name in _TAGS if info.get(name)), None)
    if found is not None:
        return f"tag:{found}"
    time = next((str(info[name]) for name in _TIMES if info.get(name)), None)
    if time is None or info.get("size") is None:
        message = f"the server of {shown(place.name)} tells neither an ETag nor size and time: a change would not be seen"
        raise Refused(message, "copy the file into the project, or serve it by a server that tells one")
    return f"size:{info['size']} time:{time}"


def shown(name: str) -> str:
    """Return `name` for messages: credentials in a URL are left out."""
    return _PASSWORD.sub("://***@", name)


class failing:  # noqa: N801 - reads as a clause: `with failing(name):`
    """Turns what fsspec and its file systems raise into Refused or Unavailable about the file `name`."""

    def __init__(self, name: str) -> None:
        self._name = shown(name)

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _sort: object, error: BaseException | None, _trace: object) -> None:
        """Raise the WorldError that stands for `error`."""
        if isinstance(error, Exception) and not isinstance(error, MlopsError):
            raise _translated(error, self._name) from error


def _translated(error: Exception, name: str) -> MlopsError:  # noqa: PLR0911 - one line per sort of failure
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        return _translated(error.__cause__, name)  # fsspec's HTTP says so of whatever went wrong
    if isinstance(error, FileNotFoundError) or getattr(error, "status", 0) in (404, 410):
        return Refused(f"{name} does not exist", "check the path")
    if isinstance(error, ImportError):
        return Refused(f"{name} cannot be read: {error}", "install that package into the environment of mlops")
    if isinstance(error, OSError) and error.errno is not None and not hasattr(error, "host"):
        return explained(error, name)
    if isinstance(error, ValueError):
        return Refused(f"{name} cannot be read: {shown(str(error))}", "check the URL")
    if getattr(error, "status", 0) in (401, 403):
        return Refused(f"{name} may not be read: the server answered {error.status}", "check the credentials")  # type: ignore[attr-defined]
    return Unavailable(f"{name} cannot be reached: {_reason(error)}", "try again, or check the URL")


def _reason(error: Exception) -> str:
    """Return why a server does not answer; the HTTP library keeps the system's own error inside its own."""
    inner = getattr(error, "os_error", None)
    if isinstance(inner, OSError) and inner.errno is not None:
        return os.strerror(inner.errno) if inner.errno > 0 else str(inner.strerror)
    return shown(str(error)) or type(error).__name__


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _find_url(url: str) -> list[Place]:
    import fsspec

    with failing(url):
        filesystem, path = fsspec.core.url_to_fs(url)
        magic = re.compile(r"\*") if url.startswith("http") else _MAGIC  # a query starts with a question mark
        if not magic.search(path):
            return [Place(url, path, filesystem)]
        found = sorted(filesystem.glob(path))
    if not found:
        message = f"no file matches {shown(url)}"
        raise Refused(message, "check the pattern")
    return [Place(filesystem.unstrip_protocol(path), path, filesystem) for path in found]


def _find_glob(pattern: str, root: str) -> list[Place]:
    with explaining(pattern):
        names = sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 - names, not paths
    places = [Place(name, os.path.join(root, name)) for name in names]  # noqa: PTH118 - see `find`
    files = [place for place in places if not os.path.isdir(place.path)]  # noqa: PTH112 - see `find`
    if not files:
        message = f"no file matches {pattern}"
        raise Refused(message, _neighbour(Place(pattern, os.path.join(root, pattern))))  # noqa: PTH118 - see `find`
    return files


def _neighbour(place: Place) -> str:
    """Return the hint for a missing file: the nearest name beside it, at the first part of the path that is not there."""
    parts = place.name.split("/")
    base = place.path.removesuffix(place.name)
    for index, part in enumerate(parts):
        here = (base + "/".join(parts[:index])).rstrip("/")
        if os.path.isdir(f"{here}/{part}"):  # noqa: PTH112 - see `find`
            continue
        if os.path.isfile(f"{here}/{part}"):  # noqa: PTH113 - see `find`
            return f"{'/'.join(parts[: index + 1])} is a file and no folder"
        known = sorted(_names(here))
        close = nearest(part, known)
        if close is not None:
            return f"did you mean '{'/'.join([*parts[:index], close, *parts[index + 1 :]])}'?"
        folder = "/".join(parts[:index]) or "the project's folder"
        return f"{folder} has: {', '.join(known[:10])}" if known else f"{folder} is empty"
    return "check the path"


def _names(folder: str) -> Iterator[str]:
    try:
        yield from (name for name in os.listdir(folder or "/") if not name.startswith("."))  # noqa: PTH208 - names are all it needs
    except OSError:
        return
