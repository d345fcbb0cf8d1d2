"""What a user may write of a container, and what is said of the rest."""

import pytest
from pydantic import ValidationError

from mlops.core.addresses import Address
from mlops.core.diagnostics import Severity
from mlops.core.settings import Allow
from mlops.kinds.container import Container
from mlops.kinds.container.specs import ContainerSpec
from mlops.kinds.model.specs import Spec as ModelSpec

DIGEST = "sha256:" + "0" * 64
PINNED = {"model": "model.credit", "base": f"python:3.11-slim@{DIGEST}"}


@pytest.mark.parametrize("base", ["python:3.11", f"python@{DIGEST}", f"127.0.0.1:5000/a/b:1@{DIGEST}", "ghcr.io/x_y/z-1:v1.0"])
def test_a_base_has_a_tag_or_a_digest(base):
    assert ContainerSpec.model_validate({**PINNED, "base": base}).base == base


@pytest.mark.parametrize(
    "base", ["python", "Python:3", "python:3 AS x", "python:3\nRUN x", "python@sha256:12", "", "https://x/y:1"]
)
def test_another_base_is_refused(base):
    with pytest.raises(ValidationError, match="is no image: write NAME:TAG@sha256:DIGEST"):
        ContainerSpec.model_validate({**PINNED, "base": base})


@pytest.mark.parametrize("repository", ["127.0.0.1:5000/credit:1", "UPPER/x", "a b", f"x@{DIGEST}"])
def test_a_repository_has_no_tag(repository):
    with pytest.raises(ValidationError, match="is no repository"):
        ContainerSpec.model_validate({**PINNED, "registry": {"repository": repository}})


def test_labels_of_ours_are_ours():
    with pytest.raises(ValidationError, match=r"dev\.mlops\.model: mlops itself writes this label"):
        ContainerSpec.model_validate({**PINNED, "labels": {"dev.mlops.model": "mine"}})


@pytest.mark.parametrize("labels", [{"a b": "x"}, {"a": "line\nbreak"}, {"": "x"}])
def test_a_label_that_a_dockerfile_cannot_say_is_refused(labels):
    with pytest.raises(ValidationError):
        ContainerSpec.model_validate({**PINNED, "labels": labels})


def found(spec, model):
    return list(Container().check(ContainerSpec.model_validate(spec), lambda _ref: model, Allow()))


def test_a_tag_that_may_move_is_warned_of_and_asked_for():
    spec = {**PINNED, "base": "python:3.11"}
    [warning] = found(spec, None)
    assert (warning.code, warning.path, warning.severity) == ("not-pinned", "base", Severity.WARNING)
    assert Container().inputs(ContainerSpec.model_validate(spec))["base"].arguments["name"] == "python:3.11"


def test_a_digest_is_neither_warned_of_nor_asked_for():
    assert found(PINNED, None) == []
    assert "base" not in Container().inputs(ContainerSpec.model_validate(PINNED))


def test_golden_rows_need_rows_that_are_held_out():
    model = ModelSpec.model_validate({"dataset": "dataset.x", "label": "y", "estimator": "sklearn.svm.SVC", "holdout": None})
    [problem] = found(PINNED, model)
    assert (problem.code, problem.path, problem.severity) == ("no-golden-rows", "golden", Severity.ERROR)
    assert found({**PINNED, "golden": 0}, model) == []


def test_only_a_model_itself_is_served():
    [problem] = found({**PINNED, "model": "model.credit/metrics"}, None)
    assert (problem.code, problem.hint) == ("cannot-serve", "write model.credit")


def test_nothing_can_refer_to_an_image_that_is_not_proved():
    """`image` is an output of the step that proves, and the registry reads it."""
    spec = ContainerSpec.model_validate({**PINNED, "registry": {"repository": "127.0.0.1:5000/credit"}})
    steps = {step.name: step for step in Container().steps(spec, Address("container.credit"))}
    assert steps["prove"].outputs == ("image", "proof")
    assert steps["push"].reads == ("output:container.credit/image",)


def test_a_name_in_yaml_changes_no_key():
    """Two containers that say the same have the same steps, whatever they are called."""
    spec = ContainerSpec.model_validate(PINNED)
    one, other = (Container().steps(spec, Address(f"container.{name}")) for name in ("a", "b"))
    assert [step.digest for step in one] == [step.digest for step in other]
