"""Counts the rows of a file while its bytes pass by on their way into the hash; exact, and without parsing them."""

from __future__ import annotations

import csv
from typing import IO, Protocol

BOM = b"\xef\xbb\xbf"


class Counter(Protocol):
    """Takes a file in pieces and tells how many rows it had."""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        ...

    def rows(self) -> int | None:
        """Return the rows after the last piece; None where only a parser can tell."""
        ...


class Lines:
    """JSON lines: a row is a line that is not blank."""

    def __init__(self) -> None:
        self._count = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._count += sum(1 for line in lines if line.strip())

    def rows(self) -> int:
        """Return the lines that were not blank."""
        return self._count + bool(self._rest.strip())


class Records:
    """CSV (RFC 4180): a row is a line that is not empty, below the header; line ends inside quotes end no line.

    Outside quotes is every second part between quote characters, and an escaped quote is two of them: so parity tells
    all, as long as quotes stand only around whole fields. Where one does not (`5" pipe`), `rows` is None.
    """

    def __init__(self, delimiter: bytes = b",") -> None:
        self._may_open = {delimiter, b"\n", b'"', b""}  # what stands before a quote that opens a field or is escaped
        self._count = 0
        self._is_blank = True  # nothing stands in the current line yet
        self._is_quoted = False
        self._is_regular = True
        self._last = b""
        self._held = b""  # a carriage return whose line feed may come with the next piece

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        data = self._held + chunk
        if not self._last:
            data, self._last = data.removeprefix(BOM), b"\n"
        self._held = b"\r" if data.endswith(b"\r") else b""
        self._take(data.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n"))

    def rows(self) -> int | None:
        """Return the rows below the header; None where quotes stand inside fields."""
        if self._held:
            self._held = b""
            self._take(b"\n")
        return max(self._count + (not self._is_blank) - 1, 0) if self._is_regular else None

    def _take(self, data: bytes) -> None:
        if not data:
            return
        *ended, rest = self._unquoted(data).split(b"\n")
        self._last = data[-1:]
        if ended:
            self._count += sum(map(bool, ended)) + (not ended[0] and not self._is_blank)
            self._is_blank = not rest
        elif rest:
            self._is_blank = False

    def _unquoted(self, data: bytes) -> bytes:
        """Return `data` with a mere quote character in the place of everything quoted."""
        before = b"" if self._is_quoted else self._last
        parts = data.split(b'"')
        outside = parts[self._is_quoted :: 2]
        self._is_quoted ^= len(parts) % 2 == 0
        opened = outside if self._is_quoted else outside[:-1]  # the parts that a quote follows
        if opened:
            self._is_regular &= {part[-1:] for part in (before + opened[0], *opened[1:])} <= self._may_open
        return b'"'.join(outside) + (b'"' if self._is_quoted and opened else b"")


def parsed(file: IO[str], delimiter: str) -> int | None:
    """Count the rows of a CSV text with Python's own parser; None where it gives up on a field of more than 128 KiB."""
    try:
        return max(sum(1 for row in csv.reader(file, delimiter=delimiter) if row) - 1, 0)
    except csv.Error:
        return None
