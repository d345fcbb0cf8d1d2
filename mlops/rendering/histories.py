"""Histories as text: the chapters of one resource, and what it was made from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.core.digests import short
from mlops.core.plans import Action, Change, FieldChange, Reason
from mlops.rendering import machine, reasons, words
from mlops.rendering.looks import clean, shorten, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.core.histories import Chapter, Ending, Source
    from mlops.core.states import Record
    from mlops.rendering.looks import Look

    Told = Sequence[tuple[Chapter, Sequence[Source]]]


def as_json(told: Told) -> str:
    """Return one line of JSON for each chapter."""
    return "\n".join(machine.dump({**asdict(chapter), "sources": [asdict(one) for one in sources]}) for chapter, sources in told)


def overview(chapters: Sequence[Chapter], look: Look) -> str:
    """Return a line for each chapter: when, in which run, by whom, how it ended, why."""
    rows = [
        [words.moment(one.at), one.run.id, _who(one), "forgotten" if one.is_forgotten else _ended(one.endings), _why(one)]
        for one in chapters
    ]
    return "\n".join(shorten(line, look.width) for line in table(rows)) if rows else "nothing has happened yet"


def text(told: Told, when: str, look: Look) -> str:
    """Return the chapters of a day or a moment in full."""
    parts = ["\n".join(_chapter(chapter, sources, look)) for chapter, sources in told]
    return "\n\n".join(parts) if parts else f"nothing of it was there on {when}"


def _chapter(one: Chapter, sources: Sequence[Source], look: Look) -> Iterator[str]:
    yield look.paint(_head(one), "strong")
    rows = [["by", _by(one)], ["for", clean(one.run.reason)], ["why", _why(one)], ["ended", _ended(one.endings)]]
    if one.record is not None:
        outputs = [f"{name} {short(digest)}" for step in one.record.steps.values() for name, digest in step.outputs.items()]
        rows += [["made", ", ".join(outputs)], ["facts", words.facts(one.record.facts)]]
        rows += [["from", line] for line in _inputs(one.record)]
    yield from table([row for row in rows if row[1]], "  ")
    yield from _sources(sources, "  ")


def _head(one: Chapter) -> str:
    if one.is_forgotten:
        return f"{words.moment(one.at)}: no longer desired, and forgotten"
    if one.record is None:
        return f"{words.moment(one.at)}: tried, and what was there before stayed"
    until = words.moment(one.until) if one.until else "this day"
    return f"from {words.moment(one.at)} until {until}{'' if one.record.complete else ' (unfinished)'}"


def _who(one: Chapter) -> str:
    return one.run.owner.partition(" (")[0] or "unknown"


def _by(one: Chapter) -> str:
    return f"{clean(one.run.owner) or 'unknown'}, run {one.run.id}"


def _why(one: Chapter) -> str:
    """Return the plan's reasons, in the plan's words, with the fields that changed."""
    found = tuple(
        Reason(reason["code"], {name: part for name, part in reason.items() if name != "code"}) for reason in one.reasons
    )
    fields = tuple(FieldChange(*field) for field in one.fields)
    address = one.record.address if one.record is not None else None
    change = Change(address, Action.UPDATE, found, fields)  # type: ignore[arg-type] # the words do not name it
    told = [f"{path} {words.change(before, after)}" for path, before, after in one.fields]
    said = reasons.summary(change)
    return said.replace("spec changed", f"spec changed ({', '.join(told)})", 1) if told else said


def _ended(endings: Sequence[Ending]) -> str:
    return ", ".join(_ending(one) for one in endings)


def _ending(one: Ending) -> str:
    if not one.status:
        return f"{one.step} cut off"
    time = f" in {words.seconds(one.seconds)}" if one.status in ("done", "failed") and one.seconds else ""
    return f"{one.step} {one.status}{time}{f': {clean(one.failure).splitlines()[0]}' if one.failure else ''}"


def _sources(found: Sequence[Source], indent: str) -> Iterator[str]:
    """Yield what was read, one level deeper for what that was made from in turn."""
    for one in found:
        outputs = ", ".join(f"{name} {short(digest)}" for name, digest in one.outputs.items())
        if one.record is None:
            yield f"{indent}from {one.address}  {outputs}  (the journal does not know who made it)"
            continue
        facts = words.facts(one.record.facts)
        at = max((step.at for step in one.record.steps.values()), default="")
        yield f"{indent}from {one.address}  {outputs}  made {words.moment(at)}{f'  ({facts})' if facts else ''}"
        yield from (f"{indent}    {line}" for line in _inputs(one.record))
        yield from _sources(one.sources, f"{indent}  ")


def _inputs(record: Record) -> Iterator[str]:
    """Yield a line for each input from outside: `source: data/credit.csv 1a2b3c4d (4,454 rows)`."""
    seen: dict[str, Any] = {}
    for step in record.steps.values():
        seen |= {name.partition(":")[2]: value for name, value in step.values.items() if name.startswith("input:")}
    for name, value in seen.items():
        facts = words.facts(record.inputs.get(name) or {})
        yield f"{name}: {_value(value)}{f' ({facts})' if facts else ''}"


def _value(value: Any) -> str:
    """Return an input in one line; of many files or packages, how many there were."""
    if isinstance(value, dict) and len(value) > 3:  # noqa: PLR2004 - more than a line has room for
        return f"{len(value):,} entries"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_leaf(part)}" for name, part in value.items())
    return _leaf(value)


def _leaf(value: Any) -> str:
    return clean(value) if isinstance(value, str) and not value.startswith("sha256:") else words.value(value)
