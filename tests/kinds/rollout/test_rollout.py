"""The rollout kind: its spec, its step, what it says of what it finds; the door to processes is a list of calls."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from mlops.core.addresses import Address, Ref
from mlops.core.ops import bind, key
from mlops.core.settings import Allow
from mlops.core.specs import COSMETIC, REPLACES, body, is_marked, marked
from mlops.core.states import Record, StepRecord
from mlops.core.worlds import Fleet, ObservedFleet, ObservedReplica
from mlops.kinds.rollout import Rollout, RolloutSpec
from mlops.kinds.rollout.process import Deploy, Stop

ADDRESS = Address("rollout.credit")
ARTIFACT = "sha256:0123456789abcdef" + "0" * 48
VERSION = "0123456789ab"
HANDLE = {"host": "blue", "machine": "m1", "supervisor": "rollout.credit-1"}
YAML = {"serves": "model.credit", "target": {"type": "process", "port": 8080}}
READY = ObservedReplica(11, VERSION, "ready", "2026-11-24T12:00:00+00:00", "", "log")
KIND = Rollout()


class _Processes:
    """A door that notes what it is told, and finds `found`."""

    def __init__(self, found=None):
        self.calls = []
        self.found = found

    def handle(self, name):
        return {**HANDLE, "supervisor": f"{name}-1"}

    def deploy(self, fleet, folder, _say):
        self.calls.append(("deploy", fleet, folder))

    def look(self, handle):
        self.calls.append(("look", handle))
        return self.found

    def stop(self, handle, drain):
        self.calls.append(("stop", handle, drain))


def world(processes):
    artifacts = SimpleNamespace(folder=lambda digest: f"folder of {digest}")
    return SimpleNamespace(processes=processes, artifacts=artifacts, report=SimpleNamespace(progress=None))


def spec(**changes):
    return RolloutSpec.model_validate({**YAML, **changes})


def deploy_of(spec, machine="m1", artifact=ARTIFACT):
    """Return the bound op and the key of the spec's step."""
    (step,) = KIND.steps(spec, ADDRESS)
    values = {"input:machine": machine, "output:model.credit/artifact": artifact}
    return Deploy.model_validate(bind(step.op, values)), key(step.digest, step.reads, values)


def record(facts, **body):
    step = StepRecord("key", {}, {"serving": ARTIFACT}, facts, 1.0, "2026-11-24T12:00:00Z")
    return Record(ADDRESS, body, "digest", {"deploy": step})


def deployed(**changes):
    processes = _Processes()
    return deploy_of(spec(**changes))[0].run(world(processes)), processes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("replicas", 0),
        ("ready_timeout", 0),
        ("drain", -1),
        ("serves", "dataset"),
        ("target", {"type": "process"}),
        ("target", {"type": "ship", "port": 8080}),
        ("target", {"type": "process", "port": 0}),
        ("target", {"type": "process", "port": 8080, "host": "a b"}),
        ("weight", 5),
    ],
)
def test_a_wrong_field_is_refused(field, value):
    with pytest.raises(ValidationError):
        spec(**{field: value})


@pytest.mark.parametrize(
    ("serves", "words"),
    [
        ("container.credit", "a process target serves a model, and container.credit is a container"),
        ("model.credit/metrics", "'model.credit/metrics' cannot be served: it is not the model itself"),
    ],
)
def test_only_a_model_can_be_served_by_processes(serves, words):
    (problem,) = KIND.check(spec(serves=serves), lambda _: None, Allow())
    assert (problem.summary, problem.path) == (words, "serves")


@pytest.mark.parametrize("serves", ["model.credit", "model.credit/artifact"])
def test_a_model_is_served_by_its_artifact(serves):
    assert list(KIND.check(spec(serves=serves), lambda _: None, Allow())) == []
    (step,) = KIND.steps(spec(serves=serves), ADDRESS)
    assert set(step.reads) == {"input:machine", "output:model.credit/artifact"}
    assert (step.name, step.verb, step.outputs, step.here) == ("deploy", "rollout.deploy", ("serving",), True)


@pytest.mark.parametrize("path", ["target.host", "target.port", "target.type", "port"])
def test_another_address_replaces(path):
    assert is_marked(path, marked(RolloutSpec, REPLACES))


@pytest.mark.parametrize("path", ["replicas", "serves", "requires", "ready_timeout", "drain", "description"])
def test_anything_else_is_updated_in_place(path):
    assert not is_marked(path, marked(RolloutSpec, REPLACES))


def test_a_description_is_cosmetic_and_no_part_of_the_key():
    assert marked(RolloutSpec, COSMETIC) == {"description"}
    assert deploy_of(spec(description="a"))[1] == deploy_of(spec())[1]


def test_required_tests_are_gates_and_no_part_of_the_key():
    required = spec(requires=["test.credit"])
    assert KIND.gates(required) == (Ref("test.credit"),)
    assert deploy_of(required)[1] == deploy_of(spec())[1]


@pytest.mark.parametrize(
    "change", [{"replicas": 2}, {"port": 9090}, {"ready_timeout": 9}, {"drain": 9}, {"serves": "model.other"}]
)
def test_what_is_deployed_is_part_of_the_key(change):
    assert deploy_of(spec(**change))[1] != deploy_of(spec())[1]


def test_the_machine_is_part_of_the_key():
    (request,) = KIND.inputs(spec()).values()
    assert (request.door, request.field) == ("host", "target")
    assert deploy_of(spec(), machine="m2")[1] != deploy_of(spec())[1]


def test_defaults_are_not_recorded():
    assert body(spec(replicas=1)) == YAML


def test_a_deploy_asks_for_the_fleet_of_the_spec():
    made, processes = deployed(replicas=3, port=9090, ready_timeout=5, drain=1)
    fleet = Fleet("rollout.credit", "m1", "127.0.0.1", 9090, "credit", VERSION, 3, 5.0, 1.0)
    assert processes.calls == [("deploy", fleet, f"folder of {ARTIFACT}")]
    assert made.outputs == {"serving": ARTIFACT}
    own = {"address": "127.0.0.1:9090", "url": "http://127.0.0.1:9090", "model": "credit", "version": VERSION, "replicas": 3}
    assert made.facts == {**HANDLE, **own}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - nothing is bound here
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
    ],
)
def test_the_url_is_where_a_client_on_this_machine_finds_it(host, url):
    assert deployed(target={"type": "process", "host": host, "port": 8080})[0].facts["url"] == url


DEAD = replace(READY, state="dead", ended="signal 9 at 2026-11-24 12:03:05 UTC")
FOUND = "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("address", "replicas", "words"),
    [
        (FOUND, [READY, READY, READY], None),
        (FOUND, [READY, DEAD, READY], "replica 2 of 3 died (signal 9 at 2026-11-24 12:03:05 UTC)"),
        (FOUND, [replace(READY, state="unready"), READY, READY], "replica 1 of 3 is not ready"),
        (FOUND, [replace(READY, state="stopping"), READY, READY], "replica 1 of 3 is being stopped"),
        (FOUND, [READY, READY, replace(READY, version="ba")], f"replica 3 of 3 serves version ba, not {VERSION}"),
        (FOUND, [READY, READY], "2 replicas are there, not 3"),
        (FOUND, [READY, DEAD], "2 replicas are there, not 3; replica 2 of 2 died (signal 9 at 2026-11-24 12:03:05 UTC)"),
        ("127.0.0.1:9090", [READY, READY, READY], "it listens on 127.0.0.1:9090, not on 127.0.0.1:8080"),
        (None, [], "no supervisor runs: nobody answers on 127.0.0.1:8080"),
    ],
)
def test_what_is_not_as_recorded_is_told_in_words(address, replicas, words):
    made, _ = deployed(replicas=3)
    processes = _Processes(ObservedFleet(address, tuple(replicas)))
    observed = KIND.observe(record(made.facts), world(processes))
    assert observed.value == words
    assert processes.calls == [("look", HANDLE)]
    assert len(observed.facts["replicas"]) == len(replicas)


def test_a_record_without_facts_is_of_a_deploy_that_did_not_finish():
    assert KIND.observe(record({}), world(_Processes(ObservedFleet(None, ())))).value == "its deploy did not finish"


@pytest.mark.parametrize(("given", "drain"), [({"drain": 3.0}, 3.0), ({}, 10.0)])
def test_undo_stops_what_the_record_names(given, drain):
    made, _ = deployed()
    processes = _Processes()
    op = KIND.undo(record(made.facts, **given))
    Stop.model_validate(op.model_dump(mode="json")).run(world(processes))
    assert processes.calls == [("stop", HANDLE, drain)]


def test_undo_of_an_unfinished_deploy_stops_what_this_machine_has():
    processes = _Processes()
    KIND.undo(record({})).run(world(processes))
    assert processes.calls == [("stop", HANDLE, 10.0)]
