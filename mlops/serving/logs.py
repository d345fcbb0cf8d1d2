"""Structured log lines of a replica: one JSON object a line on stderr, with the model, version and track in each.

Plain json, because an image with a model needs few packages. A supervisor redirects stderr to a file.
"""

import json
import sys
import time
import traceback
from typing import Any, TextIO


class Log:
    """Writes lines that carry `fields` beside their own."""

    def __init__(self, fields: dict[str, str], stream: TextIO | None = None) -> None:
        """Write to `stream`, by default stderr."""
        self._fields = fields
        self._stream = stream or sys.stderr

    def write(self, level: str, event: str, **fields: Any) -> None:
        """Write one line; a broken stderr never stops serving."""
        line = {"time": _now(), "level": level, "event": event, **self._fields, **fields}
        try:
            self._stream.write(json.dumps(line, default=str) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    def failed(self, event: str, error: BaseException, **fields: Any) -> None:
        """Write an error with its traceback as a field."""
        self.write("error", event, error=str(error), traceback="".join(traceback.format_exception(error)), **fields)


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"
