"""Reading: the bytes of the files become documents; each file is read once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.composing.documents import DocumentError, Reader
from mlops.core.diagnostics import Diagnostic, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.composing.sources import Source

_HEADER = re.compile(r"\A(?:\s*\n)*\s*#\s*@")
_PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)\s*$", re.MULTILINE)
HEADER_LENGTH = 512  # as far as Hydra looks


@dataclass(frozen=True, slots=True)
class Document:
    """One file, parsed. `data` is None for a broken one; `header` is the text of a `# @package` header."""

    source: Source
    data: dict[Any, Any] | None
    digest: bytes
    text: str = ""
    header: str | None = None
    is_open: bool = False  # has interpolations or `???`

    @property
    def package(self) -> str | None:
        """The package that the header names, or None."""
        match = _PACKAGE.search(self.header) if self.header is not None else None
        return match[1] if match else self.header

    @property
    def has_defaults(self) -> bool:
        """Tell whether the file has a defaults list."""
        return self.data is not None and "defaults" in self.data


def read(root: Path, source: Source, diagnostics: list[Diagnostic]) -> Document:
    """Return the file as a document; what is wrong with it goes to `diagnostics`."""
    try:
        content = (root / source.file).read_bytes()
    except OSError as error:
        diagnostics.append(Diagnostic("unreadable", f"the file cannot be read: {error.strerror}", origin=Origin(source.file)))
        return Document(source, None, b"")
    digest = hashlib.sha256(content).digest()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        summary = "the file is not UTF-8 text"
        diagnostics.append(Diagnostic("encoding", summary, origin=Origin(source.file, line, column), hint="save it as UTF-8"))
        return Document(source, None, digest)
    reader = Reader(source.file)
    try:
        data = reader.read(text)
    except DocumentError as error:
        diagnostics.append(error.diagnostic)
        return Document(source, None, digest)
    diagnostics.extend(reader.diagnostics)
    if data is not None and not isinstance(data, dict):
        diagnostics.append(Diagnostic("type", "the file must hold a mapping of fields", origin=Origin(source.file, 1, 1)))
        return Document(source, None, digest)
    header = text[:HEADER_LENGTH] if _HEADER.match(text) else None
    return Document(source, data or {}, digest, text, header, "${" in text or "???" in text)
