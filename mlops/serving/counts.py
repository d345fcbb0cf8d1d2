"""What is counted of one version of a model while it answers: a request adds one tuple to a list; `metrics` makes series of them."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from mlops.serving.predictions import Predictions

# Seconds. One row takes 0.2 ms to 20 ms here; the wide end is for large batches and slow models.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_MANY = 512  # requests after which they are counted
Phase = Literal["preprocess", "predict", "postprocess"]
PHASES: tuple[Phase, ...] = ("preprocess", "predict", "postprocess")
_FIRST_CODES = (200, 400, 500)
_FIRST_FAILURE = 400


class Histogram:
    """How many values came up to each of `bounds`, and their sum."""

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        """Start at zero."""
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self.total = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Count some values; a thousand cost little more than one."""
        array = np.array(values, np.float64)
        self._counts += np.bincount(np.searchsorted(self._bounds, array), minlength=len(self._counts))
        self.total += float(array.sum())

    @property
    def count(self) -> int:
        """How many values were added."""
        return int(self._counts.sum())

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, count up to it) as Prometheus wants them."""
        return list(zip((*map(str, self._bounds), "+Inf"), np.cumsum(self._counts).astype(float).tolist(), strict=True))


class QueueCounts:
    """What is counted of requests that a slow model is asked in batches: how many rows wait, and of each batch its rows and waits."""

    def __init__(self) -> None:
        """Start at zero."""
        self.rows = 0
        self.batches = Histogram(BATCH_ROWS)
        self.waits = Histogram()


class Counts:
    """What is counted of one version, from its first load to the day when its folder is gone.

    `answered` and `predicted` keep what they are told, which costs a request next to nothing; `fold` counts it, and is called before reading.
    """

    def __init__(self) -> None:
        """Start every count at zero."""
        self.codes = dict.fromkeys(_FIRST_CODES, 0)
        self.requests = Histogram()
        self.phases: dict[Phase, Histogram] = {phase: Histogram() for phase in PHASES}
        self.rows = 0
        self._answered: list[tuple[int, float]] = []
        self._predicted: list[tuple[int, float, float, float]] = []
        self.queue = QueueCounts()
        self.predictions = Predictions()
        self.calls = {200: 0}  # those of `codes` that came by gRPC
        self.payloads = {"logged": 0, "failed": 0, "dropped": 0}
        self.mirrored = {"agreed": 0, "differed": 0, "failed": 0, "dropped": 0}

    def answered(self, code: int, seconds: float) -> None:
        """Keep one request to infer that was answered with `code` after `seconds`."""
        self._answered.append((code, seconds))
        if len(self._answered) >= _MANY:
            self.fold()

    def predicted(self, rows: int, preprocess: float, predict: float, postprocess: float) -> None:
        """Keep the rows that the model answered and the seconds of each phase."""
        self._predicted.append((rows, preprocess, predict, postprocess))

    def fold(self) -> None:
        """Count what was kept."""
        if self._answered:
            codes, seconds = zip(*self._answered, strict=True)
            self._answered.clear()
            self.requests.add(seconds)
            for code, count in Counter(codes).items():
                self.codes[code] = self.codes.get(code, 0) + count
        if self._predicted:
            rows, *phases = zip(*self._predicted, strict=True)
            self._predicted.clear()
            self.rows += sum(rows)
            for phase, seconds in zip(PHASES, phases, strict=True):
                self.phases[phase].add(seconds)

    @property
    def failures(self) -> int:
        """How many requests were not answered with a prediction."""
        return sum(count for code, count in self.codes.items() if code >= _FIRST_FAILURE)

    @property
    def successes(self) -> int:
        """How many were."""
        return sum(self.codes.values()) - self.failures
