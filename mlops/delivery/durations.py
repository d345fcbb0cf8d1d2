"""Durations as people write them: `30s`, `5m`, `1h30m`, `2d`, or a number of seconds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_FORM = r"^(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?$"
LONGEST = 365 * _UNITS["d"]


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value or not re.match(_FORM, value):
        message = f"'{value}' is no duration: write 30s, 5m, 1h30m or 2d"
        raise ValueError(message)
    return sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)([dhms])", value))


_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _FORM, "minLength": 2}]}

Duration = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=LONGEST, allow_inf_nan=False), WithJsonSchema(_SCHEMA)]
"""Seconds, at most a year; text such as `5m` is read, a number is taken as seconds."""


def written(seconds: float) -> str:
    """Return the duration as a person would write it: `1h30m`, `45s`, `0.5s`."""
    if seconds < 1:
        return f"{seconds:.3g}s"
    rest, parts = round(seconds), []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
