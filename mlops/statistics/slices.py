"""Slices: which rows belong together, as masks over n rows, for measures that must hold for each part of the data."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Slice(NamedTuple):
    """The rows of one part: a name for people, and a mask [n]."""

    name: str
    rows: npt.NDArray[np.bool_]


def by_value(values: npt.NDArray[np.object_], wanted: Sequence[Any] | None = None, most: int = 50) -> list[Slice]:
    """Return a slice for each distinct value, the most frequent first, ties by name; None stands for missing and is left out.

    Args:
        values: shape [n].
        wanted: only these values, in this order; one that does not occur gives an empty slice.
        most: how many slices there are at most.
    """
    counts: dict[Any, int] = {}
    for value in values.tolist():
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    order = list(wanted) if wanted is not None else sorted(counts, key=lambda value: (-counts[value], str(value)))[:most]
    return [Slice(str(value), np.array([each == value for each in values.tolist()], dtype=np.bool_)) for value in order]


def by_edges(values: npt.NDArray[np.float64], edges: Sequence[float]) -> list[Slice]:
    """Return the slices between the ascending `edges`, each with its lower edge, and the two beyond; NaN belongs to none.

    Args:
        values: shape [n].
        edges: at least one, strictly ascending.
    """
    names = [
        f"< {edges[0]:g}",
        *(f"{low:g} to {high:g}" for low, high in pairwise(edges)),
        f"≥ {edges[-1]:g}",
    ]
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    return [Slice(name, (places == index) & ~np.isnan(values)) for index, name in enumerate(names)]
