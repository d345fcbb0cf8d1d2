"""Long repeats of deliveries: `make soak`."""

from __future__ import annotations

import random
import time

import pytest

from harbour import Load
from stands import GREEN, killed_apply, project_on

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("strategy", GREEN)
def test_twenty_deliveries_in_a_row_fail_no_request(harbour, strategy):
    harbour.deliver("v0")
    with Load(harbour.address) as load:
        for number in range(1, 21):
            made, notes = harbour.deliver(f"v{number}", **GREEN[strategy])
            assert made.facts["version"] == f"v{number}"
            if strategy == "canary":
                since, until = notes.when("pause"), notes.when("the switch")
                assert load.counts(since, until).total() >= 4000
                assert abs(load.share(f"v{number}", since, until) - 25) <= 2
    assert load.failures == []


def test_twenty_kills_at_random_moments_stop_no_traffic(engine, tmp_path):
    shell, harbour = project_on(engine, tmp_path, {"v1": "none", "v2": "none"})
    chance = random.Random(7)  # noqa: S311 - moments are no secrets
    shell.apply()
    try:
        with Load(harbour.address, clients=2) as load:
            for number in range(20):
                version = f"v{2 - number % 2}"
                # The way back to a former version has no steps: another release of the same version is none.
                words = [f"rollout.credit.serves=container.{version}", f"+rollout.credit.memory={256 + number}MiB"]
                killed_apply(shell, chance.uniform(2, 20), *words)
                time.sleep(chance.uniform(0, 2))
                shell.apply(*words)
                assert harbour.versions() == [version, version]
        assert load.failures == []
    finally:
        harbour.remove()
