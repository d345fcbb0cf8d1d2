"""Settings: what `conf/config.yaml` and its groups say about the project itself; they are no resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from mlops.core.specs import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.addresses import Address
    from mlops.core.diagnostics import Origin
    from mlops.core.resources import Resource


class Allow(Spec):
    """What the configuration may reach for; only `conf/config.yaml` itself can set it, no group and no override."""

    commands: bool = False  # models trained by a command
    env: tuple[str, ...] = ()  # variables that `oc.env` may read
    estimators: tuple[str, ...] = ()  # further packages than scikit-learn whose estimators may be imported
    pickle: bool = False  # models saved with pickle where skops cannot


class StoreSettings(Spec):
    """Where the state is kept: `sqlite:///PATH` (relative to the project) or `postgresql://…`."""

    url: str = "sqlite:///.mlops/state.db"


class ExecutorSettings(Spec):
    """Where steps run; `workers` null: one per core."""

    type: Literal["local"] = "local"
    workers: int | None = Field(default=None, ge=1, le=256)
    timeout: float | None = Field(default=None, gt=0)  # seconds a step may take; null: no limit


class Settings(Spec):
    """The project's settings."""

    project: str = Field(default="project", pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)
    environment: str = Field(default="dev", pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=40)
    allow: Allow = Allow()
    store: StoreSettings = StoreSettings()
    executor: ExecutorSettings = ExecutorSettings()


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
