"""Arguments: the words after a command, told apart by their form, and what a shell may complete them to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from mlops.core.addresses import Address
    from mlops.project import Project

_SETTINGS = ("env", "target", "store", "executor")  # groups whose options are chosen by `group=option`


@dataclass(frozen=True)
class Arguments:
    """Addresses, overrides, and at most one file of a plan."""

    addresses: tuple[Address, ...] = ()
    overrides: tuple[str, ...] = ()
    plan: Path | None = None

    @classmethod
    def sort(cls, words: Sequence[str]) -> Arguments:
        """Tell words apart by their form: `a=b`, `+a=b`, `~a` are overrides, `….json` is a plan, others are addresses."""
        overrides = tuple(word for word in words if "=" in word or word.startswith(("+", "~")))
        files = [word for word in words if word.endswith(".json") and word not in overrides]
        addresses = tuple(address(word) for word in words if word not in overrides and word not in files)
        if len(files) > 1:
            message = f"only one plan can be applied at a time, not {' and '.join(files)}"
            raise click.UsageError(message)
        if files and (overrides or addresses):
            message = f"{files[0]} is a finished plan: it takes no addresses and no overrides; give them to `mlops plan --out`"
            raise click.UsageError(message)
        return cls(addresses, overrides, Path(files[0]) if files else None)

    @classmethod
    def without_plan(cls, words: Sequence[str]) -> Arguments:
        """Sort the words of a command that takes no plan."""
        found = cls.sort(words)
        if found.plan is not None:
            message = f"{found.plan} is a finished plan: only `mlops apply` and `mlops diff` take one"
            raise click.UsageError(message)
        return found

    @classmethod
    def about_one(cls, words: Sequence[str]) -> tuple[Address | None, tuple[str, ...]]:
        """Return the address, or None, and the overrides of a command that is about one resource or all."""
        found = cls.without_plan(words)
        if len(found.addresses) > 1:
            message = f"name one address, not {' and '.join(found.addresses)}"
            raise click.UsageError(message)
        return (found.addresses[0] if found.addresses else None), found.overrides


def address(word: str) -> Address:
    """Return the address written as `word`; raise UsageError where it is none."""
    from mlops.core.addresses import Address

    try:
        return Address.parse(word)
    except ValueError as error:
        message = f"{error}; an override has a '=', a plan ends in .json"
        raise click.UsageError(message) from None


def moments(text: str) -> tuple[datetime, datetime]:
    """Return from when to when a day (`2026-11-24`) or a moment (`2026-11-24T10:30`, with or without a zone) is; UTC.

    Raises:
        UsageError: it is neither.
    """
    from datetime import UTC, datetime, timedelta

    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        message = f"'{text}' is no date: write 2026-11-24, or 2026-11-24T10:30 for a moment"
        raise click.UsageError(message) from None
    length = timedelta(days=1) if len(text) == len("2026-11-24") else timedelta(milliseconds=1)
    start = start if start.tzinfo is not None else start.replace(tzinfo=UTC)
    return start, start + length


def known(wanted: Sequence[Address], project: Project) -> list[Address]:
    """Return the addresses when each is desired or recorded.

    Raises:
        PlanError: one is neither; says which was probably meant.
    """
    from mlops.core.diagnostics import did_you_mean
    from mlops.core.errors import PlanError

    if not wanted:
        return []
    there = {*project.composition.resources, *project.state().records}
    for one in wanted:
        if one not in there:
            message = f"{one} is neither in the configuration nor in the state"
            raise PlanError(message, did_you_mean(one, there))
    return list(wanted)


def suggest(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return what a shell may complete `incomplete` to: addresses, the keys of their files, options of settings groups."""
    from mlops.cli.sessions import Session
    from mlops.core.errors import MlopsError

    try:
        conf = context.ensure_object(Session).root / "conf"
    except MlopsError:
        return []
    return sorted(word for word in _words(conf, incomplete) if word.startswith(incomplete))


def _words(conf: Path, incomplete: str) -> Iterator[str]:
    for file in conf.glob("*/*.yaml"):
        group = file.parent.name
        if group in _SETTINGS:
            yield f"{group}={file.stem}"
            continue
        name = f"{group}.{file.stem}"
        yield name
        if incomplete.startswith(f"{name}."):
            yield from (f"{name}.{path}=" for path in _paths(file))


def _paths(file: Path) -> Iterator[str]:
    """Yield the dotted paths of all leaves that the file has."""
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    stack = [("", found)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}.{name}" if path else str(name), item) for name, item in value.items()]
        elif path:
            yield path
