"""How often which answer was given: labels by class, probabilities and other numbers by bucket; what drift and deliveries look at.

On the request path the outputs are only kept; they are counted a thousand rows at a time, or when `/metrics` is read.

    labels          one bucket for each class
    probabilities   20 equal bins of [0, 1] for each class; of two classes for the last, since the other says the same
    other numbers   buckets that grow by 2^(1/4), so that a value is known to 19 %, for each sign; zero by itself

A bucket of numbers is named LOW:HIGH, in ascending order, and holds LOW < x ≤ HIGH; the first bin of probabilities holds 0 too.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mlops.serving.signatures import Array, Output, Scalar

_GATHERED = 1024  # rows that are kept before they are counted
_BINS = 20
_PER_OCTAVE = 4
_LEAST, _GREATEST = -20 * _PER_OCTAVE, 40 * _PER_OCTAVE  # exponents: from a millionth to a million millions
_MOST_BUCKETS = 100  # of an output: what comes after these is counted as `other`
_MOST_CLASSES = 10  # whose probabilities are counted


class _Series(NamedTuple):
    output: str
    bucket: str


class Predictions:
    """The counts of one version's answers. For one thread, that of the event loop."""

    def __init__(self) -> None:
        """Count nothing yet; `expect` tells of what."""
        self._outputs: tuple[Output, ...] = ()
        self._kept: list[dict[str, Array]] = []
        self._rows = 0
        self._counts: dict[_Series, int] = {}
        self._buckets: dict[str, int] = {}  # how many an output has

    def expect(self, outputs: tuple[Output, ...]) -> None:
        """Begin the series that are known beforehand at zero, and count these outputs from now on."""
        self.fold()
        self._outputs = outputs
        for output in outputs:
            for name, buckets in _known(output).items():
                for bucket in buckets:
                    self._add(name, bucket, 0, is_known=True)

    def add(self, arrays: dict[str, Array], rows: int) -> None:
        """Keep the outputs of an answer of `rows` rows."""
        self._kept.append(arrays)
        self._rows += rows
        if self._rows >= _GATHERED:
            self.fold()

    def fold(self) -> None:
        """Count what was kept."""
        kept, self._kept, self._rows = self._kept, [], 0
        for output in self._outputs if kept else ():
            values = np.concatenate([arrays[output.name] for arrays in kept])
            for name, column in _columns(output, values).items():
                for bucket, count in _counted(output, column):
                    self._add(name, bucket, count)

    def samples(self) -> Iterable[tuple[str, str, int]]:
        """Yield (output, bucket, count), with everything counted that was answered."""
        self.fold()
        for series, count in self._counts.items():
            yield (*series, count)

    def _add(self, name: str, bucket: str, count: int, *, is_known: bool = False) -> None:
        series = _Series(name, bucket)
        if series not in self._counts:
            held = self._buckets.get(name, 0)
            if held >= _MOST_BUCKETS and not is_known:
                series = _Series(name, "other")
            self._buckets[name] = held + 1
        self._counts[series] = self._counts.get(series, 0) + count


def _is_probability(output: Output) -> bool:
    return bool(output.classes) and len(output.shape) > 1


def _names(output: Output) -> dict[str, int]:
    """Return the columns of probabilities that are counted, by name."""
    classes = output.classes or ()
    if len(classes) > _MOST_CLASSES:
        return {}
    first = 1 if len(classes) == 2 else 0  # noqa: PLR2004 - of two, one tells of both
    return {f"{output.name}.{_shown(each)}": place for place, each in enumerate(classes) if place >= first}


def _known(output: Output) -> dict[str, list[str]]:
    if _is_probability(output):
        return {name: [_bin(place) for place in range(_BINS)] for name in _names(output)}
    return {output.name: [_shown(each) for each in (output.classes or ())[:_MOST_BUCKETS]]}


def _columns(output: Output, values: Array) -> dict[str, Array]:
    if _is_probability(output):
        return {name: values[:, place] for name, place in _names(output).items()}
    return {output.name: values.ravel()}


def _counted(output: Output, column: Array) -> Iterable[tuple[str, int]]:
    """Yield (bucket, count) over the values of a column."""
    if _is_probability(output):
        places = np.clip(np.ceil(column[~np.isnan(column)] * _BINS) - 1, 0, _BINS - 1).astype(np.intp)
        counts = np.bincount(places, minlength=_BINS)
        yield from ((_bin(int(place)), int(counts[place])) for place in np.flatnonzero(counts))
        yield from _missing(column)
    elif output.classes or column.dtype.kind not in "iuf":
        values, counts = np.unique(column.astype(str) if column.dtype.kind == "O" else column, return_counts=True)
        yield from ((_shown(value), int(count)) for value, count in zip(values.tolist(), counts.tolist(), strict=True))
    else:
        yield from _by_size(column.astype(np.float64, copy=False))


def _by_size(column: Array) -> Iterable[tuple[str, int]]:
    numbers = column[~np.isnan(column)]
    sizes = np.abs(numbers)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.clip(np.ceil(np.log2(sizes) * _PER_OCTAVE), _LEAST, _GREATEST)
    signs = np.where(sizes == 0, 0, np.sign(numbers))
    places[sizes == 0] = 0
    found, counts = np.unique(np.stack([signs, places]), axis=1, return_counts=True)
    for (sign, place), count in zip(found.T.tolist(), counts.tolist(), strict=True):
        yield _size(int(sign), int(place)), count
    yield from _missing(column)


def _missing(column: Array) -> Iterable[tuple[str, int]]:
    count = int(np.isnan(column).sum())
    if count:
        yield "nan", count


def _bin(place: int) -> str:
    return f"{place / _BINS:g}:{(place + 1) / _BINS:g}"


def _size(sign: int, place: int) -> str:
    """Return the name of a bucket; the outermost ones are open, since what lies beyond is counted there."""
    if sign == 0:
        return "0:0"
    low = 0.0 if place == _LEAST else 2 ** ((place - 1) / _PER_OCTAVE)
    high = float("inf") if place == _GREATEST else 2 ** (place / _PER_OCTAVE)
    return f"{low:.6g}:{high:.6g}" if sign > 0 else f"{-high:.6g}:{-low or 0:.6g}"


def _shown(label: Scalar) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
