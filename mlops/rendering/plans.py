"""Plans as text: what will change, why, and where that was written; what stays is one number."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.plans import Action, Do
from mlops.rendering import provisos, reasons, verdicts, words
from mlops.rendering.looks import GAP, cells, pad, shorten, table, widths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.core.plans import Change, Plan
    from mlops.rendering.looks import Look

STYLES = {
    Action.CREATE: "good",
    Action.UPDATE: "change",
    Action.REPLACE: "replace",
    Action.DELETE: "bad",
    Action.REUSE: "reuse",
    Action.RECORD: "dim",
    Action.MOVE: "reuse",
    Action.IMPORT: "reuse",
    Action.FORGET: "bad",
    Action.NOOP: "dim",
}
_COUNTED = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.REPLACE: "to replace",
    Action.DELETE: "to delete",
    Action.REUSE: "to reuse",
    Action.RECORD: "to record only",
    Action.MOVE: "to rename",
    Action.IMPORT: "to import",
    Action.FORGET: "to forget",
}
_INDENT = "    "
_NARROW = 24  # columns below which a value is not worth showing beside its origin


def text(plan: Plan, look: Look) -> str:
    """Return the plan as its reader sees it, without a line end after the last line."""
    changes = [change for change in plan.changes if change.action is not Action.NOOP]
    told = [*verdicts.of_plan(plan, look), *provisos.lines(plan, look)]
    if not changes:
        return "\n".join([closing(plan), *told])
    lines = [look.paint(f"{plan.project} in {plan.environment}", "strong"), ""]
    lines += _drift(changes, look)
    layout = _Layout.of(changes, look.width)
    for change in changes:
        lines += _change(change, layout, look)
    return "\n".join([*lines, "", *(look.paint(line, "strong") for line in textwrap.wrap(closing(plan), look.width)), *told])


def _drift(changes: Sequence[Change], look: Look) -> list[str]:
    """Return the section of what was found otherwise than recorded."""
    found = [
        [change.address, words.listed(_as_texts(reason.detail.get("found")))]
        for change in changes
        for reason in change.reasons
        if reason.code == "drift"
    ]
    return [look.paint("Found otherwise than recorded:", "bad"), *table(found, "  "), ""] if found else []


def _as_texts(found: object) -> list[str]:
    return [item if isinstance(item, str) else words.value(item) for item in (found if isinstance(found, list) else [found])]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns of the lines that name resources: address, why, estimate."""

    address: int
    why: int

    @classmethod
    def of(cls, changes: Sequence[Change], width: int) -> _Layout:
        address = max(cells(change.address) for change in changes)
        longest = max(cells(reasons.summary(change)) for change in changes)
        estimates = max(cells(_approximately(change)) for change in changes)
        room = width - 2 - address - len(GAP) - estimates - len(GAP)
        return cls(address, max(min(longest, room), _NARROW))


def _approximately(change: Change) -> str:
    return f"≈ {words.seconds(change.seconds)}" if change.seconds is not None and not change.is_blocked else ""


def _change(change: Change, layout: _Layout, look: Look) -> Iterator[str]:
    style = STYLES[change.action]
    why = reasons.summary(change)
    first, *rest = [why] if cells(why) <= layout.why else textwrap.wrap(why, layout.why)
    head = f"{look.paint(change.action.value, style)} {look.paint(pad(change.address, layout.address), style)}"
    yield f"{head}{GAP}{pad(first, layout.why)}{GAP}{look.paint(_approximately(change), 'dim')}".rstrip()
    margin = " " * (2 + layout.address + len(GAP))
    yield from (margin + line for line in rest)
    yield from details(reasons.details(change), look)
    for note in () if change.is_blocked else change.notes:
        yield from (
            _INDENT + look.paint(line, "dim") for line in textwrap.wrap(note, look.width - len(_INDENT), subsequent_indent="  ")
        )


def details(rows: list[tuple[str, str, str]], look: Look) -> Iterator[str]:
    """Lay out (what, before → after, where); where stands below its value when the terminal is too narrow for both."""
    if not rows:
        return
    what, value, where = widths(rows)
    room = look.width - len(_INDENT) - what - len(GAP)
    beside = room - where - len(GAP)
    is_beside = not where or beside >= min(value, _NARROW * 2)
    value = min(value, max(beside if is_beside and where else room, _NARROW))
    for name, shown, origin in rows:
        line = f"{_INDENT}{pad(name, what)}{GAP}{pad(shorten(shown, value), value)}"
        if origin and not is_beside:
            yield line.rstrip()
            yield f"{_INDENT}{' ' * what}{GAP}{look.paint(origin, 'dim')}"
        else:
            yield (f"{line}{GAP}{look.paint(origin, 'dim')}" if origin else line).rstrip()


def closing(plan: Plan) -> str:
    """Return the last line: how many of each, and how long it takes."""
    unchanged = plan.count(Action.NOOP)
    if not any(change.action is not Action.NOOP for change in plan.changes):
        return f"nothing to do; {words.plural(unchanged, 'resource')} unchanged"
    counts = [f"{amount:,} {word}" for action, word in _COUNTED.items() if (amount := _certain(plan, action))]
    conditional = sum(bool(change.condition and not change.is_blocked) for change in plan.changes)
    blocked = sum(change.is_blocked for change in plan.changes)
    if conditional:
        counts.append(
            "1 only if what it reads changes" if conditional == 1 else f"{conditional:,} only if what they read changes"
        )
    counts += [f"{blocked:,} blocked"] * bool(blocked) + [f"{unchanged:,} unchanged"] * bool(unchanged)
    return f"Plan: {', '.join(counts)}{_estimate(plan)}"


def _certain(plan: Plan, action: Action) -> int:
    return sum(change.action is action and not change.condition and not change.is_blocked for change in plan.changes)


def estimate(plan: Plan) -> float:
    """Return the seconds of the longest chain of resources; those that were never timed count nothing."""
    own = {change.address: 0.0 if change.is_blocked else change.seconds or 0.0 for change in plan.changes}
    before: dict[str, set[str]] = {address: set() for address in own}
    for step in plan.steps:
        before.setdefault(step.address, set()).update(one.rpartition("/")[0] for one in step.after)
    ends: dict[str, float] = {}
    for step in plan.steps:  # steps stand after those they wait for
        start = max((ends.get(one, 0.0) for one in before[step.address] if one != step.address), default=0.0)
        ends[step.address] = start + own.get(step.address, 0.0)
    return max(ends.values(), default=0.0)


def _estimate(plan: Plan) -> str:
    expected = estimate(plan)
    running = {step.address for step in plan.steps if step.do is Do.RUN}
    is_all_known = all(change.seconds is not None for change in plan.changes if change.address in running)
    return f"; {'about' if is_all_known else 'at least'} {words.seconds(expected)}" if expected else ""
