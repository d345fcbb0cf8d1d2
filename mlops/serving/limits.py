"""How much may be asked of a replica, by one caller and by all of them together."""

from dataclasses import dataclass

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What requests are held to.

    `max_body` in bytes and `max_rows` are of one request; `body_seconds` is how long its body may take to come. A slow model is asked up to
    `batch_rows` rows at once while up to `queue_rows` wait, none of them longer than `deadline` in seconds.
    """

    max_body: int = 16 * _MEBIBYTE
    max_rows: int = 100_000
    body_seconds: float = 30.0
    batch_rows: int = 256
    queue_rows: int = 8192
    deadline: float = 30.0
