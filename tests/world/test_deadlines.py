"""A call in a process of its own: its answer, or one error; never a wait without end."""

import os
import time
from functools import partial

import pytest

from mlops.core.errors import Refused
from mlops.world.deadlines import within


def test_what_it_returns_comes_back_and_what_it_changes_does_not():
    seen = []
    assert within(10, lambda: seen.append(1) or os.getpid()) != os.getpid()
    assert seen == []


def test_what_does_not_end_is_ended():
    started = time.monotonic()
    with pytest.raises(Refused, match=r"more than 0\.2 s"):
        within(0.2, partial(time.sleep, 60))
    assert time.monotonic() - started < 10


def test_what_ends_without_an_answer_is_told():
    with pytest.raises(Refused, match=r"without an answer \(7\)"):
        within(10, partial(os._exit, 7))
