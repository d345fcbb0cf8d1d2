"""What a user writes in `conf/container/<name>.yaml`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, ByteSize, Field

from mlops.core import specs
from mlops.core.addresses import Ref  # noqa: TC001 - pydantic reads the annotations
from mlops.core.settings import Engine
from mlops.core.specs import SECRET, Description, To

_PATH = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_HOST = r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:\d)|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?/"
_REPOSITORY = re.compile(rf"(?:{_HOST})?{_PATH}(?:/{_PATH})*")
_IMAGE = re.compile(rf"{_REPOSITORY.pattern}(?P<tag>:\w[\w.-]{{0,127}})?(?P<digest>@sha256:[0-9a-f]{{64}})?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?")
_OURS = ("dev.mlops.", "org.opencontainers.image.base.", "org.opencontainers.image.title", "org.opencontainers.image.version")


def _image(text: str) -> str:
    match = _IMAGE.fullmatch(text)
    if match is None or not (match["tag"] or match["digest"]):
        message = f"'{text}' is no image: write NAME:TAG@sha256:DIGEST, or NAME:TAG while you look for one"
        raise ValueError(message)
    return text


def _repository(text: str) -> str:
    if _REPOSITORY.fullmatch(text) is None:
        message = f"'{text}' is no repository: write HOST[:PORT]/NAME without a tag; every image is pushed under a tag of its own"
        raise ValueError(message)
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    odd = sorted(name for name, value in labels.items() if not _LABEL.fullmatch(name) or not value.isprintable())
    if odd:
        message = f"{', '.join(map(repr, odd))}: a label's name has letters, digits and . _ / - only, and its value no line break"
        raise ValueError(message)
    taken = sorted(name for name in labels if name.startswith(_OURS))
    if taken:
        message = (
            f"{', '.join(taken)}: mlops itself writes {'this label' if len(taken) == 1 else 'these labels'}; choose other names"
        )
        raise ValueError(message)
    return labels


def is_pinned(image: str) -> bool:
    """Tell whether the image is named by its digest, so that it is the same tomorrow."""
    return "@sha256:" in image


class Auth(specs.Spec):
    """Who pushes."""

    username: str = Field(min_length=1, max_length=200, description="The name that the registry knows")
    secret: Annotated[str, SECRET] = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="Name of the secret that is the password or the token"
    )


class Registry(specs.Spec):
    """Where a proven image is pushed to."""

    repository: Annotated[str, AfterValidator(_repository)] = Field(
        description="HOST[:PORT]/NAME, without a tag; it is pushed under the first 12 digits of its id"
    )
    auth: Auth | None = Field(default=None, description="For a registry that wants to know who pushes")


class ContainerSpec(specs.Spec):
    """An image that serves one model."""

    description: Description = ""
    model: Annotated[Ref, To("model")] = Field(description="The model that it serves")
    base: Annotated[str, AfterValidator(_image)] = Field(
        description="The image that it builds upon, which has Python: NAME:TAG@sha256:DIGEST"
    )
    packages: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")], ...] = Field(
        default=(), description="Further packages that the model's own code needs, in the versions that are installed here"
    )
    port: int = Field(default=8080, ge=1024, le=65535, description="Where it listens; without root a port from 1024 on")
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(
        default_factory=dict, description="Further labels; one that changes makes another image"
    )
    golden: int = Field(
        default=20, ge=0, le=1000, description="How many held-out rows it must answer as the model does, beside the input example"
    )
    budget: ByteSize = Field(default=ByteSize(250_000_000), description="How much it may add to its base: 250MB")
    ready_timeout: float = Field(default=10.0, gt=0, le=600, description="Seconds until it must be ready when it is proved")
    engine: Engine = Field(default=Engine(), description="The Docker engine that proves and pushes it")
    registry: Registry | None = Field(default=None, description="Where it is pushed to; nowhere where absent")
