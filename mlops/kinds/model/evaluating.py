"""Evaluate: the step that measures a kept model on rows it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.digests import canonical
from mlops.core.ops import Bindable, Made, Op

if TYPE_CHECKING:
    from mlops.core.worlds import World


class Evaluate(Op):
    """Measure the model on `holdout`: output `metrics`, a JSON object of numbers, null where one is undefined.

    The output `holdout` hands the rows on to those who refer to the model, above all its tests.
    """

    verb: ClassVar[str] = "model.evaluate"

    artifact: Annotated[str, Bindable()]
    holdout: Annotated[str, Bindable()]
    runtime: Annotated[Any, Bindable()]
    metrics: tuple[str, ...] | None
    threads: int

    def run(self, world: World) -> Made:
        """Load, ask, score.

        Raises:
            ModelError: the rows do not fit the model, or a metric does.
        """
        from mlops.kinds.model import asking, scoring
        from mlops.kinds.model.pinning import pinned

        frame = world.tables.load(world.artifacts.file(self.holdout))
        world.report.progress(f"evaluating on {len(frame)} rows")
        with pinned(self.threads):
            folder = world.artifacts.folder(self.artifact)
            judged = asking.load(folder)
            answers = asking.predictions(judged, frame)
            graph = asking.compared(folder, judged, frame)
            names = scoring.default_metrics(answers) if self.metrics is None else self.metrics
            scores = {name: scoring.as_json(scoring.score(name, answers)) for name in names}
        kept = world.artifacts.put_bytes(canonical(scores) + b"\n")
        facts = {"metrics": scores, "held_out_rows": len(frame), **graph}
        return Made({"metrics": kept, "holdout": self.holdout}, facts)
