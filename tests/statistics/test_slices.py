"""Slices part rows by the values of a column, or by edges."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from mlops.statistics.slices import by_edges, by_value


@given(some.lists(some.sampled_from([None, "own", "rent", "free", True, 3])))
def test_every_row_with_a_value_is_in_exactly_one_slice(values):
    """Each row is in the slice of its value, rows without one in none, and the most frequent value comes first."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    found = by_value(array)
    counts = np.sum([part.rows for part in found], axis=0) if found else np.zeros(len(values))
    assert list(counts) == [value is not None for value in values]
    sizes = [int(part.rows.sum()) for part in found]
    assert sizes == sorted(sizes, reverse=True)


def test_the_number_of_slices_is_limited_to_the_most_frequent_values():
    """Of many values only the most frequent are slices."""
    values = np.array(["b", "a", "b", "c", "a", "b"], dtype=object)
    assert [part.name for part in by_value(values, most=2)] == ["b", "a"]


def test_wanted_values_are_slices_even_if_no_row_has_them():
    """Named values come in their order, empty where they do not occur."""
    found = by_value(np.array(["a", "b"], dtype=object), wanted=["b", "z"])
    assert [(part.name, part.rows.tolist()) for part in found] == [("b", [False, True]), ("z", [False, False])]


def test_a_slice_has_its_lower_edge_and_not_its_upper():
    """Edges belong to the slice above them; NaN to none."""
    found = by_edges(np.array([29.9, 30, 49, 50, np.nan, -np.inf]), [30, 50])
    assert [(part.name, part.rows.tolist()) for part in found] == [
        ("< 30", [True, False, False, False, False, True]),
        ("30 to 50", [False, True, True, False, False, False]),
        ("≥ 50", [False, False, False, True, False, False]),
    ]
