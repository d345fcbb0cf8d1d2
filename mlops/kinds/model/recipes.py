"""Recipes: the three ways to make a model, as the fields of the op `Fit`; those who follow one import it from here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import JsonValue  # noqa: TC002 - pydantic reads the annotations

from mlops.core.ops import Bindable
from mlops.core.specs import Spec
from mlops.kinds.model.specs import Outputs, Preprocess  # noqa: TC001 - pydantic reads the annotations


class ByEstimator(Spec):
    """A scikit-learn estimator and its preparation."""

    estimator: str
    params: dict[str, JsonValue]
    preprocess: Preprocess


class ByFunction(Spec):
    """A function of the project; `code` is the digest of what it imports from `src/`."""

    python: str
    params: dict[str, JsonValue]
    code: Annotated[str, Bindable()]


class ByCommand(Spec):
    """A program; `files` are the digests of the project's files that it finds in its folder, by path as written."""

    command: tuple[str, ...]
    params: dict[str, JsonValue]
    outputs: Outputs
    files: dict[str, Annotated[Any, Bindable()]]
    holdout: Annotated[str | None, Bindable()]
