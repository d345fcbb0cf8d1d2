"""Look: the step that learns what the base is, so that all that follows needs no engine until the image is proved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mlops.core.digests import canonical
from mlops.core.images import Platform
from mlops.core.ops import Bindable, Made, Op
from mlops.core.settings import Engine  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.worlds import World


class Look(Op):
    """Find the base image, by digest or as it was `seen` when planned: output `base`, the JSON of `core.images.Images.look`."""

    verb: ClassVar[str] = "container.look"

    image: str
    seen: Annotated[str | None, Bindable()]
    engine: Engine

    def run(self, world: World) -> Made:
        """Look; pull it where the engine lacks it.

        Raises:
            WorldError: there is no engine or no such image, or it has no Python.
        """
        world.report.progress(f"looking at {self.image}")
        found = world.images.look(self.engine, self.image)
        kept = world.artifacts.put_bytes(canonical(found) + b"\n")
        return Made({"base": kept}, {"base": self.image, "python": found["python"]["version"]})


def read(world: World, base: str) -> Mapping[str, Any]:
    """Return what `Look` found."""
    found: Mapping[str, Any] = json.loads(world.artifacts.read_bytes(base))
    return found


def platform(base: Mapping[str, Any]) -> Platform:
    """Return what wheels for the base must fit."""
    libc, version = base["libc"]
    return Platform(base["python"]["version"], base["machine"], libc, version)
