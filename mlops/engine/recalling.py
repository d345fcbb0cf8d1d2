"""Recalling: what the journal says of one resource, as chapters; and what a record was made from, walked back by digests. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops.core.histories import Chapter, Ending, Run, Source
from mlops.core.ops import Late

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlops.core.states import Entry, Record


@dataclass(slots=True)
class _Draft:
    """A chapter while its entries are read."""

    run: str
    plan: str
    at: str = ""
    written: str = ""  # when a record was written, or forgotten
    endings: dict[str, Ending] = field(default_factory=dict)
    why: Mapping[str, Any] = field(default_factory=dict)
    record: Record | None = None
    is_forgotten: bool = False

    def take(self, entry: Entry) -> None:
        name = entry.step.rpartition("/")[2]
        self.at = entry.at
        self.why = entry.body if "reasons" in entry.body else self.why
        if entry.event == "begin":
            self.endings[name] = Ending(name)
        elif entry.event == "end":
            failure = entry.body.get("failure") or {}
            seconds = entry.body.get("seconds", 0.0)
            self.endings[name] = Ending(name, entry.body.get("status", ""), seconds, failure.get("message", ""))
        if entry.forget or entry.record is not None:
            self.record, self.is_forgotten, self.written = entry.record, entry.forget, entry.at


def lineage(address: str, history: Callable[[str], Iterable[Entry]]) -> list[Entry]:
    """Return the journal of what is at the address, oldest first, with what it was before it moved there."""
    found = {entry.sequence: entry for entry in history(address)}
    for entry in tuple(found.values()):
        if entry.record is not None and (old := _moved_from(entry)) is not None:
            found.update((one.sequence, one) for one in lineage(old, history) if one.sequence < entry.sequence)
    return [found[sequence] for sequence in sorted(found)]


def _moved_from(entry: Entry) -> str | None:
    return next((reason["from"] for reason in entry.body.get("reasons", ()) if reason.get("code") == "moved"), None)


def recall(entries: Iterable[Entry], notes: Iterable[Entry]) -> list[Chapter]:
    """Return the chapters of one resource, oldest first; `entries` are its own, `notes` those about whole runs."""
    runs = {note.run: _run(note) for note in notes if note.body.get("run") == "begin"}
    drafts: list[_Draft] = []
    for entry in entries:
        if not drafts or (drafts[-1].run, drafts[-1].plan) != (entry.run, entry.plan):
            drafts.append(_Draft(entry.run, entry.plan))
        drafts[-1].take(entry)
    chapters = [_chapter(draft, runs.get(draft.run, Run(draft.run))) for draft in drafts]
    until = ""
    for index in reversed(range(len(chapters))):
        chapters[index] = replace(chapters[index], until=until)
        if drafts[index].written:
            until = drafts[index].written
    return chapters


def _run(note: Entry) -> Run:
    return Run(note.run, note.at, note.body.get("owner", ""), note.body.get("reason", ""), note.plan)


def _chapter(draft: _Draft, run: Run) -> Chapter:
    return Chapter(
        run,
        draft.written or draft.at,
        tuple(draft.endings.values()),
        tuple(draft.why.get("reasons", ())),
        tuple((path, before, after) for path, before, after in draft.why.get("fields", ())),
        draft.record,
        draft.is_forgotten,
    )


def within(chapters: Sequence[Chapter], start: datetime, end: datetime) -> list[Chapter]:
    """Return the chapters whose record held at some time from `start` to before `end`, or that happened then."""
    return [chapter for chapter in chapters if _is_within(chapter, start, end)]


def _is_within(chapter: Chapter, start: datetime, end: datetime) -> bool:
    at = datetime.fromisoformat(chapter.at)
    if start <= at < end:
        return True
    holds = chapter.record is not None and at < end
    return holds and (not chapter.until or datetime.fromisoformat(chapter.until) > start)


def sources(record: Record, history: Callable[[str], Iterable[Entry]]) -> tuple[Source, ...]:
    """Return what the record was made from, back to what reads nothing; `history` gives the entries of an address.

    An output is known by its digest: it was made by the last record that had it before this one was written.
    """
    read: dict[str, dict[str, str]] = {}
    for ref, digest in _reads(record):
        address, _, output = ref.partition("/")
        read.setdefault(address, {})[output] = digest
    return tuple(_source(address, outputs, record, history) for address, outputs in sorted(read.items()))


def _reads(record: Record) -> Iterator[tuple[str, str]]:
    """Yield (reference, digest) of all that the record's steps read from other resources."""
    for step in record.steps.values():
        for name, value in step.values.items():
            late = Late(name)
            if late.sort == "output" and value is not None and late.ref.address != record.address:
                yield str(late.ref), value


def _source(address: str, outputs: dict[str, str], reader: Record, history: Callable[[str], Iterable[Entry]]) -> Source:
    maker: Record | None = None
    for entry in history(address):
        if entry.sequence >= reader.version:
            break
        if entry.record is not None and all(entry.record.output(name) == digest for name, digest in outputs.items()):
            maker = entry.record
    return Source(address, outputs, maker, sources(maker, history) if maker is not None else ())
