"""The mirror: a share of what was answered is asked again of a candidate, off the request path, and the answers are compared.

No caller ever sees the candidate's answer or waits for it. Set through `observing` by whoever delivers a new version (a shadow).
"""

import threading
from typing import Literal

import msgspec
import numpy as np

from mlops.serving.outboxes import Outbox
from mlops.serving.protocols import Tensor, encode
from mlops.serving.samples import Sample
from mlops.serving.signatures import Array, Output
from mlops.serving.sinks import Poster, is_http
from mlops.serving.traces import ID

MARK = "x-mlops-mirrored"  # on what a mirror sends, so that two servers do not mirror to each other for ever
Outcome = Literal["agreed", "differed", "failed", "dropped"]
_THREADS = 2
_MOST = 256  # samples that wait
_MOST_BYTES = 32 * 1024 * 1024


class Aim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked, how often, and when numbers are taken for equal: |a - b| ≤ tolerance · max(1, |b|)."""

    url: str
    percent: float
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what cannot be aimed at."""
        if not is_http(self.url):
            msg = f"`url` is {self.url!r}, expected http://HOST:PORT or https://…"
            raise ValueError(msg)
        if not 0 < self.percent <= 100:  # noqa: PLR2004 - per cent
            msg = f"`percent` is {self.percent:g}, expected more than 0 and at most 100"
            raise ValueError(msg)
        if not self.tolerance >= 0:
            msg = f"`tolerance` is {self.tolerance:g}, expected at least 0"
            raise ValueError(msg)


class _Answer(msgspec.Struct):
    outputs: list[Tensor]


_decoder = msgspec.json.Decoder(_Answer)


class Mirror:
    """One aim, and what waits to be sent there."""

    def __init__(self, aim: Aim) -> None:
        """Send nothing yet."""
        self.aim = aim
        self.share = aim.percent / 100
        self._own = threading.local()  # a connection for each thread
        self._counting = threading.Lock()
        self._outbox: Outbox[Sample] = Outbox("mirror", self._ask, _MOST, _MOST_BYTES, _THREADS)

    def take(self, sample: Sample) -> None:
        """Keep a sample to be sent, or count it as dropped where too many wait."""
        if not self._outbox.offer(sample, sample.size):
            self._count(sample, "dropped")

    def close(self) -> None:
        """Take nothing any more; what waits is still sent while the process lives."""
        self._outbox.close(0.0)

    def _count(self, sample: Sample, outcome: Outcome) -> None:
        with self._counting:
            sample.served.counts.mirrored[outcome] += 1

    def _ask(self, sample: Sample) -> None:
        call = sample.call
        headers = {"content-type": "application/json", MARK: "1", ID: call.id, **dict(call.trace.headers() if call.trace else ())}
        poster = self._own.__dict__.setdefault("poster", Poster(self.aim.url))
        try:
            body = poster.post(f"/v2/models/{sample.served.name}/infer", encode(sample.request()), headers)
            answer = _decoder.decode(body)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            self._count(sample, "failed")
            return
        agrees = _agree(sample, {each.name: each for each in answer.outputs}, self.aim.tolerance)
        self._count(sample, "agreed" if agrees else "differed")


def _agree(sample: Sample, given: dict[str, Tensor], tolerance: float) -> bool:
    """Tell whether the candidate gave every output that was given: labels equal, numbers within the tolerance."""
    return all(
        name in given and _is_close(output, sample.arrays[name], given[name], tolerance)
        for name, output in sample.served.outputs.items()
    )


def _is_close(output: Output, wanted: Array, tensor: Tensor, tolerance: float) -> bool:
    if list(wanted.shape) != tensor.shape or wanted.size != len(tensor.data):
        return False
    is_label = bool(output.classes) and wanted.ndim == 1
    if is_label or wanted.dtype.kind != "f":
        same: bool = wanted.ravel().tolist() == tensor.data
        return same
    try:
        found = np.array([np.nan if value is None else value for value in tensor.data], np.float64)
    except (TypeError, ValueError):
        return False
    expected = wanted.ravel().astype(np.float64)
    close = np.abs(found - expected) <= tolerance * np.maximum(1.0, np.abs(expected))
    return bool((close | (found == expected) | (np.isnan(found) & np.isnan(expected))).all())
