"""Push: the step that brings a proven image to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from mlops.core.digests import canonical
from mlops.core.ops import Bindable, Made, Op
from mlops.core.settings import Engine  # noqa: TC001 - pydantic reads the annotations
from mlops.kinds.container.proving import short
from mlops.kinds.container.specs import Registry  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from mlops.core.worlds import World


class Push(Op):
    """Push the image under a tag that no other image gets: output `pushed`, JSON {reference, tag}; `reference` names it by digest."""

    verb: ClassVar[str] = "container.push"

    image: Annotated[str, Bindable()]
    registry: Registry
    engine: Engine

    def run(self, world: World) -> Made:
        """Load and push.

        Raises:
            WorldError: the registry is not there, or refuses; the engine does.
        """
        repository, auth = self.registry.repository, self.registry.auth
        known = (auth.username, world.secrets.value(auth.secret)) if auth is not None else None
        image = world.images.load(self.engine, world.artifacts.folder(self.image))
        world.report.progress(f"pushing to {repository}")
        digest = world.images.push(self.engine, image, repository, short(image), known)
        pushed = {"reference": f"{repository}@{digest}", "tag": short(image)}
        return Made({"pushed": world.artifacts.put_bytes(canonical(pushed) + b"\n")}, pushed)
