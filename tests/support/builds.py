"""A project whose small model is put into an image by the steps of the kind container."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lending import credit
from making import keep, make, world_at

from mlops.core.addresses import Address
from mlops.core.ops import bind
from mlops.kinds.container import Container
from mlops.kinds.container.specs import ContainerSpec
from mlops.kinds.model import Model

if TYPE_CHECKING:
    from mlops.world.doors import Doors

LABEL = "dev.tests.container"
HOSTILE = f'$HOME "; rm -rf / \\ ${{PATH}} `id` # {os.getpid()}'  # and nobody else's, so that nobody else removes it
COLUMNS = ["age", "income", "default"]
BODY = {"model": "model.credit", "base": "mlops-test-base:local", "labels": {LABEL: HOSTILE}}


@dataclass
class Project:
    """A project in a folder, what its steps have made, and the engine that its image is proved on."""

    world: Doors
    engine: Any
    outputs: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

    def fit(self, name: str = "credit", **params: Any) -> None:
        """Train a model that converts to ONNX."""
        spec = {"dataset": "dataset.credit", "label": "default", "estimator": "sklearn.linear_model.LogisticRegression"}
        spec |= {"params": params, "preprocess": {"numeric": {"impute": "median", "scale": "standard"}}}
        make(self.world, Model(), f"model.{name}", spec, self.outputs)

    def spec(self, **changes: Any) -> ContainerSpec:
        """Return the container's spec."""
        return ContainerSpec.model_validate(BODY | {"engine": self.engine.model_dump(mode="json")} | changes)

    def build(self, *names: str, **changes: Any) -> None:
        """Run its steps of these names, or all."""
        kind, spec = Container(), self.spec(**changes)
        inputs = kind.inputs(spec)
        observed = dict(zip(inputs, self.world.observe(list(inputs.values())), strict=True))
        for step in kind.steps(spec, Address("container.credit")):
            if not names or step.name in names:
                values = {
                    late: observed[late[6:]].value if late.startswith("input:") else self.outputs[late[7:]] for late in step.reads
                }
                op = next(op for op in kind.ops if op.verb == step.verb).model_validate(bind(step.op, values))
                self.made[step.name] = op.run(self.world)
                self.outputs |= {f"container.credit/{name}": digest for name, digest in self.made[step.name].outputs.items()}

    def output(self, name: str) -> str:
        """Return the digest of one of the container's outputs."""
        return self.outputs[f"container.credit/{name}"]

    @property
    def facts(self) -> dict[str, Any]:
        """What the record would say."""
        return {name: value for each in self.made.values() for name, value in each.facts.items()}


def new_project(root, engine) -> Project:
    """Return a project with data and a model."""
    project = Project(world_at(root), engine)
    frame = credit(400)[COLUMNS]
    project.outputs["dataset.credit/train"] = keep(project.world, frame.iloc[:300])
    project.outputs["dataset.credit/test"] = keep(project.world, frame.iloc[300:])
    project.fit()
    return project
