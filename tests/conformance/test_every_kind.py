"""What holds for every kind, whoever wrote it; the bodies are those of the examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mlops import kinds as kinds_room
from mlops import schemas
from mlops.core import ops, specs
from mlops.core.addresses import Address
from mlops.core.digests import digest
from mlops.core.ops import LATE

ROOT = Path(__file__).parents[2]
KINDS = kinds_room.load()
TARGET = {"type": "process", "port": 8421}


def bodies():
    """Yield (kind, name, body) of every resource file of the examples."""
    for path in sorted((ROOT / "examples").glob("*/conf/*/*.yaml")):
        if path.parent.name in KINDS:
            text = path.read_text().replace("${target}", json.dumps(TARGET))
            yield path.parent.name, path.stem, yaml.safe_load(text)


BODIES = list(bodies())
every_kind = pytest.mark.parametrize("name", KINDS)
every_body = pytest.mark.parametrize(("kind", "name", "body"), BODIES, ids=[f"{kind}.{name}" for kind, name, _ in BODIES])


def steps_of(kind, name, body):
    return KINDS[kind].steps(KINDS[kind].Spec.model_validate(body), Address.of(kind, name))


def filled(data):
    """Fill every late value with a digest."""
    if isinstance(data, dict):
        return digest(data[LATE]) if data.keys() == {LATE} else {key: filled(item) for key, item in data.items()}
    return [filled(item) for item in data] if isinstance(data, list) else data


def test_every_kind_is_in_an_example():
    assert {kind for kind, _, _ in BODIES} == set(KINDS)


@every_kind
def test_a_kind_is_whole(name):
    """It has a name that fits its folder, ops with verbs of its own, and undoes what it keeps."""
    kind = KINDS[name]
    assert kind.name == name
    assert kind.ops
    assert all(op.verb.startswith(f"{name}.") for op in kind.ops)
    assert all(op.here == kind.keeps for op in kind.ops)
    assert kind.revision >= 1


@every_kind
def test_every_field_that_a_user_may_write_is_described_or_typed_in_the_schema(name):
    schema = KINDS[name].Spec.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(
        set(field) & {"type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum"} for field in schema["properties"].values()
    )


def test_schemas_on_disk_are_those_of_the_code():
    """`make schemas` writes them anew."""
    on_disk = {path.name: path.read_text() for path in sorted((ROOT / "schemas").glob("*.json"))}
    assert on_disk == schemas.documents(KINDS)


@every_body
def test_an_unknown_field_is_refused(kind, name, body):
    with pytest.raises(ValidationError, match="nonsense"):
        KINDS[kind].Spec.model_validate(body | {"nonsense": 1})


@every_body
def test_a_value_of_a_type_that_no_field_has_is_refused(kind, name, body):
    """A value that the schema does not allow is refused in each field: here one of a shape that no field has."""
    spec = KINDS[kind].Spec
    for field in spec.model_json_schema()["properties"]:
        with pytest.raises(ValidationError):
            spec.model_validate(body | {field: {"no": {"such": [object()]}}})


@every_body
def test_steps_are_a_pure_function_of_the_spec(kind, name, body):
    assert steps_of(kind, name, body) == steps_of(kind, name, body)


@every_body
def test_steps_make_each_output_once_and_nothing_else(kind, name, body):
    spec = KINDS[kind].Spec.model_validate(body)
    made = [output for step in steps_of(kind, name, body) for output in step.outputs]
    assert sorted(made) == sorted(KINDS[kind].outputs(spec))


@every_body
def test_ops_survive_json_late_and_bound(kind, name, body):
    by_verb = {op.verb: op for op in KINDS[kind].ops}
    for step in steps_of(kind, name, body):
        op = by_verb[step.verb]
        for data in (step.op, filled(step.op)):
            plain = json.loads(json.dumps(data))
            assert op.model_validate(plain).model_dump(mode="json") == plain
        values = {read: digest(read) for read in step.reads}
        assert LATE not in json.dumps(ops.bind(step.op, values))


@every_body
def test_every_input_that_a_step_reads_is_asked_for(kind, name, body):
    spec = KINDS[kind].Spec.model_validate(body)
    read = {read[6:] for step in steps_of(kind, name, body) for read in step.reads if read.startswith("input:")}
    assert read == set(KINDS[kind].inputs(spec))


@every_body
def test_a_cosmetic_change_runs_nothing(kind, name, body):
    cosmetic = specs.marked(KINDS[kind].Spec, specs.COSMETIC)
    assert "description" in cosmetic
    assert steps_of(kind, name, body) == steps_of(kind, name, body | {"description": "other words"})
    spec = KINDS[kind].Spec.model_validate(body | {"description": "other words"})
    assert specs.body(spec) != specs.body(KINDS[kind].Spec.model_validate({**body, "description": ""}))


@every_body
def test_a_body_is_read_back_as_it_was_recorded(kind, name, body):
    """What is recorded, without defaults, gives the same spec again."""
    spec = KINDS[kind].Spec.model_validate(body)
    assert KINDS[kind].Spec.model_validate(json.loads(json.dumps(specs.body(spec)))) == spec
