"""The state as text: what is recorded, what is wrong with it, and who holds environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.rendering import words
from mlops.rendering.looks import clean, shorten, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.states import Lease, Record, State
    from mlops.rendering.looks import Look


def listing(state: State, look: Look) -> str:
    """Return one line for each record: address, version, when it was made, whether it is finished, its facts."""
    rows = [
        [address, f"version {record.version:,}", _when(record), _standing(record, look), words.facts(record.facts)]
        for address, record in sorted(state.records.items())
    ]
    begun = words.listed(dict.fromkeys(entry.step for entry in state.pending))
    lines = table(rows) if rows else [f"nothing is recorded in {state.environment}"]
    return "\n".join([*lines, *([look.paint(f"begun by an interrupted run: {begun}", "change")] if begun else [])])


def _when(record: Record) -> str:
    return words.moment(max((step.at for step in record.steps.values()), default="")) if record.steps else ""


def _standing(record: Record, look: Look) -> str:
    return "" if record.complete else look.paint("unfinished", "change")


def identity(record: Record, look: Look) -> str:
    """Return what makes a record what it is: version, what it reads, and the key and late values of each step."""
    rows = [["version", f"{record.version:,}"], ["spec", record.digest], ["reads", words.listed(record.refs) or "nothing"]]
    for name, step in record.steps.items():
        rows.append([f"key of {name}", step.key])
        rows += [[f"  {late}", words.value(value)] for late, value in step.values.items()]
    lines = (shorten(line, look.width) for line in table(rows, "  "))
    return "\n".join(["", look.paint("identity", "strong"), *lines])


def repairs(differ: Mapping[Address, str], look: Look) -> str:
    """Return which records would be written anew, and why."""
    rows = [[look.paint(address, "change"), f"the record {how}"] for address, how in differ.items()]
    return "\n".join([*table(rows), "", f"{words.plural(len(differ), 'record')} to rebuild from the journal"])


def leases(found: Sequence[Lease], held: Sequence[bool], look: Look) -> str:
    """Return one line for each lease: environment, owner, since when, and whether it still keeps others out."""
    rows = [
        [
            lease.environment,
            clean(lease.owner),
            f"since {words.moment(lease.since)}",
            f"until {words.moment(lease.expires)}" if is_held else look.paint("dead: the next apply takes over", "dim"),
        ]
        for lease, is_held in zip(found, held, strict=True)
    ]
    return "\n".join(table(rows)) if rows else "nobody holds an environment"
