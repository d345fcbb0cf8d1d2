"""Explanations as text: why a resource changes or stays, and for each step what its key is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mlops.core.digests import short
from mlops.core.explanations import Comparison
from mlops.core.plans import Do
from mlops.rendering import machine, plans, reasons, words
from mlops.rendering.looks import GAP, clean, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.explanations import Explanation, Gate, Part, StepExplanation
    from mlops.rendering.looks import Look

_DOING = {
    Do.REUSE: "takes over what was made before",
    Do.IMPORT: "takes over what is imported",
}
_STYLES = {
    Comparison.SAME: "dim",
    Comparison.CHANGED: "change",
    Comparison.NEW: "good",
    Comparison.UNKNOWN: "change",
}
_WORDS = {
    Comparison.SAME: "as recorded",
    Comparison.CHANGED: "changed",
    Comparison.NEW: "new",
    Comparison.UNKNOWN: "not known yet",
}


def as_json(found: Explanation) -> str:
    """Return the explanation as one line of JSON."""
    return machine.dump(asdict(found))


def text(found: Explanation, look: Look) -> str:
    """Return the explanation for people."""
    lines = [*_head(found, look)]
    for step in found.steps:
        lines += ["", *_step(step, look)]
    lines += ["", *table(_around(found, look))]
    return "\n".join(lines).rstrip()


def _head(found: Explanation, look: Look) -> Iterator[str]:
    address = look.paint(found.address, "strong")
    if found.deferred:
        yield f"{address} cannot be planned yet: {clean(found.deferred)}"
    elif found.change is None:
        yield f"{address} stays as it is: all that its keys are made of is as recorded"
    else:
        yield f"{address} changes: {look.paint(found.change.action.value, 'change')} {reasons.summary(found.change)}"
        yield from plans.details(reasons.details(found.change), look)


def _step(step: StepExplanation, look: Look) -> Iterator[str]:
    yield f"{look.paint(step.name, 'strong')} {_doing(step)}"
    rows = [["its own fields", _comparison(step.op, look), ""]]
    for part in step.parts:
        rows += _part(part, look)
    rows.append(["key", _key(step), ""])
    yield from table(rows, "  ")


def _doing(step: StepExplanation) -> str:
    """Return what the step will do, and from whom it could take what it makes."""
    if step.do is None:
        said = f"stays; last done {words.moment(step.at)}"
    elif step.do in _DOING:
        said = _DOING[step.do]
    elif step.key is None:
        said = "runs, unless its key comes out as one that is known"
    else:
        said = "runs"
    if step.candidate is None:
        return said
    one = step.candidate
    return f"{said}; first made in {one.environment} for {one.address}, {words.moment(one.at)}"


def _comparison(comparison: Comparison, look: Look) -> str:
    return look.paint(_WORDS[comparison], _STYLES[comparison])


def _part(part: Part, look: Look) -> Iterator[list[str]]:
    """Yield a row for the part, and below it one for each thing in it that changed: a file, a package."""
    said = _comparison(part.comparison, look)
    if part.sort != "input":
        rollout, bar, _ = part.name.partition("|")
        name = f"what {rollout} serves" if bar else part.name
        yield [name, said, _values(part)]
        return
    name = part.name if part.name == part.door else f"{part.name} ({part.door})"
    changed = list(reasons.found(part.name, part.before, part.after)) if part.comparison is Comparison.CHANGED else []
    yield [name, f"{said}{reasons.amounts(part.facts_before, part.facts)}", _size(part)]
    for what, value, _ in reasons.capped(changed):
        yield ["", what, value]


def _values(part: Part) -> str:
    """Return the digest, or before → after."""
    after = "nothing" if part.after is None else words.value(part.after)
    if part.comparison is Comparison.SAME or part.comparison is Comparison.NEW:
        return after
    before = "nothing" if part.before is None else words.value(part.before)
    return before if part.comparison is Comparison.UNKNOWN else f"{before} → {after}"


def _size(part: Part) -> str:
    """Return how many things an input is made of, where it is a mapping."""
    unit = "package" if part.door == "packages" else "file"
    return words.plural(len(part.after), unit) if isinstance(part.after, dict) else ""


def _key(step: StepExplanation) -> str:
    before = short(step.key_before) if step.key_before is not None else "none"
    if step.key is None:
        return f"{before} → not known yet"
    return short(step.key) if step.key == step.key_before else f"{before} → {short(step.key)}"


def _around(found: Explanation, look: Look) -> Iterator[list[str]]:
    yield ["reads", words.listed(found.reads) or "nothing of this project"]
    yield ["read by", words.listed(found.read_by) or "nobody"]
    for gate in found.gates:
        yield ["requires", f"{gate.address}: {_verdict(gate, look)}"]


def _verdict(gate: Gate, look: Look) -> str:
    if gate.passed is None:
        return "to be judged first"
    return f"{look.paint('passed', 'good') if gate.passed else look.paint('did not pass', 'bad')} ({words.moment(gate.at)})"
