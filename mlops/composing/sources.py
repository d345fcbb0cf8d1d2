"""Sources: the files below conf/, listed and sorted into the settings and the resources; composing reads nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlops.core.addresses import NAME_LENGTH, is_name
from mlops.core.diagnostics import Diagnostic, Origin, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

NAMING = f"use lower-case letters, digits and single hyphens, beginning with a letter, at most {NAME_LENGTH} characters"
FOLDER = "conf"
ROOT = "config"
GROUPS = ("env", "target", "store", "executor")
OWN = ("allow", "policies")  # keys that only config.yaml itself can set
SUFFIX = ".yaml"


class Source(NamedTuple):
    """One YAML file: `conf/<group>/<name>.yaml`; files of conf/ itself have the empty group. The rest is its stamp."""

    group: str
    name: str
    modified: int = 0  # ns
    changed: int = 0  # ns; unlike `modified` no program can set it back
    size: int = 0
    inode: int = 0

    @property
    def file(self) -> str:
        """The path relative to the project."""
        return f"{FOLDER}/{self.option}{SUFFIX}"

    @property
    def option(self) -> str:
        """Hydra's name of the file."""
        return f"{self.group}/{self.name}" if self.group else self.name

    @property
    def address(self) -> str:
        """The resource's address, where the group is a kind."""
        return f"{self.group}.{self.name}"


def scan(root: Path, kinds: Collection[str], diagnostics: list[Diagnostic]) -> list[Source]:
    """Return every file below conf/, sorted; what is out of place goes to `diagnostics`."""
    folder = root / FOLDER
    if not (folder / f"{ROOT}{SUFFIX}").is_file():
        file = f"{FOLDER}/{ROOT}{SUFFIX}"
        diagnostics.append(Diagnostic("no-project", f"there is no {file}", origin=Origin(file), hint="`mlops init` writes one"))
        return []
    known = {*kinds, *GROUPS}
    found: list[Source] = []
    for entry in _entries(folder):
        if entry.is_dir():
            if entry.name in known:
                found.extend(_options(entry, entry.name in kinds, diagnostics))
            else:
                diagnostics.append(_unknown_folder(entry.name, known))
        elif _is_option(entry, FOLDER, diagnostics):
            found.append(_source("", entry))
    return sorted(found)


def _options(folder: os.DirEntry[str], is_kind: bool, diagnostics: list[Diagnostic]) -> Iterator[Source]:  # noqa: FBT001 - says which of two sorts
    place = f"{FOLDER}/{folder.name}"
    for entry in _entries(folder):
        if entry.is_dir():
            summary = f"{place}/{entry.name} is a folder: resources and options have no subfolders"
            diagnostics.append(
                Diagnostic("subfolder", summary, origin=Origin(f"{place}/{entry.name}"), hint=f"move its files to {place}/")
            )
        elif _is_option(entry, place, diagnostics):
            source = _source(folder.name, entry)
            if is_kind and not is_name(source.name):
                diagnostics.append(bad_name(source.name, Origin(source.file)))
            else:
                yield source


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith((".", "__"))]


def _is_option(entry: os.DirEntry[str], place: str, diagnostics: list[Diagnostic]) -> bool:
    if entry.name.endswith(".yml"):
        summary = f"{place}/{entry.name} is not read: names of files end in {SUFFIX}"
        hint = f"rename it to {entry.name.removesuffix('.yml')}{SUFFIX}"
        diagnostics.append(Diagnostic("file-name", summary, origin=Origin(f"{place}/{entry.name}"), hint=hint))
    return entry.name.endswith(SUFFIX)


def _source(group: str, entry: os.DirEntry[str]) -> Source:
    try:
        stat = entry.stat()
    except OSError:  # a dangling link: reading it says so
        return Source(group, entry.name.removesuffix(SUFFIX))
    return Source(group, entry.name.removesuffix(SUFFIX), stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


def _unknown_folder(name: str, known: Collection[str]) -> Diagnostic:
    hint = did_you_mean(name, known, "kinds and settings groups")
    return Diagnostic("unknown-kind", f"unknown kind '{name}'", origin=Origin(f"{FOLDER}/{name}"), hint=hint)


def bad_name(name: str, origin: Origin | None = None) -> Diagnostic:
    """Return the diagnostic of a name that no resource can have."""
    return Diagnostic("name", f"'{name}' cannot name a resource", origin=origin, hint=NAMING)
