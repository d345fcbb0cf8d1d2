"""The doors to proxies and to replicas in containers, on a real engine with a real HAProxy."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from dataclasses import replace

import pytest

from mlops.core.fronts import Front

from engines import IMAGE
from harbour import ROLLOUT, Harbour, Load, eventually

ROUTE = ("x-canary", "always")


class Stand:
    """Two versions behind a proxy."""

    def __init__(self, harbour: Harbour) -> None:
        world = harbour.world()
        self.containers, self.proxies, self.engine, self.address = (
            world.containers,
            world.proxies,
            harbour.rig.engine,
            harbour.address,
        )
        self.prefix, self.client = f"mlops.{harbour.project}.dev.credit", harbour.rig.client
        self.groups = {"stable": harbour.group("v1", count=2), "candidate": harbour.group("v2", count=1)}
        servers = {track: self.containers.names(group) for track, group in self.groups.items()}
        self.front = Front(ROLLOUT, IMAGE, *harbour.address, "credit", servers, headers=(ROUTE,), sticky="x-user", drain=5)

    def start(self) -> None:
        """Have both versions whole, and all requests go to the first."""
        for group in self.groups.values():
            self.containers.ensure(self.engine, group, print)
        servers = {track: self.containers.names(group) for track, group in self.groups.items()}
        self.ensure(servers=servers, weight=0, header=None)

    def ensure(self, **changes) -> None:
        """Have it so, and wait until every server gets requests."""
        self.front = replace(self.front, **changes)
        eventually(self.is_so)

    def is_so(self) -> bool:
        self.proxies.ensure(self.engine, self.front, print)
        found = self.proxies.look(self.engine, ROLLOUT)
        return all(
            set(found.servers[track]) == set(names) and all(found.servers[track].values())
            for track, names in self.front.servers.items()
        )

    def ask(self, **headers) -> tuple[str, str]:
        url = f"http://{self.address[0]}:{self.address[1]}/v2/models/credit"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.headers["x-mlops-version"], answer.headers["x-mlops-track"]


@pytest.fixture(scope="module")
def begun(engine, tmp_path_factory):
    """Give two versions behind a proxy, for all tests of this file."""
    harbour = Harbour(engine, tmp_path_factory.mktemp("harbour"))
    made = Stand(harbour)
    made.start()
    yield made
    harbour.remove()


@pytest.fixture
def stand(begun):
    """Give the two versions, both whole, with all requests to the first."""
    begun.start()
    return begun


def test_weights_are_within_two_points_over_4000_requests(stand):
    for percent in (10, 50):
        stand.ensure(weight=percent * 100)
        with Load(stand.address) as load:
            eventually(lambda: len(load.answers) >= 4000, 60)
        assert load.failures == []
        assert abs(load.share("v2") - percent) <= 2
    probed = Counter(answer.version for answer in stand.proxies.probe(stand.engine, ROLLOUT, "/v2/models/credit", 1000))
    assert abs(probed["v2"] / 10 - 50) <= 7  # four deviations of 1000 throws of a coin
    assert probed.total() == 1000


def test_routes_by_header_and_sticky_values_need_no_reload(stand):
    client = stand.proxies
    stand.ensure(header=ROUTE)
    assert stand.ask(**{"x-canary": "always"}) == ("v2", "candidate")
    assert stand.ask(**{"x-canary": "never"}) == stand.ask() == ("v1", "stable")
    stand.ensure(header=None, weight=5000)
    assert client.look(stand.engine, ROLLOUT).header is None
    answers = {user: {stand.ask(**{"x-user": user})[0] for _ in range(3)} for user in map(str, range(40))}
    assert all(len(versions) == 1 for versions in answers.values())
    assert {version for versions in answers.values() for version in versions} == {"v1", "v2"}


def test_servers_leave_under_load_without_a_failed_request(stand):
    stand.ensure(weight=5000)
    with Load(stand.address) as load:
        time.sleep(0.5)
        stand.ensure(servers={"stable": stand.front.servers["stable"][:1], "candidate": ()}, weight=0)
        stand.containers.stop(stand.engine, ROLLOUT, [stand.containers.names(stand.groups["candidate"])[0].partition(":")[0]], 5)
        time.sleep(0.5)
    assert load.failures == []
    assert [one.release.version for one in stand.containers.look(stand.engine, ROLLOUT)] == ["v1", "v1"]


def test_a_proxy_that_was_killed_comes_back_as_it_was(stand):
    stand.ensure(weight=10000)
    client = stand.client()
    client.api.restart(f"{stand.prefix}.proxy", timeout=0)
    client.close()
    eventually(lambda: stand.ask() == ("v2", "candidate"))
    found = stand.proxies.look(stand.engine, ROLLOUT)
    assert (found.weight, found.address) == (10000, "{}:{}".format(*stand.address))


def test_a_candidate_without_a_server_is_answered_for_by_the_stable_version(stand):
    stand.ensure(weight=10000, servers={**stand.front.servers, "candidate": ()})
    assert stand.ask() == ("v1", "stable")


def test_a_replica_that_starts_again_with_another_address_is_found(stand):
    client = stand.client()
    names = [f"{stand.prefix}.{server.partition(':')[0]}" for server in stand.front.servers["stable"]]
    for name in names:
        client.api.kill(name)
    for name in reversed(names):
        client.api.start(name)
    client.close()
    eventually(lambda: stand.is_so() and stand.ask() == ("v1", "stable"))


def test_a_replica_can_do_little_but_answer(stand):
    client = stand.client()
    found = client.api.inspect_container(f"{stand.prefix}.{stand.front.servers['stable'][0].partition(':')[0]}")
    client.close()
    limits = found["HostConfig"]
    assert found["Config"]["User"] == "65532:65532"
    assert (limits["ReadonlyRootfs"], limits["CapDrop"], limits["Privileged"]) == (True, ["ALL"], False)
    assert limits["SecurityOpt"] == ["no-new-privileges"]
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert not found["NetworkSettings"]["Ports"].get("8080/tcp")


def test_a_replica_is_asked_from_inside(stand):
    status, body = stand.containers.ask(stand.engine, ROLLOUT, stand.front.servers["stable"][0], ("GET", "/metrics", None))
    assert status == 200
    assert b"mlops_requests_total" in body


def test_notes_outlive_the_proxy_and_go_with_it(stand):
    stand.proxies.note(stand.engine, ROLLOUT, {"stable": "v1"})
    client = stand.client()
    client.api.kill(f"{stand.prefix}.proxy")
    client.close()
    assert stand.proxies.noted(stand.engine, ROLLOUT) == {"stable": "v1"}
    stand.proxies.remove(stand.engine, ROLLOUT)
    assert stand.proxies.noted(stand.engine, ROLLOUT) is None
