"""The JSON Schemas that editors read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import jsonschema
import pytest
from pydantic import Field

from mlops import kinds, schemas
from mlops.core import plans, specs
from mlops.core.addresses import Address, Ref
from mlops.core.diagnostics import Origin
from mlops.core.errors import StateError
from mlops.core.plans import FORMAT, Action, Change, Do, FieldChange, Plan, Reason, Step, When
from mlops.core.resources import Kind
from mlops.core.specs import To


class Part(specs.Spec):
    """A part."""

    size: int = Field(ge=1, description="How large")
    sort: Literal["a", "b"] = "a"


class ThingSpec(specs.Spec):
    """A thing.

    With more words that editors need not show.
    """

    dataset: Annotated[Ref, To("dataset")]
    part: Part | None = None
    label: str = ""
    parts: tuple[Part, ...] = ()


class Thing(Kind):
    """Things."""

    name: ClassVar[str] = "thing"
    Spec: ClassVar[type[specs.Spec]] = ThingSpec


SCHEMA = schemas.of_kind(Thing())


def is_valid(value):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_a_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert (SCHEMA["title"], SCHEMA["description"]) == ("thing", "A thing.")
    assert SCHEMA["$defs"]["Part"]["properties"]["size"]["description"] == "How large"


@pytest.mark.parametrize(
    "value",
    [
        {"dataset": "dataset.credit/train"},
        {"dataset": "${data}"},
        {"dataset": "dataset.a", "part": {"size": 3}},
        {"dataset": "dataset.a", "part": {"size": "${size}", "sort": "${sort}"}},
        {"dataset": "dataset.a", "part": "${part}", "parts": [{"size": 1}]},
        {"dataset": "dataset.a", "defaults": ["base", "_self_"]},
    ],
)
def test_an_editor_takes_what_mlops_takes_interpolations_and_defaults_lists_included(value):
    assert is_valid(value)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"dataset": "model.a"},
        {"dataset": "dataset.a", "lable": "x"},
        {"dataset": "dataset.a", "part": {"size": 0}},
        {"dataset": "dataset.a", "part": {"size": "three"}},
        {"dataset": "dataset.a", "part": {"size": 1, "sort": "c"}},
        {"dataset": "dataset.a", "label": 3},
    ],
)
def test_an_editor_marks_what_mlops_refuses(value):
    assert not is_valid(value)


def test_every_plan_fits_the_schema_of_plans_and_a_changed_one_does_not():
    address = Address("model.credit")
    change = Change(
        address,
        Action.REPLACE,
        (Reason("input", {"name": "source", "before": None, "after": {"a": 1}}),),
        (FieldChange("seed", 7, 8, origin=Origin("conf/model/credit.yaml", 1, 2)), FieldChange("x", None, [1, {"a": None}])),
        condition=("dataset.a/train",),
        seconds=1.5,
    )
    step = Step("model.credit/fit", address, "fit", Do.RUN, "model.fit", {"seed": 8}, when=(When.RECORDED,), key=None)
    data = plans.to_json(plans.identify(Plan(FORMAT, "", "credit", "dev", (change,), (step,), {"model.credit": 3})))
    schema = schemas.of_plans()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(data)
    assert not validator.is_valid({**data, "changes": [{**data["changes"][0], "action": "?"}]})
    assert not validator.is_valid({name: part for name, part in data.items() if name != "steps"})
    assert not validator.is_valid({**data, "steps": [{**data["steps"][0], "do": "guess"}]})


@pytest.mark.parametrize(
    ("config", "valid"),
    [
        ({"defaults": [{"env": "dev"}, "_self_"], "project": "credit", "allow": {"commands": True}}, True),
        ({"project": "credit", "target": {"type": "process"}, "vars": {"a": 1}, "thing": {"a": {"label": "x"}}}, True),
        ({"project": "Credit!"}, False),
        ({"environment": "dev"}, False),
        ({"store": {"urll": "x"}}, False),
    ],
)
def test_the_schema_of_config_yaml_takes_settings_groups_and_fields_of_resources(config, valid):
    schema = schemas.of_settings({"thing": Thing()})
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(config) is valid


def test_schemas_are_written_one_for_each_kind_and_one_for_each_document(tmp_path):
    paths = schemas.write(tmp_path / "schemas", {"thing": Thing()})
    assert [path.name for path in paths] == ["config.json", "events.json", "plan.json", "thing.json"]
    assert json.loads(paths[3].read_text()) == SCHEMA
    assert schemas.write(tmp_path / "schemas", {"thing": Thing()}) == paths


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "schemas").write_text("")
    with pytest.raises(StateError, match="schemas cannot be written"):
        schemas.write(tmp_path / "schemas", {})


def test_the_schemas_of_the_repository_are_those_of_the_code():
    folder = Path(__file__).parents[1] / "schemas"
    if not folder.is_dir():
        pytest.skip("no schemas/ in the repository: make schemas")
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == schemas.documents(kinds.load())
