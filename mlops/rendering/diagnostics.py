"""Diagnostics and errors as text: what is wrong, where, the line it stands on, and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops.core.diagnostics import Severity
from mlops.core.errors import MlopsError, SpecError
from mlops.rendering import words
from mlops.rendering.looks import clean, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mlops.core.diagnostics import Diagnostic, Origin
    from mlops.rendering.looks import Look


_PASSWORD = re.compile(r"(?<=:)[^:/@\s]+(?=@)")  # as in //user:password@host


def error(problem: MlopsError, look: Look, read_line: Callable[[Origin], str | None]) -> str:
    """Return an error for people; `read_line` gives the source line of an origin, where it can be had."""
    if isinstance(problem, SpecError):
        return "\n".join([diagnostics(problem.diagnostics, look, read_line), "", problem.message])
    head = f"{look.paint(f'error[{problem.code}]', 'bad')} {clean(problem.message)}"
    return "\n".join([head, *_hint(problem.hint, look)])


def diagnostics(found: Iterable[Diagnostic], look: Look, read_line: Callable[[Origin], str | None]) -> str:
    """Return all diagnostics in the order of files and lines."""
    return "\n".join("\n".join(_one(each, look, read_line)) for each in sorted(found, key=_place))


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    origin = diagnostic.origin
    if origin is None or origin.file is None:
        return "", 0, 0, str(diagnostic.address)
    return origin.file, origin.line or 0, origin.column or 0, str(diagnostic.address)


def _one(diagnostic: Diagnostic, look: Look, read_line: Callable[[Origin], str | None]) -> list[str]:
    style = "bad" if diagnostic.severity is Severity.ERROR else "change"
    head = look.paint(f"{diagnostic.severity}[{diagnostic.code}]", style)
    place = str(diagnostic.origin) if diagnostic.origin is not None else ""
    parts = [part for part in (place, _subject(diagnostic), diagnostic.summary) if part]
    line = f"{head} {_hide(clean(': '.join(parts)))}"
    return [line, *_snippet(diagnostic.origin, look, read_line), *_hint(diagnostic.hint, look)]


def _subject(diagnostic: Diagnostic) -> str:
    """Return address and path; a last part that the summary names anyway is left out."""
    parts = diagnostic.path.split(".") if diagnostic.path else []
    if parts and f"'{parts[-1]}'" in diagnostic.summary:
        parts.pop()
    return ".".join([part for part in (diagnostic.address, *parts) if part])


def _snippet(origin: Origin | None, look: Look, read_line: Callable[[Origin], str | None]) -> list[str]:
    source = read_line(origin) if origin is not None and origin.line is not None else None
    if origin is None or source is None or not source.strip():
        return []
    number = str(origin.line)
    lines = [
        f"  {look.paint(f'{number} │', 'dim')} {shorten(_hide(clean(source.rstrip())).replace(chr(9), ' '), look.width - 8)}"
    ]
    if origin.column is not None and origin.column <= look.width - 8:
        lines.append(f"  {' ' * len(number)} {look.paint('│', 'dim')} {' ' * (origin.column - 1)}{look.paint('^', 'bad')}")
    return lines


def _hide(text: str) -> str:
    """Return the text without the password of a URL; stars of the same number keep the columns."""
    return _PASSWORD.sub(lambda found: "*" * len(found[0]), text)


def _hint(hint: str | None, look: Look) -> list[str]:
    return [f"  {look.paint('hint:', 'reuse')} {clean(line)}" for line in hint.splitlines()] if hint else []


def closing(count: int) -> str:
    """Return what `validate` says when nothing is wrong."""
    return f"valid: {words.plural(count, 'resource')}"
