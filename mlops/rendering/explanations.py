"""Explanations as text: why a resource changes or stays, and for each step what its key is made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.core.digests import short
from mlops.core.explanations import Comparison
from mlops.core.plans import Do
from mlops.rendering import machine, plans, reasons, words
from mlops.rendering.looks import clean, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    lines += ["", *table([*_around(found, look)])]
    return "\n".join(lines).rstrip()


def _head(found: Explanation, look: Look) -> Iterator[str]:
    address = look.paint(found.address, "strong")
    if found.deferred:
        yield f"{address} cannot be planned yet: {clean(found.deferred)}"
    elif found.change is None:
        yield f"{address} stays as it is: all that its keys are made of is as recorded"
    else:
        sign = found.change.action
        yield f"{look.paint(sign.value, plans.STYLES[sign])} {address}  {reasons.summary(found.change)}"
        yield from plans.details(reasons.details(found.change), look)


def _step(step: StepExplanation, look: Look) -> Iterator[str]:
    yield f"{look.paint(step.name, 'strong')} {_doing(step)}"
    rows = [["its own fields", _comparison(step.op, look), ""]]
    for part in step.parts:
        rows += _part(part, look)
    rows.append(_key(step, look))
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
    one = step.candidate
    if one is None or (step.do is None and one.at == step.at):
        return said
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
    said += reasons.amounts(part.facts_before, part.facts)
    changed = list(reasons.found(part.name, part.before, part.after)) if part.comparison is Comparison.CHANGED else []
    if not isinstance(part.after, dict):
        yield [name, said, changed[0][1] if changed else ""]
        return
    yield [name, said, _size(part.after, part.door)]
    yield from (["", what, value] for what, value, _ in reasons.capped(changed))


def _values(part: Part) -> str:
    """Return the digest, or before → after."""
    before, after = ("nothing" if value is None else words.value(value) for value in (part.before, part.after))
    match part.comparison:
        case Comparison.CHANGED:
            return f"{before} → {after}"
        case Comparison.UNKNOWN:
            return f"{before} as recorded" if part.before is not None else ""
        case _:
            return after


def _size(value: Mapping[str, Any], door: str) -> str:
    return words.plural(len(value), "package" if door == "packages" else "file")


def _key(step: StepExplanation, look: Look) -> list[str]:
    before = short(step.key_before) if step.key_before is not None else ""
    if step.key is None:
        return ["key", _comparison(Comparison.UNKNOWN, look), f"{before} as recorded" if before else ""]
    if step.key == step.key_before:
        return ["key", _comparison(Comparison.SAME, look), before]
    if not before:
        return ["key", _comparison(Comparison.NEW, look), short(step.key)]
    return ["key", _comparison(Comparison.CHANGED, look), f"{before} → {short(step.key)}"]


def _around(found: Explanation, look: Look) -> Iterator[list[str]]:
    yield ["reads", words.listed(found.reads) or "nothing of this project"]
    yield ["read by", words.listed(found.read_by) or "nobody"]
    for gate in found.gates:
        yield ["requires", f"{gate.address}: {_verdict(gate, look)}"]


def _verdict(gate: Gate, look: Look) -> str:
    if gate.passed is None:
        return "to be judged first"
    return f"{look.paint('passed', 'good') if gate.passed else look.paint('did not pass', 'bad')} ({words.moment(gate.at)})"
