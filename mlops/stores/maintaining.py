"""Maintaining: what a person does to a state by hand: export, import, verify, repair, and break a lease.

All of it that writes stands in the journal, under no plan, with who did it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.diagnostics import Diagnostic
from mlops.core.errors import StateError
from mlops.core.states import Entry
from mlops.stores import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops.core.addresses import Address
    from mlops.core.states import Lease, Realisation, Record, State
    from mlops.core.worlds import Clock
    from mlops.stores.documents import Document
    from mlops.stores.sql import SqlStore


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The state of one environment in the hands of a person."""

    store: SqlStore
    project: str
    environment: str
    owner: str
    run: str
    clock: Clock
    has: Callable[[str], bool]  # whether an artifact is there, and whole

    # -- to a document and back --------------------------------------------------------------------------------------

    def export(self, *, journal: bool) -> dict[str, Any]:
        """Return the environment as one JSON document."""
        state = self.store.read(self.environment)
        known = self._realisations(state)
        entries = self.store.history(self.environment) if journal else None
        return documents.write(self.project, state, (known[key] for key in sorted(known)), entries)

    def _realisations(self, state: State) -> Mapping[str, Realisation]:
        keys = {step.key for record in state.records.values() for step in record.steps.values()}
        return self.store.realised(sorted(keys))

    def restore(self, data: Any, *, force: bool) -> int:
        """Make the environment what the exported document says; return how many records that are.

        Raises:
            StateError: it is no document, is of another project or environment, or this one is not empty, and `force` is not given.
            StateLocked: another process holds the environment.
        """
        document = documents.read(data)
        with self._held() as lease:
            present = self.store.read(self.environment).records
            if not force:
                self._refuse(document, len(present))
            past, records = document.entries(), document.held()
            named = {*present, *(entry.address for entry in past if entry.address)}
            gone = sorted(named - {record.address for record in records})
            entries = [
                *past,
                *(self._entry(record.address, "imported", record=record) for record in records),
                *(self._entry(address, "forgotten", forget=True) for address in gone),
                self._note({"state": "import", "from": f"{document.project} in {document.environment}", "records": len(records)}),
            ]
            self.store.append(lease, entries, document.known())
        return len(records)

    def _refuse(self, document: Document, count: int) -> None:
        reasons = [
            f"it is of {what} '{theirs}', not '{ours}'"
            for what, theirs, ours in (
                ("project", document.project, self.project),
                ("environment", document.environment, self.environment),
            )
            if theirs != ours
        ]
        reasons += [f"environment '{self.environment}' is not empty ({count} recorded)"] * bool(count)
        if reasons:
            message = f"the exported state is not imported: {'; '.join(reasons)}"
            raise StateError(message, "choose the environment with env=…; or replace what is recorded with --force")

    # -- verify, repair ----------------------------------------------------------------------------------------------

    def differences(self) -> dict[Address, str]:
        """Return which records are not what the journal says, and how."""
        found, folded = self.store.audit(self.environment)
        differ = {}
        for address in sorted({*found, *folded}):
            record = found.get(address)
            if isinstance(record, StateError):
                differ[address] = "cannot be read"
            elif record is None:
                differ[address] = "is missing"
            elif address not in folded:
                differ[address] = "was never written by mlops"
            elif record != folded[address]:
                differ[address] = "is not as it was written"
        return differ

    def verify(self) -> list[Diagnostic]:
        """Return all that is wrong with the state: records, artifacts that are gone, references to nothing."""
        differ = self.differences()
        problems = [
            Diagnostic("state", f"the record {how}", address, hint="mlops state repair") for address, how in differ.items()
        ]
        records = self.store.audit(self.environment)[1]
        for address, record in records.items():
            problems += self._missing(address, record)
            problems += [
                Diagnostic("state", f"it reads {ref}, of which nothing is recorded", address, hint="mlops plan says what to do")
                for ref in record.refs
                if ref not in records
            ]
        return problems

    def _missing(self, address: Address, record: Record) -> Iterator[Diagnostic]:
        for step in record.steps.values():
            for name, digest in step.outputs.items():
                if not self.has(digest):
                    hint = f"put the artifact store's copy back, or make it anew: mlops apply --replace {address}"
                    yield Diagnostic("artifact", f"its output {name} ({digest}) is not in the artifact store", address, hint=hint)

    def repair(self) -> None:
        """Make the records what the journal says.

        Raises:
            StateLocked: another process holds the environment.
        """
        with self._held() as lease:
            differ = {str(address): how for address, how in self.differences().items()}
            self.store.rebuild(lease, self._note({"state": "repair", "records": differ}))

    # -- leases ------------------------------------------------------------------------------------------------------

    def break_lease(self, environment: str) -> Lease:
        """Take the environment's lease away and return whose it was.

        Raises:
            StateError: nobody holds it.
        """
        for lease in self.store.leases():
            if lease.environment == environment:
                self.store.break_lease(lease, self._note({"state": "break", "held": lease.owner, "since": lease.since}))
                return lease
        message = f"nobody holds environment '{environment}'"
        raise StateError(message, "mlops lock list shows what is held")

    @contextmanager
    def _held(self) -> Iterator[Lease]:
        lease = self.store.acquire(self.environment, self.owner)
        try:
            yield lease
        finally:
            self.store.release(lease)

    def _note(self, body: Mapping[str, Any]) -> Entry:
        return Entry("note", self.run, self._now(), body={**body, "owner": self.owner})

    def _entry(self, address: str, status: str, **rest: Any) -> Entry:
        return Entry("end", self.run, self._now(), "", address, f"{address}/import", {"status": status}, **rest)

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="milliseconds")
