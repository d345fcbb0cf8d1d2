"""Settings: what `conf/config.yaml` and its groups say about the project itself; they are no resources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, Self
from urllib.parse import quote

from pydantic import AfterValidator, ByteSize, ConfigDict, Field, model_validator

from mlops.core.addresses import Address  # noqa: TC001 - pydantic reads the annotations
from mlops.core.specs import SECRET, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.diagnostics import Diagnostic, Origin
    from mlops.core.resources import Resource


_POLICY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*|[^$\s][^$]*\.rego")


def _policy(text: str) -> str:
    if not _POLICY.fullmatch(text):
        message = f"'{text}' is no policy: write module:function for a function in src/, or the path of a .rego file"
        raise ValueError(message)
    return text


class Allow(Spec):
    """What the configuration may reach for; only `conf/config.yaml` itself can set it, no group and no override."""

    commands: bool = Field(default=False, description="Models that are made by a command")
    env: tuple[str, ...] = Field(default=(), description="Environment variables that ${oc.env:…} may read")
    estimators: tuple[str, ...] = Field(
        default=(), description="Further packages than scikit-learn whose estimators may be imported"
    )
    pickle: bool = Field(default=False, description="Models that are kept as a pickle, which runs any code when it is loaded")


def without_password(url: str) -> str:
    """Return the URL with stars in place of its password, in either of the two places where one may stand."""
    url = re.sub(r"(//[^:/@?]*):[^@/]*@", r"\1:***@", url)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", url)


def with_password(url: str, password: str | None) -> str:
    """Return PostgreSQL's URL with the password in it; for the driver only, never to be kept or shown."""
    return url if password is None else f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


def _without_secret(url: str) -> str:
    if without_password(url) != url:
        message = "a URL with a password would be in plans and logs: leave it out, and name a secret (secret: NAME)"
        raise ValueError(message)
    return url


_HOST = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(:\d{1,5})?"
_ENGINE = re.compile(rf"unix:///[^\s]+|tcp://{_HOST}|ssh://([A-Za-z0-9_][\w.-]*@)?{_HOST}(/[^\s]+)?")


class Engine(Spec):
    """A Docker engine, in the words of `docker --host` and `--tlsverify`."""

    host: str | None = Field(
        default=None,
        description="`unix:///SOCKET`, `tcp://HOST:2376` or `ssh://USER@HOST`; what DOCKER_HOST says, or this machine's, where absent",
    )
    tls: Annotated[str, Field(pattern=r"^[/~]")] | Literal[False] | None = Field(
        default=None,
        description="Folder of `ca.pem`, `cert.pem` and `key.pem` for tcp; `false` where the port is open to all who reach it",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.host is not None and not _ENGINE.fullmatch(self.host):
            message = f"'{self.host}' is no engine: write unix:///SOCKET, tcp://HOST:PORT or ssh://USER@HOST"
            raise ValueError(message)
        is_tcp = self.host is not None and self.host.startswith("tcp://")
        if is_tcp and self.tls is None:
            message = f"{OPEN_TO_ALL}: name the folder of the certificates (tls), or say that it is meant so (tls: false)"
            raise ValueError(message)
        if self.tls is not None and not is_tcp:
            message = "tls belongs to an engine behind tcp://"
            raise ValueError(message)
        return self


OPEN_TO_ALL = "without TLS everybody who reaches the port of the engine is root there"


class StoreSettings(Spec):
    """Where the state is kept."""

    url: Annotated[str, AfterValidator(_without_secret)] = Field(
        default="sqlite:///.mlops/state.db",
        description="`sqlite:///PATH`, relative to the project, or `postgresql://USER@HOST/DATABASE`; no password",
    )
    secret: Annotated[str | None, SECRET] = Field(
        default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="Name of the secret that is the password of PostgreSQL"
    )


class StepLimits(Spec):
    """What a step may take. No key depends on it."""

    cpus: int | None = Field(
        default=None, ge=1, description="Processors that the step is bound to; it counts as one where absent"
    )
    gpus: int | None = Field(default=None, ge=0, description="GPUs that the step alone sees, in CUDA_VISIBLE_DEVICES")
    memory: ByteSize | None = Field(default=None, description="Memory that each of its processes may take: 2GiB")
    timeout: float | None = Field(default=None, gt=0, description="Seconds that it may take")
    network: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="With type docker: the network of its container, as `docker run --network`; none where absent",
    )


class Mount(Spec):
    """A folder or file that containers see, in the words of `docker run --mount`."""

    source: str = Field(pattern=r"^/[^,]*$", description="Its path on the machine of the engine")
    target: str | None = Field(default=None, pattern=r"^/[^,]*$", description="Its path in the container; the same where absent")
    readonly: bool = Field(default=True, description="Whether containers may not write to it")


class ExecutorSettings(Spec):
    """Where steps run, and what they may take."""

    type: Literal["local", "docker"] = Field(
        default="local", description="local: processes on this machine; docker: a container for each step"
    )
    image: str | None = Field(
        default=None, pattern=r"^[^\s-]\S*$", description="With type docker: the image with mlops in it; the engine must have it"
    )
    python: str = Field(
        default="python3", pattern=r"^[^\s-]\S*$", description="With type docker: the interpreter in the image that has mlops"
    )
    engine: Engine = Field(default=Engine(), description="With type docker: the engine; it must be on this machine")
    mounts: tuple[Mount, ...] = Field(
        default=(), description="With type docker: what containers see beside the project and its artifacts"
    )
    workers: int | None = Field(default=None, ge=1, le=256, description="Steps at a time; one per core where absent")
    cpus: int | None = Field(
        default=None, ge=1, description="Processors that steps share; the cores, or `workers` if that is more, where absent"
    )
    gpus: int = Field(default=0, ge=0, le=64, description="GPUs that steps share")
    timeout: float | None = Field(default=None, gt=0, description="Seconds that a step may take; no limit where absent")
    retries: int = Field(
        default=2, ge=0, le=20, description="Further attempts at a step whose failure may pass: no answer, a killed worker"
    )
    retry_delay: float = Field(
        default=1.0,
        gt=0,
        le=600,
        description="Seconds before the second attempt, at most; doubled for each further one, and a random part of it is waited",
    )
    limits: dict[str, StepLimits] = Field(
        default={}, description="By pattern of addresses or steps (`model.*`, `model.credit/fit`); the last one that fits wins"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.type == "docker" and self.image is None:
            message = "an executor of type docker needs an image: name one that has mlops in it (image)"
            raise ValueError(message)
        meant: list[str] = [name for name in ("image", "python", "engine", "mounts") if name in self.model_fields_set]
        meant += [f"limits.{pattern}.network" for pattern, limits in self.limits.items() if limits.network is not None]
        if self.type == "local" and meant:
            message = f"{', '.join(meant)}: only an executor of type docker has that, and this one is of type local"
            raise ValueError(message)
        return self


class Moved(Spec):
    """A resource that was renamed: what is recorded under the old address holds for the new one."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Address = Field(alias="from", description="The address so far")
    to: Address = Field(description="The address that it has now")


class Import(Spec):
    """Outputs that exist already, and that no step needs to make."""

    to: Address = Field(description="The resource whose outputs they are")
    outputs: dict[str, Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]] = Field(
        min_length=1, description="The digest of each output, by its name; the artifact must be in the store"
    )


class Settings(Spec):
    """The project's settings."""

    model_config = ConfigDict(serialize_by_alias=True)

    project: str = Field(
        default="project", pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40, description="The project's name"
    )
    environment: str = Field(
        default="dev", pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40, description="The chosen option of `env`"
    )
    allow: Allow = Field(default=Allow(), description="What the configuration may reach for; no group and no override sets it")
    policies: tuple[Annotated[str, AfterValidator(_policy)], ...] = Field(
        default=(),
        description="What is asked of every plan: `module:function` in src/, or a .rego file; no group and no override sets it",
    )
    store: StoreSettings = Field(default=StoreSettings(), description="Where the state is kept")
    executor: ExecutorSettings = Field(default=ExecutorSettings(), description="Where steps run")
    moved: tuple[Moved, ...] = Field(default=(), description="Resources that were renamed, and need not be made anew")
    removed: tuple[Address, ...] = Field(default=(), description="Addresses to forget; what runs there goes on running")
    imports: tuple[Import, ...] = Field(default=(), alias="import", description="Outputs that exist already")

    def portable(self) -> dict[str, Any]:
        """Return what an apply needs to know, as plain JSON; nothing that a plan has dealt with."""
        left_out = {"project", "environment", "moved", "removed", "imports"}
        return self.model_dump(mode="json", exclude_defaults=True, exclude=left_out)


def from_portable(project: str, environment: str, data: Mapping[str, Any]) -> Settings:
    """Return the settings that a plan carries."""
    return Settings.model_validate({**data, "project": project, "environment": environment})


class Origins(Protocol):
    """Where every value was written."""

    def of(self, address: str, path: str = "") -> Origin | None:
        """Return where the value at the dotted `path` of the resource (or of a settings group) was written.

        Where the path itself was not written, the nearest thing above it that was.
        """
        ...


@dataclass(frozen=True, slots=True)
class Composition:
    """The desired project: composed, checked and compiled."""

    settings: Settings
    resources: Mapping[Address, Resource]
    origins: Origins
    overrides: tuple[str, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()  # what is allowed, and better otherwise
