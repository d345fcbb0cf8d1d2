"""Digests: one canonical form of JSON values, and one hash over it, for keys, plan ids and records alike."""

from __future__ import annotations

import hashlib
import json
from typing import Any

PREFIX = "sha256:"

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Any) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no blanks, UTF-8.

    Raises:
        ValueError: for NaN and infinities, which JSON does not have.
    """
    return _encode(value).encode()


def digest(value: Any) -> str:
    """Return `sha256:<hex>` over the canonical form of a JSON value."""
    return PREFIX + hashlib.sha256(canonical(value)).hexdigest()


def short(text: str) -> str:
    """Return the first 8 hex digits of a digest, for people."""
    return text.removeprefix(PREFIX)[:8]
