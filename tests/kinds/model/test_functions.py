"""A model may be made by a function of the project's own code below src/."""

from __future__ import annotations

import sys

import pytest
from lending import CREDIT, KIND, credit, fit
from making import world_at

from mlops.core.addresses import Address
from mlops.core.errors import MlopsError
from mlops.serving import folders

SPEC = {**CREDIT, "python": "training:fit", "params": {"depth": 2}}
TREE = """
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

from preparing import ENCODED


def fit(train, label, params, seed):
    assert list(train.columns) == ["age", "income", "housing", "employed", "default"]
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ENCODED), remainder="passthrough")
    tree = DecisionTreeClassifier(max_depth=params["depth"], random_state=seed)
    return make_pipeline(columns, tree).fit(train.drop(columns=label), train[label])
"""


@pytest.fixture
def world(tmp_path):
    """A project with a training function in two modules."""
    before, path = set(sys.modules), list(sys.path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "training.py").write_text(TREE)
    (tmp_path / "src" / "preparing.py").write_text('ENCODED = ["housing"]\n')
    with world_at(tmp_path) as doors:
        yield doors
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name in ("training", "preparing"):
            del sys.modules[name]


def test_a_function_fits_and_the_model_is_measured_and_served_like_any_other(world):
    """A function's estimator is stored, measured and served like one from YAML, and equal fits give equal bytes."""
    frame = credit()
    made = fit(world, SPEC, frame)
    assert made["evaluate"].facts["metrics"]["roc_auc"] > 0.6
    manifest = folders.read(world.artifacts.folder(made["fit"].outputs["artifact"]))
    assert (manifest.layout, manifest.flavor) == ("frame", "sklearn")
    assert fit(world, SPEC, frame)["fit"].outputs == made["fit"].outputs


def test_a_change_of_an_imported_module_is_a_change_of_the_model(world):
    """The code's digest is an input of the fit, and reaches no other step."""
    request = KIND.inputs(KIND.Spec.model_validate(SPEC))["code"]
    (before,) = world.observe([request])
    (world.root / "src" / "preparing.py").write_text('ENCODED = ["housing"]  # changed\n')
    (after,) = world.observe([request])
    assert before.value != after.value
    reads = {step.name: step.reads for step in KIND.steps(KIND.Spec.model_validate(SPEC), Address("model.credit"))}
    assert "input:code" in reads["fit"]
    assert "input:code" not in reads["evaluate"]


WRONG = {
    "bug": (
        "def fit(train, label, params, seed):\n    return helper(train)\n\n\ndef helper(train):\n    return train['missing']\n",
        (
            "training:fit failed: KeyError: 'missing'\n  src/training.py:2 in fit: return helper(train)\n"
            "  src/training.py:6 in helper: return train['missing']"
        ),
    ),
    "exit": (
        "import sys\n\n\ndef fit(train, label, params, seed):\n    sys.exit(1)\n",
        "training:fit failed: SystemExit: 1\n  src/training.py:5 in fit: sys.exit(1)",
    ),
    "arguments": (
        "def fit(train):\n    return None\n",
        "training:fit failed: TypeError: fit() takes 1 positional argument but 4 were given",
    ),
    "nothing": ("def fit(*_):\n    return None\n", "training:fit returned nothing"),
    "stranger": (
        (
            "from sklearn.base import BaseEstimator\n\n\nclass Own(BaseEstimator):\n    def predict(self, rows):\n"
            "        return [0] * len(rows)\n\n\ndef fit(*_):\n    return Own()\n"
        ),
        "the fitted model holds types of the project's own code, which are not there where it is served: training.Own",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_function_that_fails_says_where_in_the_projects_code(world, case):
    """A failing function gives its error and the lines of the project, outermost first; no other frames."""
    source, message = WRONG[case]
    (world.root / "src" / "training.py").write_text(source)
    with pytest.raises(MlopsError) as caught:
        fit(world, SPEC, credit())
    assert caught.value.message == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "nullable"), [("DecisionTreeClassifier", True), ("ExtraTreeClassifier", True), ("GaussianNB", False)]
)
def test_a_functions_model_may_be_asked_with_gaps_if_it_takes_them(world, source, nullable):
    """Whether values may be missing is found out by asking the fitted model."""
    body = (
        "from sklearn.naive_bayes import GaussianNB\nfrom sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier\n\n\n"
        f"def fit(train, label, params, seed):\n    return {source}().fit(train[['age']].to_numpy(), train[label])\n"
    )
    (world.root / "src" / "training.py").write_text(body)
    made = fit(world, {**SPEC, "features": ["age"]}, credit())
    manifest = folders.read(world.artifacts.folder(made["fit"].outputs["artifact"]))
    assert manifest.layout == "array"
    assert [each.nullable for each in manifest.signature.inputs] == [nullable]


def test_a_functions_model_takes_the_columns_that_it_was_fitted_on(world):
    """A function may choose among the columns; the others are not asked for."""
    body = (
        "from sklearn.linear_model import LogisticRegression\n\n\n"
        "def fit(train, label, params, seed):\n    return LogisticRegression().fit(train[['employed', 'age']], train[label])\n"
    )
    (world.root / "src" / "training.py").write_text(body)
    made = fit(world, SPEC, credit())
    manifest = folders.read(world.artifacts.folder(made["fit"].outputs["artifact"]))
    assert [each.name for each in manifest.signature.inputs] == ["employed", "age"]
