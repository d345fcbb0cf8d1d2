"""Streams: where JSON lines go, standard output or a file, beside what people read."""

from __future__ import annotations

import os
import re
from typing import TextIO

import click

_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")


class FileStream:
    """Lines to a file or a descriptor. What cannot be written ends the stream, not the command: `failure` then says why."""

    def __init__(self, path: str) -> None:
        """Open `path` for writing, from its beginning; `/dev/fd/N` is what the caller opened, a socket too.

        Raises:
            UsageError: it cannot be opened.
        """
        self.path, self.failure = path, ""
        try:
            self._file = _open(path)
        except OSError as error:
            message = f"--json-into {path}: {error.strerror}"
            raise click.UsageError(message) from None

    def __call__(self, line: str) -> None:
        """Write one line, so that its reader has it now."""
        if self.failure:
            return
        try:
            self._file.write(f"{line}\n")
            self._file.flush()
        except OSError as error:
            self.failure = error.strerror or str(error)

    def close(self) -> None:
        """Give the file back."""
        try:
            self._file.close()
        except OSError as error:
            self.failure = self.failure or error.strerror or str(error)


def _open(path: str) -> TextIO:
    match = _DESCRIPTOR.fullmatch(path)
    target: int | str = os.dup(int(match[1])) if match else path
    return open(target, "w", encoding="utf-8")  # noqa: PTH123 - a descriptor has no path; `close` closes it
