"""What persons ask of deliveries, as users do: `mlops rollout …` beside an apply that runs, or was killed, on a real engine."""

from __future__ import annotations

import subprocess
import time

import pytest

from harbour import Load
from shell import MLOPS
from stands import killed_apply, project_on

V2 = "rollout.credit.serves=container.v2"
ROLLOUT = "rollout.credit"
STEPS = "[{weight: 20}, {pause: promoted}, {weight: 50}, {pause: promoted}]"


@pytest.fixture
def stand(engine, tmp_path):
    """Give a project whose version v1 serves, and whose next versions wait until they are promoted."""
    shell, harbour = project_on(engine, tmp_path, {"v1": "none", "v2": "none"})
    shell.edit("conf/rollout/credit.yaml", "[{weight: 20}, {pause: 3}, {weight: 50}, {pause: 3}]", STEPS)
    shell.apply()
    yield shell, harbour
    harbour.remove()


def begun(shell):
    """Begin to deliver v2; return the apply once the delivery waits for a person."""
    process = subprocess.Popen([MLOPS, "-C", shell.folder, "apply", "--yes", V2], stdout=subprocess.PIPE, text=True)
    waits(process, "step 2 of 4")
    return process


def waits(process, place):
    """Read what apply says until the delivery waits for a person there."""
    for line in process.stdout:
        if place in line and "waits for `mlops rollout promote`" in line:
            return
    message = f"apply ended before {place}"
    raise AssertionError(message)


def status(shell):
    return shell.mlops("rollout", "status").out


def test_a_running_delivery_hears_what_is_asked_and_what_it_took_back_stays_rejected(stand):
    shell, harbour = stand
    with Load(harbour.address, clients=1) as load:
        apply = begun(shell)
        assert "its delivery is under way" in status(shell)
        assert "20 % of the requests" in shell.mlops("rollout", "explain", ROLLOUT).out
        assert "the apply that runs hears it" in shell.mlops("rollout", "promote", ROLLOUT).out
        waits(apply, "step 4 of 4")
        shell.mlops("rollout", "abort", ROLLOUT, "--reason", "odd answers")
        out, _ = apply.communicate(timeout=60)
    assert apply.returncode == 3, out
    assert "odd answers" in out
    assert load.failures == []
    assert harbour.versions() == ["v1", "v1"]
    assert "rejected at" in status(shell)
    applied = " ".join(shell.apply(V2, code=3).out.split())
    assert "blocked: this version was rejected" in applied
    assert "odd answers; nothing was touched" in applied
    assert harbour.versions() == ["v1", "v1"]
    shell.mlops("rollout", "retry", ROLLOUT)
    assert "blocked" not in shell.mlops("plan", V2).out


def test_a_delivery_that_nobody_drives_is_told_and_what_was_asked_meanwhile_is_heard_first(stand):
    shell, harbour = stand
    assert killed_apply(shell, 12, V2)
    assert "its delivery is unattended since" in status(shell)
    assert "unattended" in shell.mlops("plan", V2).out
    said = shell.mlops("rollout", "promote", ROLLOUT, "--full").out
    assert "no apply runs: the next one hears it first" in said
    assert "asked to promote-full by" in status(shell)
    shell.apply(V2)
    assert harbour.versions() == ["v2", "v2"]
    assert "unattended" not in status(shell)
    started = time.monotonic()
    shell.mlops("rollout", "undo", ROLLOUT, "--yes", "--reason", "slower than before")
    assert harbour.versions() == ["v1", "v1"]
    assert time.monotonic() - started < 40
    assert "slower than before" in " ".join(shell.mlops("plan", V2).out.split())
    assert "nothing to do" in shell.mlops("plan").out
