"""Fit: the step that makes a model folder from training rows, by one of three recipes; see `specs.Spec`.

`Fit.run → fitted.make (estimator, python) or commands.make → serving.folders.write → artifacts.put_folder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.ops import Bindable, Made, Op
from mlops.kinds.model.recipes import ByCommand, ByEstimator, ByFunction
from mlops.kinds.model.specs import Label  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from mlops.core.worlds import World


class Fit(Op):
    """Make the model folder (output `artifact`) from the rows of `train`; a command may measure as well (output `metrics`)."""

    verb: ClassVar[str] = "model.fit"

    recipe: ByEstimator | ByFunction | ByCommand
    train: Annotated[str, Bindable()]
    runtime: Annotated[Any, Bindable()]
    label: str
    features: tuple[str, ...] | None
    positive: Label | None
    seed: int
    threads: int
    format: str
    trusted: tuple[str, ...]

    def run(self, world: World) -> Made:
        """Fit, write the folder, and keep it.

        Raises:
            MlopsError: the data, the spec, the project's function or the command is at fault.
        """
        from mlops.kinds.model import commands, fitted

        return commands.make(self, world) if isinstance(self.recipe, ByCommand) else fitted.make(self, world)
