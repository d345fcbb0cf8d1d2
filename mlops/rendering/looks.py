"""Looks: how wide text may be and whether it has colours; columns are aligned by what a terminal shows."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "  "
_CODES = {
    "good": "32",
    "change": "33",
    "replace": "35",
    "bad": "31",
    "reuse": "36",
    "dim": "2",
    "strong": "1",
}
_control = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_painted = re.compile(r"\x1b\[\d+m")


@dataclass(frozen=True, slots=True)
class Look:
    """The reader's terminal: its width in columns and whether it shows colours."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """Return `text` in one of the styles good, change, replace, bad, reuse, dim, strong."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colour and text else text


def clean(text: str) -> str:
    """Return `text` without control characters, which could move a terminal's cursor; line ends and tabs stay."""
    return _control.sub("", text)


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes; paint takes none."""
    text = _painted.sub("", text)
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def pad(text: str, width: int) -> str:
    """Fill `text` with blanks up to `width` columns."""
    return text + " " * (width - cells(text))


def shorten(text: str, width: int) -> str:
    """Return `text`, its end replaced by an ellipsis where it takes more than `width` columns."""
    if cells(text) <= width:
        return text
    kept = text
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of every column."""
    count = max((len(row) for row in rows), default=0)
    return [max((cells(row[column]) for row in rows if column < len(row)), default=0) for column in range(count)]


def table(rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Return one line for each row, its columns aligned to the left, without blanks at the end."""
    sizes = widths(rows)
    return [
        (indent + GAP.join(pad(cell, size) for cell, size in zip(row, sizes, strict=False))).rstrip() if any(row) else ""
        for row in rows
    ]
