"""The table `requests` as one running step sees it; implements `core.notices.Requests`, on a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.core.notices import Notice
    from mlops.core.plans import Step
    from mlops.stores.sql import SqlStore


class StepRequests:
    """Notices about the address of one step."""

    def __init__(self, store: SqlStore, environment: str, step: Step, by: str) -> None:
        self._store, self._environment, self._step, self._by = store, environment, step, by

    def newest(self) -> int:
        """Return the sequence of the newest notice of the environment."""
        return max((notice.sequence for notice in self._store.notices(self._environment)), default=0)

    def since(self, sequence: int) -> tuple[Notice, ...]:
        """Return the notices about the step's address that are newer."""
        return tuple(self._store.notices(self._environment, self._step.address, sequence))

    def reject(self, reason: str) -> None:
        """Reject the step's key, once: a delivery that is taken up after a kill may say so again."""
        key = self._step.key or ""
        if key not in self._store.read(self._environment).rejected.get(self._step.address, {}):
            self._store.notify(self._environment, self._step.address, "rejected", key=key, by=self._by, reason=reason)

    def close(self) -> None:
        """Give the connection back."""
        self._store.close()
