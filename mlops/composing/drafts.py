"""Drafts: the resources before they are compiled. Each one's data and spec are made when somebody asks, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.composing import lifecycles
from mlops.composing.reading import CLOSED
from mlops.composing.settling import fingerprint
from mlops.composing.sources import bad_name
from mlops.composing.validating import validate
from mlops.core.addresses import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.composing.merging import Merged
    from mlops.composing.problems import Problems
    from mlops.composing.resolving import Resolver
    from mlops.core.resources import Kind, Lifecycle
    from mlops.core.specs import Spec


class Drafts:
    """All resources of the project.

    `keys` has a hash for each of what its data is made of: equal key, equal data (but for what it interpolates from others).
    `broken` has those that are there and cannot be looked at; what is wrong with them was told.
    """

    def __init__(self, merged: Merged, resolver: Resolver, kinds: Mapping[str, Kind], problems: Problems) -> None:
        self.keys: dict[str, bytes] = {}
        self.broken = merged.skipped
        self._merged = merged
        self._resolver = resolver
        self._kinds = kinds
        self._problems = problems
        self._data: dict[str, Any] = {}
        self._specs: dict[str, Spec | None] = {}
        self._lifecycles: dict[str, Lifecycle] = {}

    def enter(self, composed: Mapping[str, Any], settings: bytes) -> None:
        """Take in what Hydra merged, not resolved, and all direct files; `settings` is the fingerprint of the settings."""
        for address, data in composed.items():
            name = address.partition(".")[2]
            resolved, wrong = self._resolver.resource(address, data) if is_name(name) else (None, [bad_name(name)])
            self._settle(address, resolved, wrong)
            self.keys[address] = fingerprint(resolved)
        for address, document in self._merged.direct.items():
            self.keys[address] = document.digest if document.needs == CLOSED else document.digest + settings

    def kind(self, address: str) -> Kind:
        """Return the kind of a resource."""
        return self._kinds[address.partition(".")[0]]

    def reads(self, address: str) -> set[str]:
        """Return all resources whose values went into this one's by interpolation."""
        return self._resolver.reads(address)

    def spec(self, address: str) -> Spec | None:
        """Return the spec of a resource; None where it is broken or not there."""
        if address not in self._specs:
            self._specs[address] = None
            data = self._resolved(address)
            if address in self._data:
                fields, self._lifecycles[address], misfits = lifecycles.split(data, self.kind(address))
                self._specs[address], wrong = validate(self.kind(address).Spec, fields)
                if self._problems.tell(address, [*wrong, *misfits]):
                    self.broken.add(address)
        return self._specs[address]

    def lifecycle(self, address: str) -> Lifecycle:
        """Return the lifecycle of a resource that has a spec."""
        return self._lifecycles[address]

    def data(self, address: str) -> Any:
        """Return the plain data that a spec is made of; None where it cannot be looked at."""
        return self._data.get(address)

    def _resolved(self, address: str) -> Any:
        document = self._merged.direct.get(address)
        if address in self._data or address in self.broken or document is None:
            return self._data.get(address)
        if document.data is None or (document.needs != CLOSED and self._merged.layers is None):
            self.broken.add(address)
        elif document.needs == CLOSED:
            self._data[address] = document.data
        else:
            self._settle(address, *self._resolver.resource(address, document.data))
        return self._data.get(address)

    def _settle(self, address: str, resolved: Any, wrong: Any) -> None:
        if self._problems.tell(address, wrong):
            self.broken.add(address)
        else:
            self._data[address] = resolved
