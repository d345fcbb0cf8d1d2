"""`lifecycle` beside a spec, the lists of addresses in config.yaml, and the settings alone."""

from __future__ import annotations

import pytest

from mlops.composing import compositions
from mlops.core.errors import SpecError
from mlops.core.resources import PLAIN

A = "things.a"


def test_a_lifecycle_stands_beside_the_spec_and_is_no_part_of_it(project):
    project.write("things/a", "data: x\nsource: {path: f}\nlifecycle: {prevent_destroy: true, ignore_changes: [data]}\n")
    for _ in range(2):  # composed, then cached
        resource = project.compose().resources[A]
        assert resource.lifecycle.prevent_destroy
        assert resource.lifecycle.ignore_changes == ("data",)
        assert "lifecycle" not in resource.body
    project.write("things/a", "data: x\nsource: {path: f}\n")
    assert project.compose().resources[A].lifecycle is PLAIN


def test_an_environment_may_protect_what_others_do_not(project):
    project.write("things/a", "data: x\nsource: {path: f}\n")
    project.write("env/prod", "# @package _global_\nthings: {a: {lifecycle: {prevent_destroy: true}}}\n")
    assert project.compose("env=prod").resources[A].lifecycle.prevent_destroy
    assert not project.compose().resources[A].lifecycle.prevent_destroy


def test_all_that_is_wrong_with_a_lifecycle_is_told_at_its_place(project):
    project.write("things/a", "data: x\nsource: {path: f}\nlifecycle:\n  ignore_changes: [dta]\n  create_before_destroy: true\n")
    project.write("things/b", "data: x\nsource: {path: f}\nlifecycle: {protect: true}\n")
    assert project.problems() == [
        "conf/things/a.yaml:4:20: unknown-field: a things has no field 'dta' [did you mean 'data'?]",
        (
            "conf/things/a.yaml:5:3: create-before-destroy: a things is never destroyed"
            " [what is made stays in the store; take the field out]"
        ),
        (
            "conf/things/b.yaml:3:13: unknown-field: unknown field 'protect'"
            " [fields: create_before_destroy, ignore_changes, prevent_destroy]"
        ),
    ]


def test_moved_removed_and_import_are_read_and_cached_and_wrong_ones_told(project):
    digest = f"sha256:{'0' * 64}"
    text = (project.root / "conf" / "config.yaml").read_text()
    lists = f"moved: [{{from: things.a, to: things.b}}]\nremoved: [maker.c]\nimport: [{{to: things.b, outputs: {{table: '{digest}'}}}}]\n"
    project.write("config", text + lists)
    for _ in range(2):
        settings = project.compose().settings
        assert [(one.source, one.to) for one in settings.moved] == [("things.a", "things.b")]
        assert settings.removed == ("maker.c",)
        assert settings.imports[0].outputs == {"table": digest}
    project.write("config", text + "moved: [{from: things, to: things.b}]\n")
    assert [line.partition(": ")[0] for line in project.problems()] == ["conf/config.yaml:4:10"]


def test_the_settings_alone_need_no_resource_to_be_right(project):
    project.write("things/a", "data: [\n")
    project.write("env/prod", "# @package _global_\nstore: {url: 'sqlite:///prod.db'}\nthings: {a: {nonsense: 1}}\n")
    overrides = ("env=prod", "maker.gone.params.depth=3", "+things.a.more=1")
    found = compositions.settings(project.root, overrides, project.kinds)
    assert (found.project, found.environment, found.store.url) == ("toy", "prod", "sqlite:///prod.db")


def test_the_settings_alone_are_refused_where_they_are_wrong(project):
    project.write("env/prod", "# @package _global_\nstore: {url: [1]}\n")
    with pytest.raises(SpecError):
        compositions.settings(project.root, ("env=prod",), project.kinds)
