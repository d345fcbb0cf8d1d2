"""Models: trained on a dataset's split, kept as a folder that serves, and measured on rows held out.

An estimator from YAML, a function of the project, or a command; see `specs.Spec`. Two steps with keys of their own: `fit`
reads the training rows, `evaluate` the artifact and the held-out rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mlops.core.addresses import Address, Ref
from mlops.core.ops import Late, Op, Template, template
from mlops.core.resources import Kind
from mlops.core.worlds import Request
from mlops.kinds.model import checking, estimators, specs
from mlops.kinds.model.evaluating import Evaluate
from mlops.kinds.model.fitting import Fit
from mlops.kinds.model.recipes import ByCommand, ByEstimator, ByFunction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core.diagnostics import Diagnostic
    from mlops.core.settings import Allow
    from mlops.core.specs import Spec as AnySpec

_PACKAGES = ("pandas", "scikit-learn", "skops")
_CONVERTERS = ("onnx", "onnxruntime", "skl2onnx")  # where they are installed, the artifact holds a graph as well


class Model(Kind):
    """A trained model: outputs `artifact` (a model folder), `metrics` (JSON) and `holdout` (the rows it was measured on)."""

    name: ClassVar[str] = "model"
    Spec: ClassVar[type[AnySpec]] = specs.Spec
    ops: ClassVar[tuple[type[Op], ...]] = (Fit, Evaluate)

    def outputs(self, spec: specs.Spec) -> tuple[str, ...]:
        """Return `artifact`, `metrics` where it is measured, and `holdout` where rows are held out."""
        return tuple(output for outputs in _steps(spec).values() for output in outputs)

    def steps(self, spec: specs.Spec, address: Address) -> tuple[Template, ...]:
        """Return `fit`, and `evaluate` where rows are held out and no command measures itself."""
        return tuple(
            template(name, _fit(spec) if name == "fit" else _evaluate(spec, address), outputs, self.revision)
            for name, outputs in _steps(spec).items()
        )

    def inputs(self, spec: specs.Spec) -> Mapping[str, Request]:
        """Return the packages that training uses, the project's code, and the files of a command."""
        field = "packages" if spec.packages else "estimator" if spec.estimator else ""
        optional = [] if spec.command is not None else list(_CONVERTERS)
        found = {"runtime": Request("packages", {"names": list(_packages(spec)), "optional": optional}, field)}
        if spec.python is not None:
            found["code"] = Request("code", {"entry": spec.python}, "python")
        for index, path in enumerate(spec.files):
            found[f"file {path}"] = Request("file", {"path": path, "format": "bytes"}, f"files.{index}")
        return found

    def check(self, spec: specs.Spec, find: Callable[[Ref], AnySpec | None], allow: Allow) -> Iterable[Diagnostic]:
        """Yield fields that do not go together and what the project does not allow."""
        return checking.check(spec, find, allow)


def _packages(spec: specs.Spec) -> tuple[str, ...]:
    """Return the distributions that the result depends on; a command's are whatever it says."""
    if spec.command is not None:
        return spec.packages
    own = [] if spec.estimator is None else [path.partition(".")[0] for path in estimators.paths(spec.estimator, spec.params)]
    return tuple(sorted({*_PACKAGES, *spec.packages, *own} - {"sklearn"}))


def _steps(spec: specs.Spec) -> dict[str, tuple[str, ...]]:
    """Return the outputs of each step."""
    held_out = () if spec.holdout is None else ("holdout",)
    if spec.outputs is not None and spec.outputs.metrics is not None:
        return {"fit": ("artifact", "metrics", *held_out)}
    return {"fit": ("artifact",), **({"evaluate": ("metrics", *held_out)} if held_out else {})}


def _fit(spec: specs.Spec) -> Fit:
    return Fit(
        recipe=_recipe(spec),
        train=Late.output(spec.dataset.to(spec.train)),
        runtime=Late.input("runtime"),
        label=spec.label,
        features=spec.features,
        positive=spec.positive,
        seed=spec.seed,
        threads=spec.threads,
        format=spec.format,
        trusted=spec.trusted,
    )


def _recipe(spec: specs.Spec) -> ByEstimator | ByFunction | ByCommand:
    if spec.command is not None and spec.outputs is not None:
        measures = spec.outputs.metrics is not None and spec.holdout is not None
        return ByCommand(
            command=spec.command,
            params=spec.params,
            outputs=spec.outputs,
            files={path: Late.input(f"file {path}") for path in spec.files},
            holdout=Late.output(spec.dataset.to(spec.holdout)) if measures and spec.holdout else None,
        )
    if spec.python is not None:
        return ByFunction(python=spec.python, params=spec.params, code=Late.input("code"))
    return ByEstimator(estimator=spec.estimator or "", params=spec.params, preprocess=spec.preprocess)


def _evaluate(spec: specs.Spec, address: Address) -> Evaluate:
    return Evaluate(
        artifact=Late.output(Ref(f"{address}/artifact")),
        holdout=Late.output(spec.dataset.to(spec.holdout or "")),
        runtime=Late.input("runtime"),
        metrics=spec.metrics,
        threads=spec.threads,
    )
