"""A fleet for tests of the door to processes, and its end whatever happens."""

import os
import shutil
import signal

import pytest
from fleets import Fleets, eventually, ours, runtime

from mlops.world import deploying


@pytest.fixture
def fleets(tmp_path, monkeypatch):
    monkeypatch.setattr(deploying, "_CLOSING", 0.05)  # where no clients have to be sent away
    fleets = Fleets(tmp_path)
    yield fleets
    for pid in ours(tmp_path):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not ours(tmp_path))
    shutil.rmtree(runtime(fleets), ignore_errors=True)
