"""Run the steps of one made resource as apply would, in this process: observe its inputs, bind, run, in order."""

from __future__ import annotations

from typing import Any

from mlops.core.addresses import Address
from mlops.core.ops import Late, Made, bind
from mlops.core.settings import Allow
from mlops.core.worlds import Place
from mlops.world.doors import Doors


def world_at(root: Any, **allow: Any) -> Doors:
    """Return the real world of a project in the folder `root`."""
    return Doors(Place(str(root), "demo", "dev", Allow(**allow)))


def keep(world: Doors, frame: Any) -> str:
    """Keep a table as a dataset's step would; return its digest."""
    path = world.scratch() / "table.parquet"
    world.tables.save(frame, path)
    return world.artifacts.put_file(path)


def make(world: Doors, kind: Any, address: str, spec: Any, outputs: dict[str, str | None]) -> dict[str, Made]:
    """Run every step of a resource; `outputs` maps the sources of late values to digests, and is added to."""
    spec = spec if isinstance(spec, kind.Spec) else kind.Spec.model_validate(spec)
    made: dict[str, Made] = {}
    inputs = kind.inputs(spec)
    observed = dict(zip(inputs, world.observe(list(inputs.values())), strict=True))
    for answer in observed.values():
        if isinstance(answer, Exception):
            raise answer
    for step in kind.steps(spec, Address(address)):
        values = {read: _value(Late(read), observed, outputs) for read in step.reads}
        op = next(op for op in kind.ops if op.verb == step.verb).model_validate(bind(step.op, values))
        made[step.name] = op.run(world)
        assert set(made[step.name].outputs) == set(step.outputs)
        outputs.update({f"{address}/{name}": digest for name, digest in made[step.name].outputs.items()})
    return made


def _value(late: Late, observed: dict[str, Any], outputs: dict[str, str | None]) -> Any:
    return observed[late.source].value if late.sort == "input" else outputs[late.source]
