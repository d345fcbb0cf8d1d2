"""Binding: what of the outside a plan depends on, so that an apply of the saved plan can look again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.digests import canonical
from mlops.core.plans import Observed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops.core.resources import Resource
    from mlops.core.worlds import Request
    from mlops.engine.choosing import Scope
    from mlops.engine.drafting import Draft
    from mlops.engine.observing import Observations


class Binding:
    """Collects inputs that changed steps read, and kept things that change, as they were observed."""

    def __init__(self, scope: Scope, observed: Observations) -> None:
        self.scope, self.observed = scope, observed
        self.kept: dict[str, Any] = {}  # address → what was found; None: as recorded
        self._asked: dict[bytes, tuple[Request, Any, dict[str, str]]] = {}

    def add(self, resource: Resource, todo: Iterable[Draft]) -> None:
        """Take in what the steps to do depend on."""
        address = resource.address
        if address in self.observed.kept:
            self.kept[str(address)] = self.observed.kept[address].value
        read = {name for draft in todo for name in draft.template.reads}
        for name, request in resource.inputs.items():
            if f"input:{name}" in read and (address, name) not in self.observed.recalled:
                identity = canonical([request.door, dict(request.arguments)])
                value = self.observed.inputs[address, name].value
                self._asked.setdefault(identity, (request, value, {}))[2][str(address)] = name

    def inputs(self) -> tuple[Observed, ...]:
        """Return the inputs, each once, in a stable order."""
        found = [self._asked[identity] for identity in sorted(self._asked)]
        return tuple(Observed(request.door, request.arguments, value, readers) for request, value, readers in found)
