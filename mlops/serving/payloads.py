"""The payload log: a share of requests and answers as CloudEvents, without what nobody may read; the input of drift and audits.

`observing` hands a sample over; a thread of its own writes it. Named columns are left out, or become a keyed hash under which equal values
stay equal and no value can be looked up without the key. Only what was answered is logged: the message of a refusal repeats a value.
"""

import hmac
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlops.serving.errors import ServingError
from mlops.serving.logs import Log
from mlops.serving.outboxes import Outbox
from mlops.serving.protocols import encode
from mlops.serving.samples import Sample
from mlops.serving.signatures import Signature
from mlops.serving.sinks import Event, Sink, sink

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
KEY_VARIABLE = "MLOPS_PAYLOAD_KEY"
LEAST_KEY = 16  # bytes
_MOST = 1000  # samples that wait
_MOST_BYTES = 64 * 1024 * 1024


class Privacy(NamedTuple):
    """The columns that are left out, those that are hashed, and the secret under which they are."""

    dropped: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: bytes = b""

    def check(self, signatures: list[Signature]) -> None:
        """Raise `ServingError` for a column that no model has: it would be logged under the name that it really has."""
        inputs = {column.name for signature in signatures for column in signature.inputs}
        known = inputs | {output.name for signature in signatures for output in signature.outputs}
        unknown = sorted((self.dropped | self.hashed) - known)
        if unknown:
            msg = (
                f"the payload log is to hide {', '.join(map(repr, unknown))}, which no model has; "
                f"it has {', '.join(map(repr, sorted(known)))}"
            )
            raise ServingError(msg)

    def hide(self, tensors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the tensors as they may be read; a missing value stays null."""
        return [
            {**each, "datatype": "BYTES", "data": [self._hash(each["name"], value) for value in each["data"]]}
            if each["name"] in self.hashed
            else each
            for each in tensors
            if each["name"] not in self.dropped
        ]

    def _hash(self, name: str, value: Any) -> str | None:
        """Return HMAC-SHA-256 of the value's JSON behind the column's name, in hexadecimal."""
        return None if value is None else hmac.digest(self.key, name.encode() + b"\0" + encode(value), "sha256").hex()


def read_key(path: Path | None) -> bytes:
    """Return the secret in a file, or of the variable MLOPS_PAYLOAD_KEY; raise `ServingError` for none or one that can be guessed."""
    try:
        key = path.read_bytes().strip() if path else os.environ.get(KEY_VARIABLE, "").encode()
    except OSError as error:
        msg = f"the key in {path} cannot be read: {error.strerror}"
        raise ServingError(msg) from error
    if len(key) < LEAST_KEY:
        where = path or f"the variable {KEY_VARIABLE}"
        msg = f"hashing columns needs a secret of at least {LEAST_KEY} bytes in {where} (make one: openssl rand -hex 32)"
        raise ServingError(msg)
    return key


class Wanted(NamedTuple):
    """What is to be logged: where to (see `sinks.sink`), how much of what is answered, from 0 to 1, and how it is hidden."""

    target: str
    share: float
    privacy: Privacy


class Payloads:
    """The log, and what waits to be written to it."""

    def __init__(self, wanted: Wanted, track: str, log: Log) -> None:
        """Begin with nothing written."""
        self.share = wanted.share
        self.privacy = wanted.privacy
        self._sink: Sink = sink(wanted.target)
        self._track = track
        self._log = log
        self._is_failing = False
        self._outbox: Outbox[Sample] = Outbox("payload log", self._write, _MOST, _MOST_BYTES)

    def take(self, sample: Sample) -> None:
        """Keep a sample to be written, or count it as dropped where too many wait."""
        if not self._outbox.offer(sample, sample.size):
            sample.served.counts.payloads["dropped"] += 1

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so many seconds."""
        self._outbox.close(seconds)

    def _write(self, sample: Sample) -> None:
        outcome = "logged"
        try:
            for event in self._events(sample):
                self._sink(event)
            self._is_failing = False
        except (OSError, ValueError) as error:
            outcome = "failed"
            if not self._is_failing:  # once, not for each of thousands
                self._log.write("warning", "payloads cannot be logged", error=str(error))
            self._is_failing = True
        sample.served.counts.payloads[outcome] += 1

    def _events(self, sample: Sample) -> tuple[Event, Event]:
        """Return the two events of a sample; source, types and extensions as KServe's logger has them."""
        served, trace = sample.served, sample.call.trace
        common = {
            "specversion": "1.0",
            "id": sample.call.id,
            "source": f"/v2/models/{served.name}/versions/{served.version}",
            "time": datetime.fromtimestamp(sample.at, UTC).isoformat(),
            "datacontenttype": "application/json",
            "inferenceservicename": served.name,
            "component": "predictor",
            "endpoint": self._track,
            "modelversion": served.version,
            **dict(trace.headers() if trace else ()),
        }
        request, response = sample.request(), sample.response()
        request["inputs"] = self.privacy.hide(request["inputs"])
        response["outputs"] = self.privacy.hide(response["outputs"])
        return {**common, "type": REQUEST, "data": request}, {**common, "type": RESPONSE, "data": response}
