"""Guarding: what a plan must not do, or cannot do; each is a problem that the plan carries, so that it is shown whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.addresses import Address
    from mlops.core.settings import Composition, Origins
    from mlops.core.states import Record
    from mlops.engine.choosing import Scope
    from mlops.engine.observing import Observations

_PATH = "lifecycle.prevent_destroy"


def is_protected(record: Record, desired: Composition) -> bool:
    """Tell whether the thing must not be destroyed: by its file, and where that is gone, by its record."""
    resource = desired.resources.get(record.address)
    return record.protected if resource is None else resource.lifecycle.prevent_destroy


def protected(address: Address, verb: str, origins: Origins) -> Diagnostic:
    """Return the problem of a plan that would destroy what is protected; `verb` is delete or replace."""
    hint = f"leave it as it is; or set {_PATH}: false in its file, and apply that first"
    origin = origins.of(address, _PATH)
    return Diagnostic("protected", f"the plan would {verb} it, and its lifecycle prevents that", address, _PATH, origin, hint)


def still_desired(desired: Composition) -> Iterator[Diagnostic]:
    """Yield the problem of each address that `removed` wants forgotten while it is in the configuration."""
    for index, address in enumerate(desired.settings.removed):
        if address in desired.resources:
            origin = desired.origins.of("removed", str(index))
            summary = f"{address} is to be forgotten, and is still in the configuration"
            yield Diagnostic("removed", summary, address, origin=origin, hint="delete its file, or take the entry out")


def missing(scope: Scope, observed: Observations) -> Iterator[Diagnostic]:
    """Yield the problem of each import whose artifact is not in the store."""
    for index, one in enumerate(scope.desired.settings.imports):
        if one.to not in scope.imports:
            continue
        for name, digest in one.outputs.items():
            if digest in observed.absent:
                summary = f"there is no artifact {digest}, which is to be its {name}"
                hint = "copy the artifact into the store of this project, or take the entry out"
                yield Diagnostic("import", summary, one.to, origin=scope.desired.origins.of("import", str(index)), hint=hint)
