"""A kind for benchmarks: the least that a step can be, in chains. Found through the entry point beside it, on PYTHONPATH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core import ops, specs
from mlops.core.addresses import Ref
from mlops.core.digests import canonical
from mlops.core.ops import Bindable, Late, Made
from mlops.core.resources import Kind

if TYPE_CHECKING:
    from mlops.core.addresses import Address, Ref
    from mlops.core.worlds import World


class LinkSpec(specs.Spec):
    """One link of a chain."""

    value: int = 0
    after: Annotated[Ref, specs.To("link")] | None = None
    description: Annotated[str, specs.COSMETIC] = ""


class Forge(ops.Op):
    """Keep the value and what came before."""

    verb: ClassVar[str] = "link.forge"
    value: int
    after: Annotated[str | None, Bindable()]

    def run(self, world: World) -> Made:
        """Put a few bytes into the store."""
        return Made({"iron": world.artifacts.put_bytes(canonical([self.value, self.after]))})


class Link(Kind):
    """Links."""

    name = "link"
    Spec = LinkSpec
    ops = (Forge,)

    def outputs(self, _spec: Any) -> tuple[str, ...]:
        """Return the one output."""
        return ("iron",)

    def steps(self, spec: LinkSpec, _address: Address) -> tuple[ops.Template, ...]:
        """Return the one step."""
        after = Late.output(spec.after.to("iron")) if spec.after else None
        return (ops.template("forge", Forge(value=spec.value, after=after), ("iron",), self.revision),)
