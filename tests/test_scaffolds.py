"""The project that `mlops init` writes."""

from __future__ import annotations

import pytest

from mlops import scaffolds
from mlops.core.errors import PlanError


def test_a_new_project_has_config_groups_resources_and_a_gitignore(tmp_path):
    written = {str(path.relative_to(tmp_path / "credit")) for path in scaffolds.write(tmp_path / "credit")}
    assert written == {
        ".gitignore",
        "conf/config.yaml",
        "conf/dataset/cancer.yaml",
        "conf/env/dev.yaml",
        "conf/env/prod.yaml",
        "conf/model/cancer.yaml",
        "conf/rollout/cancer.yaml",
        "conf/target/local.yaml",
        "conf/test/cancer.yaml",
    }
    assert all((tmp_path / "credit" / path).is_file() for path in written)


@pytest.mark.parametrize(("folder", "name"), [("credit", "credit"), ("Credit_Risk", "credit-risk"), ("2026", "project")])
def test_the_project_is_named_after_its_folder_where_that_is_a_name(tmp_path, folder, name):
    scaffolds.write(tmp_path / folder)
    assert f"project: {name}\n" in (tmp_path / folder / "conf" / "config.yaml").read_text()


def test_nothing_is_overwritten_and_nothing_is_half_written(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "cancer.yaml").write_text("mine")
    with pytest.raises(PlanError, match=r"model/cancer\.yaml"):
        scaffolds.write(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.yaml")] == ["cancer.yaml"]
    assert (tmp_path / "conf" / "model" / "cancer.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "conf").write_text("a file")
    with pytest.raises(PlanError, match="cannot be written"):
        scaffolds.write(tmp_path)


def test_every_resource_names_its_schema_for_editors(tmp_path):
    scaffolds.write(tmp_path)
    for kind in ("dataset", "model", "test", "rollout"):
        first = (tmp_path / "conf" / kind / "cancer.yaml").read_text().splitlines()[0]
        assert first == f"# yaml-language-server: $schema=../../schemas/{kind}.json"
