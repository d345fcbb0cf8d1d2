"""The docker target: what its spec may be, what is said of what is found, and what serves after a kill; the doors are lists."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from mlops.core.addresses import Address
from mlops.core.fronts import FoundFront, Release, Replica
from mlops.core.settings import Allow
from mlops.core.states import Record, StepRecord
from mlops.kinds.rollout import Rollout, RolloutSpec
from mlops.kinds.rollout.docker import _known, observe, undo
from mlops.kinds.rollout.sites import Tracks, called, tracks_of

ADDRESS = Address("rollout.credit")
TARGET = {"type": "docker", "port": 8080}
YAML = {"serves": "container.credit", "target": TARGET}
V1 = Release("aaaaaaaaaaaa", "sha256:1", "sha256:m1", "credit", "v1", 8080)
V2 = Release("bbbbbbbbbbbb", "sha256:2", "sha256:m2", "credit", "v2", 8080)
FACTS = {"engine_id": "E1", "address": "127.0.0.1:8080", "release": V1.id, "replicas": 2, "url": "http://127.0.0.1:8080"}


def spec(**changes):
    return RolloutSpec.model_validate(YAML | changes)


def problems(allow=None, **changes):
    return {one.path: one.summary for one in Rollout().check(spec(**changes), lambda _: None, allow or Allow())}


def replicas(release, count=2, state="running", **more):
    return tuple(Replica(f"credit-{release.id}-{number}", release, state, **more) for number in range(1, count + 1))


def front(release=V1, count=2, **changes):
    servers = {"stable": {f"{one.name}:8080": True for one in replicas(release, count)}, "candidate": {}}
    return replace(FoundFront("127.0.0.1:8080", "", servers), **changes)


def seen(found, proxy, identity="E1", facts=None):
    """Return what observing says."""
    containers = SimpleNamespace(look=lambda *_: found, identity=lambda _: identity)
    world = SimpleNamespace(containers=containers, proxies=SimpleNamespace(look=lambda *_: proxy))
    step = StepRecord("key", {}, {}, FACTS if facts is None else facts, 1.0, "2026-11-24T12:00:00Z")
    return observe(Record(ADDRESS, {"target": TARGET}, "digest", {"deliver": step}), world).value


@pytest.mark.parametrize(
    "changes",
    [
        {"target": {"type": "docker"}},
        {"target": {**TARGET, "host": "example.org"}},
        {"target": {**TARGET, "engine": {"host": "tcp://docker:2376"}}},
        {"target": {**TARGET, "proxy": {"image": ""}}},
        {"sticky": "x user"},
        {"memory": "1MiB"},
        {"cpus": 0},
        {"strategy": {"canary": {}, "rolling": {}}},
    ],
)
def test_a_wrong_field_is_refused(changes):
    with pytest.raises(ValidationError):
        spec(**changes)


def test_a_container_is_served_by_its_image_and_delivered_in_this_process():
    (step,) = Rollout().steps(spec(port=9090), ADDRESS)
    assert (step.name, step.verb, step.outputs, step.here) == ("deliver", "rollout.deliver", ("serving",), True)
    assert set(step.reads) == {"output:container.credit/image"}
    assert step.op["port"] == 9090
    assert Rollout().inputs(spec()) == {}


def test_each_target_serves_its_own_kind():
    assert problems() == {}
    assert problems(serves="model.credit")["serves"] == "a docker target serves a container, and model.credit is a model"
    assert problems(serves="container.credit/proof")["serves"].startswith("'container.credit/proof' cannot be served")
    assert "ready_timeout" in problems(ready_timeout=5)


def test_processes_have_no_proxy_and_say_which_weights_they_reach():
    target = {"type": "process", "port": 8080}
    canary = {"canary": {"steps": [{"weight": 5}]}}
    process = RolloutSpec.model_validate({"serves": "model.credit", "target": target, "strategy": canary, "sticky": "x-user"})
    found = {one.path: one for one in Rollout().check(process, lambda _: None, Allow())}
    assert found["strategy.canary"].summary == "`canary` needs a target with a proxy: docker"
    assert "1 replica without a proxy can reach the weights 0, 100 % only" in found["strategy.canary"].hint
    assert "sticky" in found


def test_programs_need_the_projects_leave():
    canary = {"canary": {"steps": [{"weight": 5}, {"gate": {"command": ["ask"]}}]}}
    assert problems(strategy=canary) == {"strategy.canary.steps.1.gate": "the project does not allow commands"}
    assert problems(Allow(commands=True), strategy=canary) == {}


@pytest.mark.parametrize(
    ("found", "proxy", "words"),
    [
        (replicas(V1), front(), None),
        (replicas(V1, 1), front(count=1), "1 of 2 replicas are there"),
        (
            (*replicas(V1, 1), replace(replicas(V1)[1], state="dead", ended="exit code 137")),
            front(),
            "replica credit-aaaaaaaaaaaa-2 does not run (exit code 137)",
        ),
        (replicas(V1), front(count=1), "replica credit-aaaaaaaaaaaa-2 is not ready"),
        ((*replicas(V1), *replicas(V2, 1)), front(), "replicas of version v2 are there, from a delivery that nobody attends to"),
        (replicas(V1), FoundFront(None, "there is no proxy"), "nobody answers on 127.0.0.1:8080: there is no proxy"),
        (replicas(V1), front(address="127.0.0.1:9"), "the proxy listens on 127.0.0.1:9, not on 127.0.0.1:8080"),
        (replicas(V1), front(weight=2500), "25 % of the requests go to a candidate"),
    ],
)
def test_differences_are_said_in_words(found, proxy, words):
    assert seen(found, proxy) == words


def test_another_engine_and_an_unfinished_delivery_are_said():
    assert seen(replicas(V1), front(), identity="E2") == "another engine answers (E2, not E1)"
    assert seen((), FoundFront(None, "there is no proxy"), facts={}) == "its delivery did not finish"


def test_what_serves_is_noted_and_else_what_most_replicas_are():
    noted = Tracks(V1, V2, ()).as_json()
    assert tracks_of(noted) == Tracks(V1, V2, ())
    assert _known(noted, (*replicas(V1), *replicas(V2)), front()) == Tracks(V1, V2, ())
    assert _known(None, (*replicas(V1, 1), *replicas(V2)), front()).stable == V2
    assert _known(None, (), front()).stable is None


def test_a_candidate_that_answers_everything_alone_is_what_serves():
    """The kill came between the end of the old version and the note of the new one."""
    known = _known(Tracks(V1, V2, ()).as_json(), replicas(V2), front(weight=10000))
    assert (known.stable, known.former) == (V2, (V1,))
    assert _known(Tracks(None, V2, ()).as_json(), replicas(V2), front(weight=10000)).stable is None


def test_the_last_three_versions_are_kept():
    tracks = Tracks(V1, V2, tuple(replace(V1, id=f"{number}" * 12) for number in range(4)))
    assert tracks.delivered() == Tracks(V2, None, (V1, *tracks.former[:2]))
    assert Tracks(V1, V1, ()).delivered() == Tracks(V1, None, ())


def test_two_releases_of_one_version_are_told_apart():
    other = replace(V1, id="cccccccccccc")
    assert (called(V1, V2), called(other, V1), called(V1, None)) == ("v1", "v1+cccccccccccc", "v1")


def test_undoing_an_unfinished_delivery_takes_the_engine_from_the_spec():
    body = {"target": {**TARGET, "engine": {"host": "ssh://deploy@gpu"}}, "drain": 3.0}
    op = undo(Record(ADDRESS, body, "digest", {}, complete=False), 10.0)
    assert (op.engine.host, op.drain, op.rollout) == ("ssh://deploy@gpu", 3.0, "rollout.credit")
