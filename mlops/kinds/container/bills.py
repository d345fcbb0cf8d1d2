"""Bills: what is inside an image, as a CycloneDX 1.6 document; equal images have equal ones."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.core.digests import PREFIX, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cyclonedx.model.component import Component

    from mlops.core.images import Locked

_SPACE = uuid.UUID("6f1a4f0e-3c5b-5d43-9f0c-5b8a8a1f2c11")  # of our serial numbers, which are derived from the content


def bill(base: Mapping[str, Any], locked: Sequence[Locked], model: str, artifact: str, server: str) -> bytes:
    """Return the JSON of the packages (with the digest of each wheel), the model, the server, and the base with its own packages."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    content = digest([base, [[each.name, each.version, each.sha256] for each in locked], model, artifact, server])
    image = Component(name=model, type=ComponentType.CONTAINER, version=artifact.removeprefix(PREFIX)[:12], bom_ref="image")
    bom = Bom(
        serial_number=uuid.uuid5(_SPACE, content),
        metadata=BomMetaData(component=image, timestamp=datetime.fromtimestamp(0, UTC)),
        components=[*_software(locked, server), _model(model, artifact), *_base(base)],
    )
    bom.register_dependency(image, list(bom.components))
    return (JsonV1Dot6(bom).output_as_string(indent=1) + "\n").encode()


def _software(locked: Sequence[Locked], server: str) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    for each in locked:
        purl = PackageURL("pypi", None, each.name, each.version)
        yield Component(name=each.name, version=each.version, purl=purl, hashes=_hash(each.sha256), bom_ref=str(purl))
    yield Component(
        name="mlops.serving", type=ComponentType.APPLICATION, hashes=_hash(server.removeprefix(PREFIX)), bom_ref="server"
    )


def _model(name: str, artifact: str) -> Component:
    from cyclonedx.model.component import Component, ComponentType

    hashes = _hash(artifact.removeprefix(PREFIX))
    return Component(name=name, type=ComponentType.MACHINE_LEARNING_MODEL, hashes=hashes, bom_ref="model")


def _base(base: Mapping[str, Any]) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    hashes = _hash(base["digest"].removeprefix(PREFIX))
    yield Component(name=base["name"], type=ComponentType.CONTAINER, hashes=hashes, bom_ref="base")
    for name, version, architecture in base["packages"]:
        purl = PackageURL("deb", base["distribution"], name, version, {"arch": architecture})
        yield Component(name=name, version=version, purl=purl, bom_ref=str(purl))


def _hash(content: str) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=content)]
