"""Reusing: what is known of keys, as far as its artifacts are still here; planning and applying both ask through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.core.states import Realisation, State, StateReader
    from mlops.core.worlds import Artifacts


@dataclass(frozen=True, slots=True)
class Reachable:
    """A state reader that knows only realisations whose artifacts are here; one look for each output of those it finds."""

    reader: StateReader
    artifacts: Artifacts

    def read(self, environment: str) -> State:
        """Return all records of the environment."""
        return self.reader.read(environment)

    def realised(self, keys: Sequence[str]) -> Mapping[str, Realisation]:
        """Return what is known of these input keys, and may be taken over."""
        known = self.reader.realised(keys)
        return {key: found for key, found in known.items() if all(map(self.artifacts.has, found.outputs.values()))}
