"""Distances between counted distributions, by hand and against chance."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.statistics.distances import total_variation


def test_the_distance_is_half_the_sum_of_the_differences_of_shares():
    """(|0.5-0.2| + |0.5-0.3| + |0-0.5|) / 2 = 0.5."""
    assert total_variation({"a": 50, "b": 50}, {"a": 20, "b": 30, "c": 50}).value == pytest.approx(0.5)


def test_the_ends_are_alike_and_nothing_in_common():
    assert total_variation({"a": 3}, {"a": 9}) == (0.0, 0.0)
    assert total_variation({"a": 3}, {"b": 9}).value == 1.0


def test_two_samples_of_one_distribution_are_not_found_apart():
    dice, shares = np.random.default_rng(3), np.full(10, 0.1)
    draws = [dict(enumerate(dice.multinomial(300, shares).tolist())) for _ in range(400)]
    found = [total_variation(one, two) for one, two in zip(draws[::2], draws[1::2], strict=True)]
    assert np.mean([one.value for one in found]) > 0.05  # what chance alone makes of it
    assert sum(one.low > 0 for one in found) == 0


def test_a_shift_beyond_chance_is_found():
    assert total_variation({"a": 900, "b": 100}, {"a": 500, "b": 500}).low > 0.3
