"""Need and lock: which packages serving this model takes, and exactly which wheels these are for the base's Python.

A model that is trained anew mostly needs the same: then `needs` comes out as before, and nothing below it runs.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.digests import canonical
from mlops.core.images import Locked
from mlops.core.ops import Bindable, Made, Op
from mlops.kinds.container import looking
from mlops.kinds.container.errors import ContainerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.worlds import World

SERVER = ("granian", "msgspec", "numpy", "prometheus-client", "uvloop")  # what mlops.serving imports, whatever it serves
_BROUGHT = frozenset({"functools", "numpy", "scipy", "sklearn"})  # modules of stored types that need no package of their own
_LINE = re.compile(r"(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})")


class Need(Op):
    """Read from the model's manifest what serves it: output `needs`, JSON {form, packages}."""

    verb: ClassVar[str] = "container.need"

    artifact: Annotated[str, Bindable()]
    packages: tuple[str, ...]

    def run(self, world: World) -> Made:
        """Look into the model folder.

        Raises:
            ContainerError: the model holds types of packages that the spec does not name.
        """
        form, needed = needs(world.artifacts.folder(self.artifact), self.packages)
        kept = world.artifacts.put_bytes(canonical({"form": form, "packages": needed}) + b"\n")
        return Made({"needs": kept}, {"form": form})


class Lock(Op):
    """Resolve the needs to wheels: output `lock`, one `name==version --hash=sha256:…` a line."""

    verb: ClassVar[str] = "container.lock"

    base: Annotated[str, Bindable()]
    needs: Annotated[str, Bindable()]
    runtime: Annotated[Any, Bindable()]  # {package: version}

    def run(self, world: World) -> Made:
        """Resolve, in the versions that the model was tested with here.

        Raises:
            WorldError: no wheel of that version fits the base, or the index does not answer.
        """
        names = json.loads(world.artifacts.read_bytes(self.needs))["packages"]
        versions = {name: version for name, version in self.runtime.items() if name != "python"}
        world.report.progress(f"resolving {', '.join(names)}")
        found = world.software.resolve(names, versions, looking.platform(looking.read(world, self.base)))
        return Made({"lock": world.artifacts.put_bytes(written(found))}, {"packages": len(found)})


def needs(folder: Path, further: Sequence[str]) -> tuple[str, list[str]]:
    """Return the form in which the model folder is served (onnx, sklearn or python), and the packages that this takes.

    Raises:
        ContainerError: it holds types of packages that are not among `further`.
    """
    from mlops.serving import folders
    from mlops.serving.errors import FolderError

    try:
        manifest = folders.read(folder)
    except FolderError as error:
        message = f"the model cannot be put into an image: {error}"
        raise ContainerError(message) from error
    found = {*SERVER, *further}
    if manifest.flavor == "python":
        return "python", sorted(found)
    if manifest.onnx is not None:
        return "onnx", sorted({*found, "onnxruntime"})
    strangers = {name.partition(".")[0] for name in manifest.trusted} - _BROUGHT - {name.replace("-", "_") for name in further}
    if strangers:
        message = f"the model holds types of {', '.join(sorted(strangers))}, which the image would not have"
        raise ContainerError(message, f"packages: [{', '.join(sorted(strangers))}]")
    found |= {"scikit-learn", "skops"} | ({"pandas"} if manifest.layout == "frame" else set())
    return "sklearn", sorted(found)


def written(locked: Sequence[Locked]) -> bytes:
    """Return the lock as pip reads it."""
    return "".join(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in locked).encode()


def read(text: bytes) -> list[Locked]:
    """Return what `written` wrote."""
    return [Locked(*match.groups()) for match in map(_LINE.fullmatch, text.decode().splitlines()) if match]
