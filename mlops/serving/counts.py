"""What is counted of one version of a model while it answers: a few list increments a request; `metrics` makes series of them."""

from typing import Literal

import numpy as np

from mlops.serving.predictions import Predictions

# Seconds. One row takes 0.2 ms to 20 ms here; the wide end is for large batches and slow models.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_MANY = 512  # requests after which their values are sorted in
Phase = Literal["preprocess", "predict", "postprocess"]
_FIRST_CODES = (200, 400, 500)
_FIRST_FAILURE = 400


class Histogram:
    """How many values came up to each of `bounds`, and their sum.

    `add` keeps a value as it comes, which costs a request next to nothing; whoever adds calls `sort_in` now and then, and reading does.
    """

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        """Start at zero."""
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._total = 0.0
        self._fresh: list[float] = []
        self.add = self._fresh.append

    def sort_in(self) -> None:
        """Count the values that were added since the last time."""
        values = np.array(self._fresh, np.float64)
        self._fresh.clear()
        self._counts += np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        self._total += float(values.sum())

    @property
    def total(self) -> float:
        """The sum of the values."""
        self.sort_in()
        return self._total

    @property
    def count(self) -> int:
        """How many values were added."""
        self.sort_in()
        return int(self._counts.sum())

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, count up to it) as Prometheus wants them."""
        self.sort_in()
        return list(zip((*map(str, self._bounds), "+Inf"), np.cumsum(self._counts).astype(float).tolist(), strict=True))


class QueueCounts:
    """What is counted of requests that a slow model is asked in batches: how many rows wait, and of each batch its rows and waits."""

    def __init__(self) -> None:
        """Start at zero."""
        self.rows = 0
        self.batches = Histogram(BATCH_ROWS)
        self.waits = Histogram()


class Counts:
    """What is counted of one version, from its first load to the day when its folder is gone."""

    def __init__(self) -> None:
        """Start every count at zero."""
        self.codes = dict.fromkeys(_FIRST_CODES, 0)
        self.requests = Histogram()
        self.phases: dict[Phase, Histogram] = {"preprocess": Histogram(), "predict": Histogram(), "postprocess": Histogram()}
        self.rows = 0
        self._unsorted = 0
        self.queue = QueueCounts()
        self.predictions = Predictions()
        self.calls = {200: 0}  # those of `codes` that came by gRPC
        self.payloads = {"logged": 0, "failed": 0, "dropped": 0}
        self.mirrored = {"agreed": 0, "differed": 0, "failed": 0, "dropped": 0}

    def answered(self, code: int, seconds: float) -> None:
        """Count one request to infer that was answered with `code` after `seconds`."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.requests.add(seconds)
        self._unsorted += 1
        if self._unsorted >= _MANY:
            self._unsorted = 0
            for each in (self.requests, *self.phases.values(), self.queue.waits, self.queue.batches):
                each.sort_in()

    def predicted(self, rows: int, preprocess: float, predict: float, postprocess: float) -> None:
        """Count the rows that the model answered and the seconds of each phase."""
        self.rows += rows
        phases = self.phases
        phases["preprocess"].add(preprocess)
        phases["predict"].add(predict)
        phases["postprocess"].add(postprocess)

    @property
    def failures(self) -> int:
        """How many requests were not answered with a prediction."""
        return sum(count for code, count in self.codes.items() if code >= _FIRST_FAILURE)

    @property
    def successes(self) -> int:
        """How many were."""
        return sum(self.codes.values()) - self.failures
