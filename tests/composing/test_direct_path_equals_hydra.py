"""The direct path, which most files take, gives what Hydra alone would give."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlops.core.errors import SpecError


def _flow(items: dict[str, str]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in items.items())}}}"


scalars = st.sampled_from(
    [
        "1",
        "-3",
        "0x1f",
        "0b11",
        "017",
        "1_000",
        "1e-3",
        "1.5e3",
        ".5",
        "5.",
        "1:30",
        "2020-01-01",
        "2020-01-01 10:00:00",
        "true",
        "yes",
        "No",
        "on",
        "y",
        "~",
        "null",
        "''",
        "text",
        "'1'",
        '"yes"',
        "a b",
        "'a: b'",
        "=x",
        "é",
        r"'\${x}'",
    ]
)
interpolations = st.sampled_from(
    [
        "${vars.depth}",
        "${vars.name}",
        "pre-${vars.name}-${vars.depth}",
        "${target}",
        "${target.kind}",
        "${vars}",
        "${things.a.data.k1}",
        "${things.b.data}",
        "${things.c-d.data.k2}",
        "${things.${vars.name}.data.k1}",
        "${.k1}",
        "${..data.k1}",
        "${...b.data.k1}",
        "${oc.select:things.a.data.k3,7}",
        "${oc.select:nope,${vars.depth}}",
        "${oc.decode:'[1, 2]'}",
        "${oc.dict.keys:things.b.data}",
        r"'\${vars.name} ${vars.name}'",
    ]
).map(lambda text: text if text.startswith("'") else f'"{text}"')
leaves = scalars | interpolations
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(["k1", "k2", "k3", "7"]), inner, max_size=3).map(_flow)
    ),
    max_leaves=6,
)
mappings = st.fixed_dictionaries({"k1": scalars, "k2": scalars | values}, optional={"k3": values, "k4": values}).map(_flow)
headers = st.sampled_from(["", "", "", "defaults: [/common@_here_, _self_]\n", "# @package things.b\n"])
overrides = st.lists(
    st.sampled_from(
        [
            "env=prod",
            "things.a.data=5",
            "+things.a.data.new=1",
            "++things.b.data.k1={x: [1, '2']}",
            "~things.b.data.k1",
            "things.c-d.data.k1=${vars.depth}",
            "+things.new.data=text",
            "things@things.a=b",
            "~things@things.c-d",
            "vars.depth=9",
            "+things@things.extra=a",
            "target.kind=docker",
            "vars.name='a, b'",
            "things.a.data.k1=1e-3",
            "vars.name=b",
        ]
    ),
    max_size=3,
    unique=True,
)
overlays = st.sampled_from(
    [
        "",
        "things: {a: {data: {k1: 8}}}",
        "vars: {depth: 12}",
        "things: {b: {data: '${vars.name}'}}",
        "things: {extra: {data: 3}}",
        "defaults: [override /target: other]",
        "defaults: [override /things@things.a: b]",
        "defaults: [/common@things.b, _self_]",
    ]
)


def _by_hydra(root: Path, conf: Path, given_overrides: list[str]) -> dict[str, Any]:
    """Compose everything through Hydra's public door, with every file in the defaults list."""
    shutil.copytree(root / "conf", conf)
    names = sorted(file.stem for file in (conf / "things").iterdir())
    entries = ", ".join(f"things@things.{name}: {name}" for name in names)
    config = (conf / "config.yaml").read_text().replace("defaults: [", f"defaults: [{entries}, ")
    (conf / "config.yaml").write_text(config)
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            tree = hydra_compose("config", overrides=given_overrides)
        found = OmegaConf.to_container(tree, resolve=True)
    finally:
        GlobalHydra.instance().clear()
    return {f"things.{name}": item for name, item in found["things"].items()}


@settings(
    max_examples=int(os.environ.get("MLOPS_EXAMPLES", "20")),  # a third of a second each, nearly all of it Hydra's
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.fixed_dictionaries({name: st.tuples(headers, mappings) for name in ("a", "b", "c-d")}),
    overlay=overlays,
    own=overlays.filter(lambda text: "defaults" not in text and "vars: " not in text),
    given_overrides=overrides,
)
@example(  # a file that another includes, and whose package header leads elsewhere
    files={
        "a": ("defaults: [c-d, _self_]\n", "{k1: 1, k2: 2}"),
        "b": ("", "{k1: 1, k2: 2}"),
        "c-d": ("# @package things.b\n", "{k1: 3, k2: 4}"),
    },
    overlay="",
    own="",
    given_overrides=[],
)
@example(  # a chain of interpolations through a file that Hydra merges and one that it does not
    files={
        "a": ("", "{k1: '${things.b.data}', k2: 1}"),
        "b": ("defaults: [/common@_here_, _self_]\n", "{k1: '${things.c-d.data.k2}', k2: 1}"),
        "c-d": ("", "{k1: 3, k2: 4}"),
    },
    overlay="things: {a: {data: {k2: 8}}}",
    own="",
    given_overrides=[],
)
@example(  # interpolations that climb out of their file
    files={
        "a": ("", "'${..b.data.k1}'"),
        "b": ("", "{k1: 1, k2: 2}"),
        "c-d": ("", "['${...b.data.k2}']"),
    },
    overlay="",
    own="",
    given_overrides=[],
)
def test_any_project_composes_as_with_hydra_alone(make_project, files, overlay, own, given_overrides):
    """Resources are equal to Hydra's, whichever files go direct; where Hydra refuses a project, so do we."""
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project")
        project.write("common", "data: {k9: common}\n")
        project.write("target/other", "kind: other\n")
        project.write("env/prod", f"# @package _global_\n{overlay}\n")
        if own:
            config = project.root / "conf/config.yaml"
            config.write_text(
                config.read_text().replace("vars: {depth: 4, name: x}\n", "") + f"vars: {{depth: 4, name: b}}\n{own}\n"
            )
        for name, (header, data) in files.items():
            project.write(f"things/{name}", f"{header}data: {data}\n")
        try:
            expected = _by_hydra(project.root, Path(folder) / "conf", given_overrides)
        except (HydraException, OmegaConfBaseException, RecursionError) as error:
            expected = error
        if isinstance(expected, Exception):
            event("refused")
            with pytest.raises(SpecError):
                project.compose(*given_overrides)
            return
        found = {str(address): resource for address, resource in project.compose(*given_overrides).resources.items()}
        assert {name: resource.body.get("data") for name, resource in found.items()} == {
            name: json.loads(json.dumps(item.get("data"))) for name, item in expected.items()
        }
