"""Each mutant of `support/mutants.py` is seen by the test that is named beside it."""

from __future__ import annotations

import pytest

import mutants

ALL = [
    pytest.param(mutant, id=mutant.name, marks=[pytest.mark.soak] if index >= mutants.LISTED else [])
    for index, mutant in enumerate(mutants.MUTANTS)
]


@pytest.mark.parametrize("mutant", ALL)
def test_the_mutant_is_killed_by_its_test(mutant, tmp_path):
    mutants.break_package(mutant, tmp_path)
    assert mutants.killers(tmp_path, mutant.killer), "the test does not see it; `make mutants` says whether another one does"
