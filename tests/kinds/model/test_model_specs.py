"""What is wrong with a model's spec is said before anything runs, all at once, each with its field."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops.composing.validating import validate
from mlops.core.addresses import Address, Ref
from mlops.core.diagnostics import Severity
from mlops.core.settings import Allow
from mlops.kinds.dataset import Dataset
from mlops.kinds.model import Model

KIND = Model()
GOOD = {"dataset": "dataset.credit", "label": "default", "estimator": "sklearn.linear_model.LogisticRegression"}
DATA = {
    "source": {"path": "credit.csv"},
    "columns": {"age": {"type": "int"}, "default": {"type": "bool"}},
    "split": {"test": 0.2},
}


def problems(spec, data=None, **allow):
    """Return (path, summary) of every problem, as composing finds them."""
    found, wrong = validate(KIND.Spec, spec)
    if found is None:
        return [(each.path, each.summary) for each in wrong]
    dataset = Dataset.Spec.model_validate(DATA if data is None else data)
    return [
        (each.path, each.summary)
        for each in KIND.check(found, lambda ref: dataset if ref == Ref("dataset.credit") else None, Allow(**allow))
    ]


def without(*names, **changes):
    """Return a good spec without some fields, and with others."""
    return {name: value for name, value in {**GOOD, **changes}.items() if name not in names}


def test_a_good_spec_has_no_problem():
    """A model in four lines is good."""
    assert problems(GOOD) == []


CASES = {
    "no recipe": (without("estimator"), [(None, "nothing says how the model is made")]),
    "two recipes": (
        without(python="training:fit"),
        [("python", "`python` and `estimator` cannot both say how the model is made")],
    ),
    "unknown metric": (without(metrics=["roc_acu"]), [("metrics.0", "'roc_acu' is no metric: did you mean 'roc_auc'?")]),
    "no dotted path": (
        without(estimator="LogisticRegression"),
        [
            (
                "estimator",
                "'LogisticRegression' is no dotted path to a class: write for example sklearn.linear_model.LogisticRegression",
            )
        ],
    ),
    "no entry": (
        without("estimator", python="training.fit"),
        [("python", "'training.fit' is no entry: write module:function, for example training:fit for fit in src/training.py")],
    ),
    "output of the dataset": (
        without(dataset="dataset.credit/train"),
        [("dataset", "write dataset.credit without an output: `train` and `holdout` name its splits")],
    ),
    "stranger": (
        without(estimator="lightgbm.LGBMClassifier"),
        [
            (
                "estimator",
                (
                    "the estimator 'lightgbm.LGBMClassifier' may not be imported: only scikit-learn's may, "
                    "and those of packages that the project allows"
                ),
            )
        ],
    ),
    "lookalike": (
        without(estimator="sklearn_evil.Model"),
        [
            (
                "estimator",
                (
                    "the estimator 'sklearn_evil.Model' may not be imported: only scikit-learn's may, "
                    "and those of packages that the project allows"
                ),
            )
        ],
    ),
    "nested stranger": (
        without(estimator="sklearn.ensemble.BaggingClassifier", params={"estimator": {"estimator": "lightgbm.LGBMClassifier"}}),
        [
            (
                "params",
                (
                    "the estimator 'lightgbm.LGBMClassifier' may not be imported: only scikit-learn's may, "
                    "and those of packages that the project allows"
                ),
            )
        ],
    ),
    "pickle": (without(format="joblib"), [("format", "the project does not allow pickles, and `format: joblib` is one")]),
    "command": (
        without("estimator", command=["make", "model"], outputs={"artifact": "model/"}),
        [("command", "the project does not allow models that are made by a command")],
    ),
    "out of the project": (
        without(
            "estimator",
            command=["make"],
            files=["../x.py", "/etc/passwd", "https://host/x.py", "a/..b"],
            outputs={"artifact": "m"},
        ),
        [
            (f"files.{index}", f"'{path}' leads out: write a path relative to the folder, without '..'")
            for index, path in enumerate(("../x.py", "/etc/passwd", "https://host/x.py"))
        ],
    ),
    "label among features": (without(features=["age", "default"]), [("features.1", "the label 'default' is among the features")]),
    "twice": (without(features=["age", "age"]), [("features.1", "the feature 'age' is named twice")]),
    "same rows": (without(holdout="train"), [("holdout", "the held-out rows are the training rows, 'train'")]),
    "metrics of nothing": (
        without(holdout=None, metrics=["f1"]),
        [("metrics", "`metrics` are measured on held-out rows, and `holdout` is null")],
    ),
    "no meaning": (
        without("estimator", python="training:fit", preprocess={"numeric": {"scale": "none"}}, files=["a.py"]),
        [
            ("preprocess", "`preprocess` has no meaning for a model made by `python`"),
            ("files", "`files` has no meaning for a model made by `python`"),
        ],
    ),
    "several at once": (
        without(label="defalt", holdout="testt", features=["agee"]),
        [
            ("holdout", "dataset.credit has no output 'testt'"),
            ("label", "dataset.credit has no column 'defalt'"),
            ("features.0", "dataset.credit has no column 'agee'"),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_told_with_its_field(case):
    """Each mistake has the path of its field and one sentence."""
    spec, expected = CASES[case]
    assert problems(spec) == expected


def test_what_the_project_allows_is_no_problem():
    """`allow` in conf/config.yaml opens estimators by package, pickles and commands."""
    assert problems(without(estimator="lightgbm.LGBMClassifier"), estimators=("lightgbm",)) == []
    assert problems(without(format="joblib"), pickle=True) == []
    command = without("estimator", command=["make", "model"], outputs={"artifact": "model/"})
    assert problems(command, commands=True) == []


def test_a_command_needs_outputs_and_should_declare_its_script():
    """A command without outputs is an error; a script that is not among `files` is a warning."""
    spec = KIND.Spec.model_validate(without("estimator", command=["python", "train.py"]))
    found = list(KIND.check(spec, lambda _: None, Allow(commands=True)))
    assert [(each.path, each.severity) for each in found] == [("command", Severity.ERROR), ("command.1", Severity.WARNING)]


def test_a_dataset_without_a_split_is_told_where_the_model_needs_one():
    """The default splits must be there."""
    data = {**DATA, "split": None}
    assert problems(GOOD, data) == [
        ("train", "dataset.credit has no output 'train'"),
        ("holdout", "dataset.credit has no output 'test'"),
    ]
    assert problems(without(train="table", holdout=None), data) == []


def test_columns_are_left_to_the_step_where_the_dataset_does_not_name_them():
    """Where columns are inferred, or more are kept, only the data can tell."""
    assert problems(without(label="other"), {"source": {"path": "credit.csv"}, "split": {"test": 0.2}}) == []
    assert problems(without(label="other"), {**DATA, "extra_columns": "keep"}) == []


def test_a_description_changes_no_step():
    """Cosmetic fields are in no step."""
    plain, told = (KIND.Spec.model_validate(each) for each in (GOOD, {**GOOD, "description": "for people"}))
    assert KIND.steps(plain, Address("model.credit")) == KIND.steps(told, Address("model.credit"))


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"params": {"C": 2}}, {"fit"}),
        ({"seed": 1}, {"fit"}),
        ({"metrics": ["f1"]}, {"evaluate"}),
        ({"holdout": "validation"}, {"evaluate"}),
        ({"features": ["age"]}, {"fit"}),
        ({"train": "table"}, {"fit"}),
        ({"threads": 2}, {"fit", "evaluate"}),
    ],
)
def test_a_field_is_in_the_steps_whose_result_depends_on_it(change, steps):
    """What is measured does not train anew; what is trained is named by its output."""
    address = Address("model.credit")
    before, after = (KIND.steps(KIND.Spec.model_validate(each), address) for each in (GOOD, {**GOOD, **change}))
    assert {
        old.name for old, new in zip(before, after, strict=True) if (old.digest, old.reads) != (new.digest, new.reads)
    } == steps


def test_reading_specs_imports_nothing_heavy():
    """Planning thousands of models loads no scikit-learn, pandas or numpy."""
    body = (
        "import sys\nfrom mlops.kinds.model import Model\nfrom mlops.kinds.test import Test\nfrom mlops.core.addresses import Address\n"
        "from mlops.core.settings import Allow\n"
        f"spec = Model.Spec.model_validate({GOOD!r})\n"
        "Model().steps(spec, Address('model.credit')), Model().inputs(spec), list(Model().check(spec, lambda _: None, Allow()))\n"
        "test = Test.Spec.model_validate({'model': 'model.credit', 'checks': [{'metric': 'f1', 'min': 0}]})\n"
        "Test().steps(test, Address('test.credit')), list(Test().check(test, lambda _: None, Allow()))\n"
        "print(sorted({'sklearn', 'pandas', 'numpy', 'scipy', 'msgspec'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
