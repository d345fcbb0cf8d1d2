"""Scaffolds: the small project that `mlops init` writes; its files are in `mlops/templates/project`."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from mlops.core.addresses import is_name
from mlops.core.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

_PROJECT = "PROJECT"  # stands in the templates for the project's name
_HIDDEN = {"gitignore": ".gitignore"}  # packaging leaves names with a dot out


def write(folder: Path) -> list[Path]:
    """Write the project into `folder`; return the paths of its files. Nothing is overwritten.

    Raises:
        PlanError: a file is there already, or the folder cannot be written to.
    """
    name = folder.absolute().name.lower().replace("_", "-")
    wanted = {
        folder / path: text.replace(_PROJECT, name if is_name(name) else "project")
        for path, text in _templates(files("mlops") / "templates" / "project")
    }
    there = [str(path) for path in wanted if path.exists()]
    if there:
        message = f"there is something in {folder} already: {', '.join(there)}"
        raise PlanError(message, "name a new folder: mlops init FOLDER")
    try:
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{error.filename} cannot be written: {error.strerror}"
        raise PlanError(message, "name a folder that may be written to") from None
    return list(wanted)


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (relative path, text) of every file below `folder`."""
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _templates(item, f"{path}{item.name}/")
        else:
            yield f"{path}{_HIDDEN.get(item.name, item.name)}", item.read_text(encoding="utf-8")
