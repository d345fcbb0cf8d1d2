"""Where the model folders of a server lie: one that it was given, or a repository of NAME/VERSION/model folder.

Only names that stand in a path of the server as they are count, and only folders inside the repository, wherever a link may lead:
what a request names is looked up among those that were found, and never put together to a path.
"""

import re
from collections.abc import Callable
from pathlib import Path

from mlops.serving.errors import FolderError
from mlops.serving.folders import MANIFEST
from mlops.serving.names import NAME

# The model folders by the model's name and its version.
Found = dict[str, dict[str, Path]]
Layout = Callable[[], Found]


def one_model(folder: Path, name: str, version: str) -> Layout:
    """Return the layout of one model folder."""
    return lambda: {name: {version: folder}}


def repository(root: Path) -> Layout:
    """Return the layout of a repository, which is looked at anew each time; raise `FolderError` where it is none."""
    if not root.is_dir():
        msg = f"there is no model repository {root}"
        raise FolderError(msg)
    return lambda: _look(root.resolve())


def _look(root: Path) -> Found:
    found = {model.name: _versions(root, model) for model in _folders(root)}
    return {name: versions for name, versions in found.items() if versions}


def _versions(root: Path, model: Path) -> dict[str, Path]:
    return {each.name: each for each in _folders(model) if (each / MANIFEST).is_file() and each.resolve().is_relative_to(root)}


def _folders(place: Path) -> list[Path]:
    try:
        return [each for each in sorted(place.iterdir()) if NAME.fullmatch(each.name) and each.is_dir()]
    except OSError:  # gone since it was listed, or closed to us: nothing is found there
        return []


def fingerprint(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return what changes when a folder's files are changed: their names, sizes and times."""
    files = ((each, each.stat()) for each in folder.rglob("*") if each.is_file())
    return frozenset((str(each.relative_to(folder)), stat.st_size, stat.st_mtime_ns) for each, stat in files)


def by_age(version: str) -> list[tuple[int, str]]:
    """Return the key that sorts versions, the latest last: numbers inside them count as numbers, so 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", version) if part]
