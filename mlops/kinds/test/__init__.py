"""Tests: what must hold for a model and for data before anything that requires the test goes on.

One step, `check`. Its verdict is an output and no exception: it is kept for (model, held-out rows, data, checks, baseline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.addresses import Ref
from mlops.core.digests import canonical
from mlops.core.ops import Bindable, Late, Made, Op, Template, template
from mlops.core.resources import Kind
from mlops.core.worlds import Request
from mlops.kinds.test import checking, specs
from mlops.kinds.test.specs import Check  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.addresses import Address
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.settings import Allow
    from mlops.core.specs import Spec as AnySpec
    from mlops.core.worlds import World

_FOR_DATA = ("pandas",)
_PACKAGES = (*_FOR_DATA, "scikit-learn", "skops")
_NOTHING = Ref("dataset.none/table")  # of a spec that `check` refuses


class RunChecks(Op):
    """Check a model (its folder) on `holdout`, and `data`, both tables; `baseline` is the model that serves, or null.

    Without a model there is `data` only.
    """

    verb: ClassVar[str] = "test.check"

    artifact: Annotated[str | None, Bindable()]
    holdout: Annotated[str | None, Bindable()]
    data: Annotated[str, Bindable()]
    baseline: Annotated[str | None, Bindable()]
    runtime: Annotated[Any, Bindable()]
    checks: tuple[Check, ...]

    def run(self, world: World) -> Made:
        """Return the verdict, whatever it is.

        Raises:
            ModelError: the model does not fit the held-out rows, or a metric does not fit the model.
        """
        from mlops.kinds.test import judging

        findings = judging.judge(self, world)
        verdict = {
            "passed": all(each["passed"] or each["severity"] == "warn" for each in findings),
            "checks": findings,
            "compared_with": self.baseline,
        }
        return Made({"verdict": world.artifacts.put_bytes(canonical(verdict) + b"\n")}, verdict)


class Test(Kind):
    """Checks of one model: output `verdict` (JSON), which rollouts may require."""

    name: ClassVar[str] = "test"
    Spec: ClassVar[type[AnySpec]] = specs.Spec
    ops: ClassVar[tuple[type[Op], ...]] = (RunChecks,)
    can_import: ClassVar[bool] = False

    def outputs(self, _spec: specs.Spec) -> tuple[str, ...]:
        """Return `verdict`."""
        return ("verdict",)

    def steps(self, spec: specs.Spec, _address: Address) -> tuple[Template, ...]:
        """Return `check`."""
        model, held_out = spec.model, _held_out(spec)
        data = held_out if spec.dataset is None else _table(spec.dataset)
        op = RunChecks(
            artifact=None if model is None else Late.output(model.to("artifact")),
            holdout=None if held_out is None else Late.output(held_out),
            data=Late.output(data or _NOTHING),
            baseline=None if spec.against is None or model is None else Late.baseline(spec.against, model.to("artifact")),
            runtime=Late.input("runtime"),
            checks=spec.checks,
        )
        return (template("check", op, ("verdict",), self.revision),)

    def inputs(self, spec: specs.Spec) -> Mapping[str, Request]:
        """Return the packages that load and measure the model, and read the data."""
        return {"runtime": Request("packages", {"names": list(_PACKAGES if spec.model else _FOR_DATA)})}

    def check(self, spec: specs.Spec, find: Callable[[Ref], AnySpec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield what cannot be checked: a metric without a model, a comparison with nothing, columns that are not there."""
        return checking.check(spec, find)


def _held_out(spec: specs.Spec) -> Ref | None:
    """Return the rows that metrics are measured on: the given ones, else those that the model was measured on; None without a model."""
    if spec.model is None:
        return None
    return spec.model.to("holdout") if spec.holdout is None else _table(spec.holdout)


def _table(ref: Ref) -> Ref:
    return ref if ref.output else ref.to("table")
