"""The docker target as a user has it: `mlops apply`, killed and repeated, and what plan says of things that were killed."""

from __future__ import annotations

import time

import pytest

from harbour import Load, eventually
from stands import killed_apply, project_on


@pytest.fixture
def stand(engine, tmp_path):
    """Give a project whose version v1 serves on the tests' engine."""
    shell, harbour = project_on(engine, tmp_path, {"v1": "none", "v2": "none", "v3": "errors:0.5", "v4": "none"})
    shell.apply()
    yield shell, harbour
    harbour.remove()


def test_an_apply_after_kill_9_goes_on_and_traffic_never_stops(stand):
    """Killed while the candidate begins, and while it has traffic; `make soak` has 20 random moments."""
    shell, harbour = stand
    for seconds, version in ((7, "v2"), (13, "v4")):
        serves = f"rollout.credit.serves=container.{version}"
        with Load(harbour.address, clients=2) as load:
            killed_apply(shell, seconds, serves)
            time.sleep(1)
            shell.apply(serves)
        assert load.failures == []
        assert harbour.versions() == [version, version]
        assert shell.changes(serves).get("rollout.credit", "noop") == "noop"


def test_a_version_that_takes_itself_back_ends_apply_with_exit_code_3(stand):
    shell, harbour = stand
    shell.edit(
        "conf/rollout/credit.yaml",
        "{pause: 3}, {weight: 50}, {pause: 3}]",
        "{analyse: 60}], analysis: {error_rate: {max: 0.01, min_samples: 20}, interval: 1}",
    )
    with Load(harbour.address, clients=2):
        ended = shell.apply("rollout.credit.serves=container.v3", code=3)
    assert "error_rate failed" in ended.out + ended.err
    assert harbour.versions() == ["v1", "v1"]


def test_what_was_killed_is_seen_by_plan_and_restored_by_apply(stand):
    shell, harbour = stand
    client = harbour.rig.client()
    replicas = [
        one["Id"]
        for one in client.api.containers(filters={"label": [f"dev.mlops.project={harbour.project}", "dev.mlops.role=replica"]})
    ]
    proxy = f"mlops.{harbour.project}.dev.credit.proxy"
    with Load(harbour.address, clients=2) as load:
        client.api.kill(replicas[0])
        said = shell.mlops("plan").out
        assert "does not run (exit code 137" in said
        shell.apply()
    assert len(load.failures) <= 4  # what the replica had in flight
    assert harbour.versions() == ["v1", "v1"]
    client.api.kill(proxy)
    said = shell.mlops("plan").out
    assert f"nobody answers on {harbour.rig.address}:{harbour.port}: its proxy does not run" in said
    shell.apply()
    with Load(harbour.address, clients=1) as load:
        time.sleep(0.5)
    assert load.failures == []
    client.api.remove_container(proxy, force=True)
    assert "there is no proxy" in shell.mlops("plan").out
    shell.apply()
    assert "nothing to do" in shell.mlops("plan").out
    client.close()


def test_destroy_leaves_nothing_on_the_engine(stand):
    shell, harbour = stand
    shell.mlops("destroy", "--yes", "rollout.credit")
    client = harbour.rig.client()
    own = {"label": f"dev.mlops.project={harbour.project}"}
    assert client.api.containers(all=True, filters=own) == []
    assert client.api.volumes(filters=own)["Volumes"] in (None, [])
    assert client.api.networks(filters=own) == []
    client.close()


def test_all_comes_back_when_the_engine_was_killed(own_engine, tmp_path):
    rig = own_engine()
    shell, harbour = project_on(rig, tmp_path, {"v1": "none"})
    shell.apply()
    rig.kill()
    ended = shell.mlops("plan", code=1)
    assert "Docker engine" in ended.out + ended.err
    rig.start()
    eventually(lambda: len(harbour.versions()) == 2)
    shell.apply()
    with Load(harbour.address, clients=1) as load:
        time.sleep(0.5)
    assert load.failures == []
    assert load.answers
    assert "nothing to do" in shell.mlops("plan").out
    harbour.remove()
