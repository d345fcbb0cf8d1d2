"""Tests: what must hold for a model and for data before anything that requires the test goes on.

One step, `check`. Its verdict is an output and no exception: it is kept for (model, held-out rows, data, checks, baseline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.diagnostics import Diagnostic
from mlops.core.digests import canonical
from mlops.core.ops import Bindable, Late, Made, Op, Template, template
from mlops.core.resources import Kind
from mlops.core.worlds import Request
from mlops.kinds.test import specs
from mlops.kinds.test.specs import Check, MetricCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.addresses import Address, Ref
    from mlops.core.settings import Allow
    from mlops.core.specs import Spec as BaseSpec
    from mlops.core.worlds import World

_PACKAGES = ("pandas", "scikit-learn", "skops")


class RunChecks(Op):
    """Check a model (its folder) on `holdout`, and `data`, both tables; `baseline` is the model that serves, or null."""

    verb: ClassVar[str] = "test.check"

    artifact: Annotated[str, Bindable()]
    holdout: Annotated[str, Bindable()]
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
    Spec: ClassVar[type[BaseSpec]] = specs.Spec
    ops: ClassVar[tuple[type[Op], ...]] = (RunChecks,)

    def outputs(self, _spec: specs.Spec) -> tuple[str, ...]:
        """Return `verdict`."""
        return ("verdict",)

    def steps(self, spec: specs.Spec, _address: Address) -> tuple[Template, ...]:
        """Return `check`."""
        artifact = spec.model.to("artifact")
        held_out = spec.model.to("holdout") if spec.holdout is None else _table(spec.holdout)
        op = RunChecks(
            artifact=Late.output(artifact),
            holdout=Late.output(held_out),
            data=Late.output(held_out if spec.dataset is None else _table(spec.dataset)),
            baseline=None if spec.against is None else Late.baseline(spec.against, artifact),
            runtime=Late.input("runtime"),
            checks=spec.checks,
        )
        return (template("check", op, ("verdict",), self.revision),)

    def inputs(self, _spec: specs.Spec) -> Mapping[str, Request]:
        """Return the packages that load and measure the model."""
        return {"runtime": Request("packages", {"names": list(_PACKAGES)})}

    def check(self, spec: specs.Spec, find: Callable[[Ref], BaseSpec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield comparisons with nothing, and a model that holds no rows out."""
        for index, each in enumerate(spec.checks):
            if isinstance(each, MetricCheck) and each.max_worse is not None and spec.against is None:
                summary = "`max_worse` compares with what serves, and the test has no `against`"
                yield Diagnostic(
                    "missing-field", summary, path=f"checks.{index}.max_worse", hint="for example `against: rollout.NAME`"
                )
        model = find(spec.model)
        if spec.holdout is None and model is not None and getattr(model, "holdout", "") is None:
            summary = f"{spec.model} holds no rows out, and the test has no `holdout`"
            yield Diagnostic(
                "missing-field",
                summary,
                path="model",
                hint="for example `holdout: dataset.NAME/test`, rows that the model has not seen",
            )


def _table(ref: Ref) -> Ref:
    return ref if ref.output else ref.to("table")
