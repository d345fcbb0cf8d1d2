"""Lessons: `training.json` beside model.json in a model's folder, which says what was learned, for those who judge the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlops.core.digests import canonical
from mlops.core.specs import Spec
from mlops.kinds.model.errors import ModelError
from mlops.kinds.model.specs import Label  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from pathlib import Path

FILE = "training.json"


class Lesson(Spec):
    """The column that was learned; for two classes, which of them binary metrics count."""

    label: str
    positive: Label | None = None


def write(folder: Path, lesson: Lesson) -> None:
    """Leave the lesson in the model's folder."""
    (folder / FILE).write_bytes(canonical(lesson.model_dump(mode="json")) + b"\n")


def read(folder: Path) -> Lesson:
    """Return the lesson of a model's folder.

    Raises:
        ModelError: the folder has none; it was not made by a model of this project.
    """
    try:
        return Lesson.model_validate(json.loads((folder / FILE).read_bytes()))
    except (FileNotFoundError, ValueError) as error:
        message = f"the model's folder has no readable {FILE}, which names the label"
        raise ModelError(message, "make the model anew: `mlops apply --replace model.NAME`") from error


def positive_of(classes: tuple[Label, ...], wanted: Label | None) -> Label | None:
    """Return the positive one of two classes: the wanted one, else the last; None where there are not two.

    Raises:
        ModelError: the wanted one is no class.
    """
    if wanted is not None and wanted not in classes:
        message = f"positive: {wanted} is not a value of the label"
        raise ModelError(message, f"its values are {', '.join(map(str, classes))}")
    if len(classes) != 2:  # noqa: PLR2004 - binary is what two means
        return None
    return classes[-1] if wanted is None else wanted
