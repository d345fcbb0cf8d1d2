"""Kinds for tests of real processes: a `nap` makes something and takes its time, a `vigil` keeps a file and may never return."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core import ops, specs
from mlops.core.addresses import Ref  # noqa: TC001 - pydantic reads the annotations
from mlops.core.digests import canonical
from mlops.core.errors import Unavailable
from mlops.core.ops import Bindable, Late, Made
from mlops.core.resources import Kind
from mlops.core.worlds import Observation

if TYPE_CHECKING:
    from mlops.core.addresses import Address


class NapSpec(specs.Spec):
    """A link of a chain that takes its time; `fails` times it gives no answer at first."""

    value: int = 0
    after: Annotated[Ref, specs.To("nap")] | None = None
    seconds: float = 0.02
    fails: int = 0
    bytes: int = 0


class Sleep(ops.Op):
    """Sleep, then keep the value and what came before."""

    verb: ClassVar[str] = "nap.sleep"
    value: int
    after: Annotated[str | None, Bindable()]
    seconds: float
    fails: int
    bytes: int

    def run(self, world: Any) -> Made:
        """Leave a line in the file `slept` at the beginning, so that tests can count."""
        with Path(world.root, "slept").open("a") as file:
            file.write(f"{self.value}\n")
        if Path(world.root, "slept").read_text().split().count(str(self.value)) <= self.fails:
            message = f"nap {self.value} cannot be reached"
            raise Unavailable(message, "wait")
        kept = bytearray(self.bytes)
        time.sleep(self.seconds)
        return Made({"dream": world.artifacts.put_bytes(canonical([self.value, self.after]))}, {"kept": len(kept)})


class Nap(Kind):
    """Makes."""

    name = "nap"
    Spec = NapSpec
    ops = (Sleep,)

    def outputs(self, _spec: Any) -> tuple[str, ...]:
        """Return the one output."""
        return ("dream",)

    def steps(self, spec: NapSpec, _address: Address) -> tuple[ops.Template, ...]:
        """Return the one step."""
        after = Late.output(spec.after.to("dream")) if spec.after else None
        op = Sleep(value=spec.value, after=after, seconds=spec.seconds, fails=spec.fails, bytes=spec.bytes)
        return (ops.template("sleep", op, ("dream",), self.revision),)


class VigilSpec(specs.Spec):
    """A file that holds what a nap dreamt."""

    over: Annotated[Ref, specs.To("nap")]
    seconds: float = 0.0


class Hold(ops.Op):
    """Write the file, in two acts with a checkpoint between them."""

    verb: ClassVar[str] = "vigil.hold"
    here: ClassVar[bool] = True
    name: str
    dream: Annotated[str, Bindable()]
    seconds: float

    def run(self, world: Any) -> Made:
        """Take its time after the checkpoint."""
        file = Path(world.root, "held", self.name)
        file.parent.mkdir(exist_ok=True)
        if world.report.last is None:
            world.report.checkpoint({"at": "begun"})
        time.sleep(self.seconds)
        file.write_text(self.dream)
        return Made({"held": self.dream}, {"file": str(file)})


class Drop(ops.Op):
    """Remove the file."""

    verb: ClassVar[str] = "vigil.drop"
    here: ClassVar[bool] = True
    name: str

    def run(self, world: Any) -> Made:
        """Nothing happens where it is not there."""
        Path(world.root, "held", self.name).unlink(missing_ok=True)
        return Made()


class Vigil(Kind):
    """Keeps."""

    name = "vigil"
    Spec = VigilSpec
    ops = (Hold, Drop)
    keeps = True

    def outputs(self, _spec: Any) -> tuple[str, ...]:
        """Return the one output."""
        return ("held",)

    def steps(self, spec: VigilSpec, address: Address) -> tuple[ops.Template, ...]:
        """Return the one step."""
        op = Hold(name=address.name, dream=Late.output(spec.over.to("dream")), seconds=spec.seconds)
        return (ops.template("hold", op, ("held",), self.revision),)

    def observe(self, record: Any, world: Any) -> Observation:
        """Compare the file with the record."""
        file = Path(world.root, "held", record.address.name)
        found = file.read_text() if file.exists() else None
        return Observation(None if found == record.output("held") else f"holds {found}")

    def undo(self, record: Any) -> Drop:
        """Remove the file."""
        return Drop(name=record.address.name)
