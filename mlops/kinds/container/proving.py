"""Prove: the step that starts an image and asks it what the model was asked; only then there is an output `image`.

The answers must be those of the model folder here: bit for bit where ONNX Runtime gives them, within asking.TOLERANCE where scikit-learn or the
project's own code does, since the libraries below these choose their sums by processor.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.digests import PREFIX, canonical
from mlops.core.images import Trial
from mlops.core.ops import Bindable, Made, Op
from mlops.core.settings import Engine  # noqa: TC001 - pydantic reads the annotations
from mlops.kinds.container import questions as asking
from mlops.kinds.container.assembling import LAYERS
from mlops.kinds.container.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.core.images import Tried
    from mlops.core.worlds import World

_SHOWN = 5  # differences that a message names
_DIGITS = 12


def short(image: str) -> str:
    """Return the tag of an image: the first digits of its id."""
    return image.removeprefix(PREFIX)[:_DIGITS]


class Prove(Op):
    """Start the image that was built, and ask it: outputs `image`, the same one proved, and `proof`, JSON of what was measured."""

    verb: ClassVar[str] = "container.prove"

    built: Annotated[str, Bindable()]
    artifact: Annotated[str, Bindable()]
    holdout: Annotated[str | None, Bindable()]
    golden: int
    name: str
    port: int
    budget: int
    ready_timeout: float
    engine: Engine

    def run(self, world: World) -> Made:
        """Weigh, load, start, ask, compare.

        Raises:
            ContainerError: it is over its budget, or answers otherwise than the model.
            WorldError: the engine says no, or the image does not get ready.
        """
        folder = world.artifacts.folder(self.built)
        size = self.weigh(folder)
        rows = None if self.holdout is None else world.tables.load(world.artifacts.file(self.holdout)).head(self.golden)
        questions = asking.questions(world.artifacts.folder(self.artifact), rows)
        world.report.progress("loading the image into the engine")
        image = world.images.load(self.engine, folder)
        world.report.progress(f"asking it about {questions.rows} rows")
        bodies = tuple(each.body for each in questions.asked)
        try:
            tried = world.images.prove(self.engine, image, Trial(self.port, self.name, self.ready_timeout, bodies))
            self.compare(questions, tried)
        except Exception:
            world.images.remove(self.engine, image)
            raise
        world.images.tag(self.engine, image, f"{world.place.project}/{self.name}:{short(image)}")
        facts = {"size": size, "budget": self.budget, "ready_seconds": round(tried.ready_seconds, 3), "rows": questions.rows}
        proof = {"image": image, "model": self.artifact, "tolerance": questions.tolerance, **facts}
        return Made({"image": self.built, "proof": world.artifacts.put_bytes(canonical(proof) + b"\n")}, facts)

    def weigh(self, folder: Path) -> int:
        """Return the bytes that the image adds to its base.

        Raises:
            ContainerError: they are more than the budget.
        """
        sizes = {name: (folder / name).stat().st_size for name in LAYERS}
        total = sum(sizes.values())
        if total > self.budget:
            parts = ", ".join(f"{name.removesuffix('.tar')} {_megabytes(size)}" for name, size in sizes.items())
            message = f"the image adds {_megabytes(total)} to its base, and its budget is {_megabytes(self.budget)}: {parts}"
            raise ContainerError(
                message, f"raise `budget`, or make the largest part smaller: {max(sizes, key=sizes.__getitem__)}"
            )
        return total

    def compare(self, questions: asking.Questions, tried: Tried) -> None:
        """Hold the answers against the model's.

        Raises:
            ContainerError: some differ; the message names the first rows.
        """
        found = [
            difference
            for question, (status, body) in zip(questions.asked, tried.answers, strict=True)
            for difference in differences(question, status, body, questions.tolerance)
        ]
        if found:
            more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            message = (
                f"the image answers otherwise than the model in {len(found)} places:\n  " + "\n  ".join(found[:_SHOWN]) + more
            )
            raise ContainerError(message, "are the packages of the image those that the model was made with? `lock` has them")


def differences(question: asking.Question, status: int, body: bytes, tolerance: float) -> Iterator[str]:
    """Yield where an answer (HTTP status and body) is not the one expected, in words."""
    if status != 200:  # noqa: PLR2004 - HTTP's OK
        yield f"{question.name}: answered {status}: {body.decode(errors='replace')[:300]}"
        return
    answered = {each["name"]: each for each in json.loads(body)["outputs"]}
    for name, expected in question.answers.items():
        values = answered.get(name, {}).get("data", [])
        if len(values) != len(expected):
            yield f"{question.name}: {name} has {len(values)} values, expected {len(expected)}"
            continue
        width = len(expected) // question.rows
        for index, (got, wanted) in enumerate(zip(values, expected, strict=True)):
            if not is_same(got, wanted, tolerance):
                yield f"{question.name}, row {index // width}: {name} is {got!r}, expected {wanted!r}"


def is_same(got: Any, wanted: Any, tolerance: float) -> bool:
    """Tell whether a value is the one expected; only floats may differ, by `tolerance` relative to their size or to 1."""
    if isinstance(wanted, float) and isinstance(got, float) and tolerance:
        return math.isclose(got, wanted, rel_tol=tolerance, abs_tol=tolerance)
    return bool(got == wanted) and type(got) is type(wanted)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"
