"""Who looks on while requests are answered: the payload log, the mirror and the request log, each at a share of its own.

None of them is asked for a request that was not drawn, and none makes a caller wait. `inferring` tells of each request, `mirroring` sets the
mirror.
"""

from random import random

from mlops.serving.answers import Headers
from mlops.serving.batching import Outputs
from mlops.serving.dialects import Question
from mlops.serving.logs import Log
from mlops.serving.mirrors import MARK, Aim, Mirror
from mlops.serving.models import Served
from mlops.serving.payloads import Payloads
from mlops.serving.samples import sample
from mlops.serving.traces import Call, named

_CLOSING = 2.0  # seconds in which the payload log may write what waits


class Observing:
    """Those who look on; `log_share` of the requests get a line in the log, whatever comes of them."""

    def __init__(self, log: Log, log_share: float = 0.0, payloads: Payloads | None = None) -> None:
        """Begin without a mirror."""
        self.log_share = log_share
        self.payloads = payloads
        self.mirror: Mirror | None = None
        self._log = log

    @property
    def is_on(self) -> bool:
        """Whether anybody looks at what is answered."""
        return self.payloads is not None or self.mirror is not None

    def answered(self, served: Served, headers: Headers, question: Question, arrays: Outputs, call: Call) -> None:
        """Hand an answered request to those who draw it."""
        for each in (self.payloads, self.mirror):
            if each is None or random() >= each.share:  # noqa: S311 - a sample, no secret
                continue
            if each is self.mirror and headers.get(MARK) is not None:
                continue  # it came from a mirror itself
            body_id = getattr(question.request, "id", None)
            each.take(sample(served, named(call, body_id), question.batch, arrays))

    def told(self, served: Served, call: Call, status: int, seconds: float) -> None:
        """Write a line of a request, where it is drawn."""
        if random() < self.log_share:  # noqa: S311 - the same
            fields = {"model": served.name, "version": served.version, "status": status, "seconds": round(seconds, 6)}
            self._log.write("info", "request", **fields, **call.fields())

    def aim(self, aim: Aim | None) -> None:
        """Mirror there from now on, or no more."""
        if self.mirror is not None:
            self.mirror.close()
        self.mirror = None if aim is None else Mirror(aim)

    def close(self) -> None:
        """End the mirror, and let the payload log write what it holds; blocks for at most two seconds."""
        self.aim(None)
        if self.payloads is not None:
            self.payloads.close(_CLOSING)
