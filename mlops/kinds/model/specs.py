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
_INSIDE = re.compile(r"(?!/)(?!.*(^|/)\.\.(/|$)).+")


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

    impute: Impute | None = None
    scale: Scale | None = None
    encode: Encode | None = None


class Preprocess(specs.Spec):
    """Preparation by sort of column, and exceptions by name."""

    numeric: Treatment = Treatment()
    categorical: Treatment = Treatment()
    columns: dict[str, Treatment] = Field(default_factory=dict)


class Outputs(specs.Spec):
    """What a command leaves in its folder: a model folder (see `mlops.serving.folders`), and a JSON object of numbers."""

    artifact: Inside
    metrics: Inside | None = None


class Spec(specs.Spec):
    """A model. Exactly one of `estimator`, `python` and `command` says how it is made."""

    dataset: Dataset
    train: OutputName = "train"
    holdout: OutputName | None = "test"
    label: str
    features: Annotated[tuple[str, ...], AfterValidator(some)] | None = None
    positive: Label | None = None

    estimator: Dotted | None = None
    python: Entry | None = None
    command: Annotated[tuple[str, ...], AfterValidator(some)] | None = None

    params: dict[str, JsonValue] = Field(default_factory=dict)
    preprocess: Preprocess = Preprocess()
    files: tuple[Inside, ...] = ()
    outputs: Outputs | None = None
    packages: tuple[str, ...] = ()

    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int = Field(default=1, ge=1, le=256)
    metrics: tuple[MetricName, ...] | None = None
    format: Literal["skops", "joblib"] = "skops"
    trusted: tuple[Dotted, ...] = ()
    description: Description = ""
