"""Install: the step that unpacks wheels and the model server into two layers; one lock gives the same bytes everywhere."""

from __future__ import annotations

from importlib.util import MAGIC_NUMBER
from typing import TYPE_CHECKING, Annotated, ClassVar

from mlops.core.ops import Bindable, Made, Op
from mlops.kinds.container import layers, locking, looking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.worlds import World

PACKAGES = "opt/mlops/packages"
SERVER = "opt/mlops/server"
_SCHEMES = {"purelib": "", "platlib": "", "headers": "include", "scripts": "bin", "data": ""}


class Install(Op):
    """Unpack what is locked for the base: outputs `packages` and `server`, each the tar of a layer."""

    verb: ClassVar[str] = "container.install"

    base: Annotated[str, Bindable()]
    lock: Annotated[str, Bindable()]
    server: Annotated[str, Bindable()]  # the digest of the server's files, so that a changed one makes another layer

    def run(self, world: World) -> Made:
        """Fetch what is not here yet, unpack, compile.

        Raises:
            WorldError: a wheel cannot be fetched, or has other bytes than were locked.
        """
        base = looking.read(world, self.base)
        scratch = world.scratch()
        packages, server = scratch / "packages", scratch / "server"
        locked = locking.read(world.artifacts.read_bytes(self.lock))
        world.report.progress(f"unpacking {len(locked)} packages")
        unpack(world.software.fetch(locked, looking.platform(base)), packages, base["python"]["executable"])
        world.software.server(server)
        is_ours = bytes.fromhex(base["python"]["magic"]) == MAGIC_NUMBER
        if is_ours:
            layers.compile_below(packages, PACKAGES)
            layers.compile_below(server, SERVER)
        outputs = {}
        for name, place, folder in (("packages", PACKAGES, packages), ("server", SERVER, server)):
            layers.write(scratch / f"{name}.tar", {place: folder})
            outputs[name] = world.artifacts.put_file(scratch / f"{name}.tar")
        return Made(outputs, {"is_compiled": is_ours})


def unpack(wheels: Sequence[Path], folder: Path, python: str) -> None:
    """Unpack wheels as an installer does: into one folder, with scripts that start `python` in its `bin`."""
    from installer import install
    from installer.destinations import SchemeDictionaryDestination
    from installer.sources import WheelFile

    places = {scheme: str(folder / place) for scheme, place in _SCHEMES.items()}
    destination = SchemeDictionaryDestination(places, interpreter=python, script_kind="posix")
    for wheel in wheels:
        with WheelFile.open(wheel) as source:
            install(source, destination, {"INSTALLER": b"mlops"})
