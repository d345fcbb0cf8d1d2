"""Diagnostics: what is wrong, where, and what to do; collected so that a user sees all problems at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(StrEnum):
    """An error stops the command; a warning is printed and the command goes on."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a place in a file (1-based), or the override on the command line that set it."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    override: str | None = None

    def __str__(self) -> str:
        if self.override is not None:
            return f"command line: {self.override}"
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. `code` is stable and machine-readable (`unknown-field`); `summary` is one sentence; `hint` says what to do."""

    code: str
    summary: str
    address: str | None = None
    path: str | None = None
    origin: Origin | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was most likely meant to be, or None."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str], label: str = "known") -> str:
    """Return the hint for an unknown word: the nearest known one, else the list of them."""
    choices = sorted(known)
    close = nearest(word, choices)
    if close is not None:
        return f"did you mean '{close}'?"
    return f"{label}: {', '.join(choices)}" if choices else "there are none"
