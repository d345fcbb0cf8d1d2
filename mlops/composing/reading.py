"""Reading: files become documents, each read once and only when something asks for its content."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from mlops.composing.documents import DocumentError, Reader
from mlops.core.diagnostics import Diagnostic, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.composing.sources import Source

CLOSED, OPEN, MERGED = range(3)
"""What a file needs: nothing; its interpolations (or `???`) resolved; Hydra, for its defaults list or package header."""

_HEADER = re.compile(r"\A(?:\s*\n)*\s*#\s*@")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)\s*$", re.MULTILINE)
HEADER_LENGTH = 512  # as far as Hydra looks


class Document:
    """One file of conf/. What is wrong with it goes to `diagnostics` when it is read."""

    def __init__(self, root: Path, source: Source, diagnostics: list[Diagnostic]) -> None:
        self.source = source
        self._path = root / source.file
        self._diagnostics = diagnostics
        self._content: bytes | None = None
        self._digest: bytes | None = None
        self._needs: int | None = None
        self._data: dict[Any, Any] | None = None
        self._is_parsed = False

    def recall(self, digest: bytes, needs: int) -> None:
        """Take over what was learnt from the same bytes before, so that they need not be parsed."""
        self._digest, self._needs = digest, needs

    @property
    def digest(self) -> bytes:
        """The hash of the bytes; empty where they cannot be read."""
        if self._digest is None:
            self._digest = hashlib.sha256(self.content).digest()
        return self._digest

    @property
    def content(self) -> bytes:
        """The bytes; empty where they cannot be read."""
        if self._content is None:
            try:
                self._content = self._path.read_bytes()
            except OSError as error:
                self._content = b""
                self._is_parsed = True
                summary = f"the file cannot be read: {error.strerror}"
                hint = "mend the link, or remove it"
                if isinstance(error, PermissionError):
                    hint = "change its owner or mode, or run as the user who owns it"
                self._diagnostics.append(Diagnostic("unreadable", summary, origin=Origin(self.source.file), hint=hint))
        return self._content

    @property
    def text(self) -> str:
        """The text; what is no UTF-8 is replaced."""
        return self.content.decode(errors="replace")

    @property
    def data(self) -> dict[Any, Any] | None:
        """The mapping that the file holds; None for a broken one."""
        content = self.content
        if not self._is_parsed:
            self._is_parsed = True
            self._data = self._parsed(content)
        return self._data

    @property
    def needs(self) -> int:
        """CLOSED, OPEN or MERGED."""
        if self._needs is None:
            has_defaults = self.data is not None and "defaults" in self.data
            is_open = b"${" in self.content or b"???" in self.content
            self._needs = MERGED if has_defaults or self.header is not None else OPEN if is_open else CLOSED
        return self._needs

    @property
    def header(self) -> str | None:
        """The beginning of a file that begins with `# @…`, as Hydra reads it; else None."""
        text = self.text
        return text[:HEADER_LENGTH] if _HEADER.match(text) else None

    @property
    def package(self) -> str | None:
        """The package that the header names, or None."""
        match = _PACKAGE.search(self.header or "")
        return match[1] if match else None

    def _parsed(self, content: bytes) -> dict[Any, Any] | None:
        file = self.source.file
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            column = error.start - content.rfind(b"\n", 0, error.start)
            hint = "save it as UTF-8"
            self._diagnostics.append(
                Diagnostic("encoding", "the file is not UTF-8 text", origin=Origin(file, line, column), hint=hint)
            )
            return None
        reader = Reader(file)
        try:
            data = reader.read(text)
        except DocumentError as error:
            self._diagnostics.append(error.diagnostic)
            return None
        self._diagnostics.extend(reader.diagnostics)
        if data is None or isinstance(data, dict):
            return data or {}
        self._diagnostics.append(Diagnostic("type", "the file must hold a mapping of fields", origin=Origin(file, 1, 1)))
        return None
