"""What a user writes in `conf/model/<name>.yaml`: one of three ways to make a model, and what all of them share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue

from mlops.core import specs
from mlops.core.addresses import Ref
from mlops.core.specs import Description, To
from mlops.kinds.model.metrics import MetricName  # noqa: TC001 - pydantic reads the annotations

Label = bool | int | float | str
Impute = Literal["median", "mean", "most_frequent", "none"]
Scale = Literal["standard", "none"]
Encode = Literal["onehot", "ordinal", "none"]

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_INSIDE = re.compile(r"(?!/)(?!.*(^|/)\.\.(/|$))(?!.*://).+")


def _whole(ref: Ref) -> Ref:
    if ref.output is not None:
        message = f"write {ref.address} without an output: `train` and `holdout` name its splits"
        raise ValueError(message)
    return ref


def _dotted(text: str) -> str:
    if not _DOTTED.fullmatch(text):
        message = f"'{text}' is no dotted path to a class: write for example sklearn.linear_model.LogisticRegression"
        raise ValueError(message)
    return text


def _entry(text: str) -> str:
    if not _ENTRY.fullmatch(text):
        message = f"'{text}' is no entry: write module:function, for example training:fit for fit in src/training.py"
        raise ValueError(message)
    return text


def _inside(text: str) -> str:
    if not _INSIDE.fullmatch(text):
        message = f"'{text}' leads out: write a path relative to the folder, without '..'"
        raise ValueError(message)
    return text


def some(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list; a length in `Field` would complain of items that are wrong for other reasons, too."""
    if not items:
        message = "the list is empty: leave the field out, or name one at least"
        raise ValueError(message)
    return items


Dataset = Annotated[Ref, To("dataset"), AfterValidator(_whole)]
OutputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Dotted = Annotated[str, AfterValidator(_dotted)]
Entry = Annotated[str, AfterValidator(_entry)]
Inside = Annotated[str, AfterValidator(_inside)]


class Treatment(specs.Spec):
    """How columns are prepared; what is left out is decided from the column and the estimator (see `preprocessing`)."""

    impute: Impute | None = Field(
        default=None, description="What missing values become; none: the estimator gets them as they are"
    )
    scale: Scale | None = Field(default=None, description="standard: mean 0 and variance 1; of numbers")
    encode: Encode | None = Field(default=None, description="How categories and text become numbers")


class Preprocess(specs.Spec):
    """Preparation by sort of column, and exceptions by name."""

    numeric: Treatment = Field(default=Treatment(), description="Of integers and floats: impute and scale")
    categorical: Treatment = Field(default=Treatment(), description="Of categories and text: impute and encode")
    columns: dict[str, Treatment] = Field(default_factory=dict, description="Exceptions, by the column's name")


class Outputs(specs.Spec):
    """What a command leaves in the folder $MLOPS_OUTPUT."""

    artifact: Inside = Field(
        description="A folder: a model folder (see mlops.serving.folders), or any where the command measures itself"
    )
    metrics: Inside | None = Field(default=None, description="A file with a JSON object of numbers; without one mlops measures")


class Spec(specs.Spec):
    """A model. Exactly one of `estimator`, `python` and `command` says how it is made."""

    dataset: Dataset = Field(description="The dataset that it learns from")
    train: OutputName = Field(default="train", description="The dataset's output to learn from")
    holdout: OutputName | None = Field(default="test", description="The dataset's output to measure on; null: none is held out")
    label: str = Field(description="The column to predict; one with gaps is an error")
    features: Annotated[tuple[str, ...], AfterValidator(some)] | None = Field(
        default=None, description="The columns to learn from; all but the label and the key where absent"
    )
    positive: Label | None = Field(
        default=None, description="Of two classes the one that recall, f1 and others count; the last one where absent"
    )

    estimator: Dotted | None = Field(default=None, description="A classifier or regressor of scikit-learn, by its dotted path")
    python: Entry | None = Field(
        default=None, description="module:function in src/, called with (train, label, params, seed); returns a fitted estimator"
    )
    command: Annotated[tuple[str, ...], AfterValidator(some)] | None = Field(
        default=None, description="A program and its arguments, no shell; conf/config.yaml must allow commands"
    )

    params: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Of the estimator, function or command; {estimator: PATH, params: {...}} nests an estimator",
    )
    preprocess: Preprocess = Field(default=Preprocess(), description="How columns are prepared for `estimator`")
    files: tuple[Inside, ...] = Field(
        default=(), description="Files and globs of the project that the command finds in its folder"
    )
    outputs: Outputs | None = Field(default=None, description="What the command leaves")
    packages: tuple[str, ...] = Field(default=(), description="Further packages whose versions the result depends on")

    seed: int = Field(default=0, ge=0, lt=2**32, description="Of every random_state that `params` leave open")
    threads: int = Field(default=1, ge=1, le=256, description="For fitting and measuring; part of what the result depends on")
    metrics: tuple[MetricName, ...] | None = Field(
        default=None, description="Measured on the held-out rows; usual ones where absent"
    )
    format: Literal["skops", "joblib"] = Field(default="skops", description="joblib is a pickle: conf/config.yaml must allow it")
    trusted: tuple[Dotted, ...] = Field(default=(), description="Types beyond scikit-learn's that the stored model may hold")
    description: Description = ""
