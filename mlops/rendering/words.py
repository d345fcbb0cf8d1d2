"""Words: values, numbers, durations and counts as people write them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from mlops.core.digests import PREFIX, short
from mlops.rendering.looks import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_plain = re.compile(r"[A-Za-z_./][\w./@:+*-]*(?: [\w./@:+*-]+)*")
_words_of_yaml = {"null", "true", "false", "yes", "no", "on", "off"}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_KILO = 1000.0
_FACTS = 4  # that one line tells


def value(item: Any) -> str:
    """Return a JSON value in one line, as YAML's flow style would have it; digests are cut to 8 hex digits."""
    if isinstance(item, str):
        return _string(item)
    if isinstance(item, dict):
        return "{" + ", ".join(f"{_string(str(name))}: {value(part)}" for name, part in item.items()) + "}"
    if isinstance(item, list | tuple):
        return "[" + ", ".join(value(part) for part in item) + "]"
    return json.dumps(item, ensure_ascii=False)


def _string(text: str) -> str:
    if text.startswith(PREFIX):
        return short(text)
    if _plain.fullmatch(text) and text.lower() not in _words_of_yaml:
        return text
    return clean(json.dumps(text, ensure_ascii=False))


def change(before: Any, after: Any) -> str:
    """Return `before → after`; a side that does not exist is `unset`."""
    return f"{'unset' if before is None else value(before)} → {'unset' if after is None else value(after)}"


def seconds(amount: float) -> str:
    """Return a duration: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `1 d 3 h`."""
    if amount < 9.95:  # noqa: PLR2004 - below ten seconds, tenths matter
        return f"{amount:.1f} s"
    whole = round(amount)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, large: float, large_name: str, small: float, small_name: str) -> str:
    rest = int(whole % large // small)
    return f"{int(whole // large)} {large_name}" + (f" {rest} {small_name}" if rest else "")


def number(amount: Any) -> str:
    """Return a number for people: whole ones with commas, others with at most four significant decimals."""
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return value(amount)
    if isinstance(amount, int):
        return f"{amount:,}"
    return f"{amount:.4g}" if abs(amount) < _KILO else f"{amount:,.1f}"


def size(count: float) -> str:
    """Return a number of bytes: `812 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} TB"


def plural(count: int, word: str) -> str:
    """Return `1 resource`, `2 resources`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def listed(items: Iterable[str], last: str = "and") -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    *firsts, end = list(items) or [""]
    return f"{', '.join(firsts)} {last} {end}" if firsts else end


def fact(item: Any) -> str:
    """Return one fact in a few words: text as it is, numbers short, nothing as a dash."""
    if item is None:
        return "-"
    return clean(item) if isinstance(item, str) else number(item)


def facts(found: Mapping[str, Any]) -> str:
    """Return what a line has room for, `rows 4,454, roc_auc 0.8123`: the first numbers, and where something answers."""
    flat = {**found, **{name: item for inner in found.values() if isinstance(inner, dict) for name, item in inner.items()}}
    told = [f"{name} {fact(item)}" for name, item in flat.items() if isinstance(item, int | float) or _is_url(item)]
    return ", ".join(told[:_FACTS])


def _is_url(item: Any) -> bool:
    return isinstance(item, str) and item.startswith(("http://", "https://"))


def moment(at: str) -> str:
    """Return an ISO 8601 moment in UTC for people, to the second."""
    return f"{at[:19].replace('T', ' ')} UTC"
