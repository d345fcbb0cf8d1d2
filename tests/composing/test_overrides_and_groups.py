"""Settings groups, environments, overrides and defaults lists work as in Hydra; every value keeps its origin."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from omegaconf import OmegaConf

from mlops.core.settings import StoreSettings


@pytest.fixture
def credit(project):
    """Two resources, two environments, and a choice of files for one of them."""
    project.write("things/credit", "data: [1, 2]\ncolumns:\n  age: {type: int}\n")
    project.write(
        "maker/credit", "things: things.credit\nparams: {depth: 3}\nfree: {size: '${vars.depth}', to: '${target.kind}'}\n"
    )
    project.write(
        "env/prod", "# @package _global_\ndefaults: [override /target: docker]\nmaker: {credit: {params: {depth: 9}}}\n"
    )
    project.write("target/docker", "kind: docker\n")
    return project


def test_the_environment_is_the_option_of_its_group(credit):
    """`env=prod` names the environment, wins over the resources, and may choose other groups' options."""
    composition = credit.compose("env=prod")
    assert composition.settings.environment == "prod"
    assert composition.settings.project == "toy"
    assert composition.resources["maker.credit"].body == {
        "things": "things.credit",
        "params": {"depth": 9},
        "free": {"size": 4, "to": "docker"},
    }
    assert credit.compose().settings.environment == "dev"


def test_without_a_group_env_the_environment_is_dev(project):
    """A config.yaml without a defaults list is enough."""
    project.write("config", "project: small\n")
    project.write("things/a", "data: 1\n")
    composition = project.compose()
    assert (composition.settings.environment, list(composition.resources)) == ("dev", ["things.a"])


def test_store_and_executor_come_from_their_groups(project):
    """The chosen options become typed settings."""
    project.write("config", "defaults: [store: team, _self_]\nexecutor: {workers: 3}\n")
    project.write("store/team", "url: postgresql://db/mlops\n")
    settings = project.compose().settings
    assert settings.store == StoreSettings(url="postgresql://db/mlops")
    assert settings.executor.workers == 3


@pytest.mark.parametrize(
    ("overrides", "params", "free"),
    [
        (["maker.credit.params.depth=5"], {"depth": 5}, {"size": 4, "to": "process"}),
        (["+maker.credit.params.rate=1e-2"], {"depth": 3, "rate": 0.01}, {"size": 4, "to": "process"}),
        (["++maker.credit.params.depth=8"], {"depth": 8}, {"size": 4, "to": "process"}),
        (["~maker.credit.free"], {"depth": 3}, None),
        (["maker.credit.free.size='a, b'"], {"depth": 3}, {"size": "a, b", "to": "process"}),
        (["maker.credit.free.size=[1,{a: null}]"], {"depth": 3}, {"size": [1, {"a": None}], "to": "process"}),
        (["maker.credit.free={size: 1}"], {"depth": 3}, {"size": 1, "to": "process"}),
        (["vars.depth=7"], {"depth": 3}, {"size": 7, "to": "process"}),
        (["target=docker"], {"depth": 3}, {"size": 4, "to": "docker"}),
        (["target.kind=other"], {"depth": 3}, {"size": 4, "to": "other"}),
        (["maker.credit.params.depth=${vars.depth}"], {"depth": 4}, {"size": 4, "to": "process"}),
        (["env=prod", "maker.credit.params.depth=5"], {"depth": 5}, {"size": 4, "to": "docker"}),
    ],
)
def test_the_override_grammar_is_hydras(credit, overrides, params, free):
    """Values, additions, forced additions, deletions, quotes, lists, mappings, groups and interpolations."""
    body = credit.body("maker.credit", *overrides)
    assert (body["params"], body.get("free")) == (params, free)


def test_a_resource_can_be_left_out_added_and_taken_from_another_file(credit):
    """`~kind@kind.name`, `+kind@kind.name=file` and `kind@kind.name=file` work on the defaults list."""
    credit.write("maker/big", "things: things.credit\nparams: {depth: 99}\n")
    assert list(credit.compose("~maker@maker.big").resources) == ["maker.credit", "things.credit"]
    assert credit.body("maker.credit", "maker@maker.credit=big")["params"] == {"depth": 99}
    assert credit.body("maker.twin", "+maker@maker.twin=big")["params"] == {"depth": 99}
    assert credit.body("things.new", "+things.new.data=5")["data"] == 5


def test_config_yaml_may_name_the_options_of_a_kind(credit):
    """Then only those are there; a kind that the list does not name has all of its files."""
    credit.write("maker/big", "things: things.credit\nparams: {depth: 99}\n")
    credit.write("config", "defaults: [maker@maker.main: big, target: local, _self_]\nvars: {depth: 1}\n")
    composition = credit.compose()
    assert list(composition.resources) == ["maker.main", "things.credit"]
    assert str(composition.origins.of("maker.main", "params.depth")) == "conf/maker/big.yaml:2:10"
    credit.write("config", "defaults: [maker: [credit], target: local, _self_]\nvars: {depth: 1}\n")
    assert list(credit.compose().resources) == ["maker.credit", "things.credit"]


def test_a_resource_file_may_have_a_defaults_list(credit):
    """What files have in common stands in a file of conf/ itself, or in another resource."""
    credit.write("common", "free: {from: common}\nparams: {rate: 0.5}\n")
    credit.write("maker/late", "defaults: [/common@_here_, credit, _self_]\nparams: {depth: 1}\n")
    composition = credit.compose()
    assert composition.resources["maker.late"].body == {
        "things": "things.credit",
        "params": {"depth": 1, "rate": 0.5},
        "free": {"from": "common", "size": 4, "to": "process"},
    }
    places = {
        path: str(composition.origins.of("maker.late", path)) for path in ("params.rate", "params.depth", "free.size", "things")
    }
    assert places == {
        "params.rate": "conf/common.yaml:2:10",
        "params.depth": "conf/maker/late.yaml:2:10",
        "free.size": "conf/maker/credit.yaml:3:8",
        "things": "conf/maker/credit.yaml:1:1",
    }


def test_config_yaml_itself_wins_over_everything_before_self(credit):
    """What stands in config.yaml below a kind is merged over the resource's own file."""
    credit.write(
        "config", "defaults: [target: local, env: prod, _self_]\nvars: {depth: 4}\nmaker: {credit: {params: {depth: 11}}}\n"
    )
    assert credit.body("maker.credit")["params"] == {"depth": 11}


@pytest.mark.parametrize(
    ("overrides", "path", "origin"),
    [
        ([], "params.depth", "conf/maker/credit.yaml:2:10"),
        ([], "params", "conf/maker/credit.yaml:2:1"),
        ([], "free.size", "conf/maker/credit.yaml:3:8"),  # the interpolation's line, not the variable's
        ([], "params.rate", "conf/maker/credit.yaml:2:1"),  # a default: the nearest thing above it
        ([], "", "conf/maker/credit.yaml:1:1"),
        (["env=prod"], "params.depth", "conf/env/prod.yaml:3:27"),
        (["env=prod"], "free.size", "conf/maker/credit.yaml:3:8"),
        (["maker.credit.params.depth=6"], "params.depth", "command line: maker.credit.params.depth=6"),
        (["maker.credit.params.depth=6"], "params", "conf/maker/credit.yaml:2:1"),
        (["+maker.credit.free.x={y: [1, 2]}"], "free.x.y.1", "command line: +maker.credit.free.x={y: [1, 2]}"),
        (
            ["maker.credit.params.depth=6", "maker.credit.params.depth=7"],
            "params.depth",
            "command line: maker.credit.params.depth=7",
        ),
    ],
)
def test_every_value_keeps_its_origin(credit, overrides, path, origin):
    """File, line and column, or the override; from the cache too."""
    assert str(credit.compose(*overrides).origins.of("maker.credit", path)) == origin
    assert str(credit.compose(*overrides).origins.of("maker.credit", path)) == origin


def test_settings_have_origins(credit):
    """What stands in config.yaml and the groups, by the group's name."""
    origins = credit.compose("target.kind=docker").origins
    assert str(origins.of("project")) == "conf/config.yaml:2:1"
    assert str(origins.of("vars", "depth")) == "conf/config.yaml:3:8"
    assert str(origins.of("target", "kind")) == "command line: target.kind=docker"
    assert origins.of("nothing") is None


def test_a_variable_may_be_read_where_it_is_allowed(project, monkeypatch):
    """`oc.env` with `allow.env`; the default stands in for a variable that is not set."""
    monkeypatch.setenv("TOY_PATH", "data.csv")
    project.write("config", "allow: {env: [TOY_PATH, TOY_OTHER]}\n")
    project.write("things/a", "data: ['${oc.env:TOY_PATH}', '${oc.env:TOY_OTHER,7}', '${oc.env:TOY_OTHER,null}']\n")
    assert project.body("things.a")["data"] == ["data.csv", "7", None]


def test_a_long_chain_of_interpolations_is_resolved_or_told(project):
    """Twenty links work; where OmegaConf gives up there is a diagnostic and no traceback."""
    project.write("things/t0", "data: end\n")
    for index in range(1, 120):
        project.write(f"things/t{index}", f"data: ${{things.t{index - 1}.data}}\n")
    assert all(": interpolation: " in line for line in project.problems())
    for index in range(21, 120):
        (project.root / f"conf/things/t{index}.yaml").unlink()
    assert project.body("things.t20")["data"] == "end"


def test_an_unset_variable_without_a_default_is_told(project):
    """The name and the way out."""
    project.write("config", "allow: {env: [TOY_UNSET]}\n")
    project.write("things/a", "data: ${oc.env:TOY_UNSET}\n")
    assert project.problems() == [
        "conf/things/a.yaml:1:1: env: the variable TOY_UNSET is not set [set it, or give a default: ${oc.env:TOY_UNSET,default}]"
    ]


def test_allow_cannot_be_reached_by_a_detour(project):
    """A group merged at the top, or an interpolation of a variable, does not set what config.yaml allows."""
    project.write("config", "defaults: [target: local, _self_]\nvars: {yes: true}\n")
    project.write("target/evil", "allow: {commands: true}\n")
    assert "allow" in project.problems("+target@_global_=evil")[0]
    project.write("config", "vars: {open: true}\nallow: {commands: '${vars.open}'}\n")
    assert project.problems()[0].startswith("conf/config.yaml:2:9: type: expected true or false")


def test_a_compiled_resource_has_all_that_planning_needs(credit):
    """Steps, inputs, gates, outputs and references come from the kind; the body leaves defaults out."""
    credit.write("maker/b", "things: things.credit/age\nalso: [things.credit]\n")
    made = credit.compose().resources["maker.b"]
    assert made.body == {"things": "things.credit/age", "also": ["things.credit"]}
    assert made.refs == (("things", "things.credit/age"), ("also.0", "things.credit"))
    assert made.gates == ("things.credit",)
    assert [step.reads for step in made.steps] == [("output:things.credit/table",)]
    cached = credit.compose().resources["maker.b"]
    assert cached == made
    assert type(cached.refs[0][1]) is type(made.refs[0][1])
    assert credit.compose().resources["things.credit"].outputs == ("table", "age")


def test_hydra_leaves_no_trace(credit, tmp_path, monkeypatch, caplog):
    """No folder, no change of directory, no logging, no singleton and no resolver is left behind."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    singletons = dict(Singleton._instances)
    credit.compose("env=prod")
    assert Path.cwd() == tmp_path
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mlops", "conf"]
    assert caplog.records == []
    assert not GlobalHydra.instance().is_initialized()
    assert {key: value for key, value in Singleton._instances.items() if key is not GlobalHydra} == {
        key: value for key, value in singletons.items() if key is not GlobalHydra
    }
    assert OmegaConf.has_resolver("oc.env")
    assert OmegaConf.create({"a": "${oc.env:HOME}"}).a
