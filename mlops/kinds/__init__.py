"""Kinds: one room per sort of resource. `load` finds every kind in this package and in the entry-point group `mlops.kinds`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from mlops.core.errors import PlanError
from mlops.core.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def load() -> dict[str, Kind]:
    """Return all kinds by name, sorted.

    Raises:
        PlanError: a module of kinds fails to import, or two kinds have one name.
    """
    found: dict[str, Kind] = {}
    for module in _modules():
        for kind in _kinds_in(module):
            if kind.name in found:
                message = f"two kinds are named '{kind.name}': {type(found[kind.name]).__module__} and {module.__name__}"
                raise PlanError(message, "uninstall or rename one of them")
            found[kind.name] = kind
    return dict(sorted(found.items()))


def _modules() -> Iterator[ModuleType]:
    names = [f"{__name__}.{info.name}" for info in pkgutil.iter_modules(__path__)]
    names += [point.value for point in entry_points(group="mlops.kinds")]
    for name in names:
        try:
            yield importlib.import_module(name)
        except Exception as error:
            message = f"the kinds in '{name}' cannot be imported: {type(error).__name__}: {error}"
            raise PlanError(message, "mend or uninstall that package") from error


def _kinds_in(module: ModuleType) -> Iterator[Kind]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Kind) and found is not Kind and found.__module__.startswith(module.__name__):
            yield found()
