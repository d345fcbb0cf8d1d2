"""What is recorded, as text: one resource, its history, what a status finds, and how two things differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.rendering import results, verdicts, words
from mlops.rendering.looks import GAP, clean, pad, shorten, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlops.core.addresses import Address
    from mlops.core.plans import Plan, Standing
    from mlops.core.resources import Resource
    from mlops.core.settings import Origins
    from mlops.core.states import Entry, Record
    from mlops.rendering.looks import Look


def overview(addresses: Iterable[Address], records: Mapping[Address, Record], look: Look) -> str:
    """Return one line for each resource: desired or not, when it was made, its plain facts."""
    desired = set(addresses)
    rows = []
    for address in sorted(desired | set(records)):
        record = records.get(address)
        if record is None:
            rows.append([address, look.paint("not made yet", "dim"), ""])
        else:
            status = "recorded" if record.complete else "unfinished"
            rows.append([address, status if address in desired else "no longer desired", words.facts(record.facts)])
    return "\n".join(table(rows)) if rows else "no resources"


def resource(address: str, desired: Resource | None, record: Record | None, origins: Origins, look: Look) -> str:
    """Return the desired spec with where each value was written, and what is recorded of it."""
    lines = [look.paint(address, "strong")]
    body = desired.body if desired is not None else record.body if record is not None else {}
    origin = origins.of if desired is not None else lambda *_: None
    rows = [[path, words.value(leaf), str(origin(address, path) or "")] for path, leaf in leaves(body)]
    lines += table(rows, "  ")
    if record is None:
        return "\n".join([*lines, "", look.paint("not made yet", "dim")])
    for name, step in record.steps.items():
        lines += ["", f"{look.paint(name, 'strong')}{GAP}{words.moment(step.at)}{GAP}{words.seconds(step.seconds)}"]
        lines += table([*([output, digest] for output, digest in step.outputs.items())], "  ")
        lines += _facts(step.facts, look)
    return "\n".join(lines)


def _facts(facts: Mapping[str, Any], look: Look) -> list[str]:
    found = facts.get("checks")
    plain = [[name, words.fact(fact)] for name, fact in leaves({**facts, "checks": {}}) if name != "checks"]
    return table(plain, "  ") + (verdicts.checks(found, look) if found else [])


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return (dotted path, leaf) of a JSON value; lists are leaves."""
    if isinstance(value, dict) and (value or not path):
        return [pair for name, item in value.items() for pair in leaves(item, f"{path}.{name}" if path else str(name))]
    return [(path, value)]


def history(entries: Iterable[Entry], look: Look) -> str:
    """Return one line for each journal entry that ended something: when, what, how, in which run."""
    rows = [
        [words.moment(entry.at), entry.run, results.title(entry.step), _ending(entry)]
        for entry in entries
        if entry.event == "end"
    ]
    return "\n".join(shorten(line, look.width) for line in table(rows)) if rows else "nothing has happened yet"


def _ending(entry: Entry) -> str:
    body = entry.body
    said = "forgotten" if entry.forget else str(body.get("status", ""))
    if body.get("seconds") and body.get("status") in ("done", "failed"):
        said += f" in {words.seconds(body['seconds'])}"
    failure = body.get("failure")
    return f"{said}: {clean(failure['message']).splitlines()[0]}" if failure else said


def status(found: Sequence[Mapping[str, Any]], standing: Sequence[Standing], look: Look) -> str:
    """Return one line for each kept thing: whether it is as recorded, and its facts; below it one for each of its parts.

    The tests that are recorded as not passed follow.
    """
    rows = [[each["address"], _said(each["found"], look), words.facts(each["facts"])] for each in found]
    parts = [
        [line for name, items in each["facts"].items() if isinstance(items, list) for line in _parts(name, items)]
        for each in found
    ]
    lines = [line for head, below in zip(table(rows), parts, strict=True) for line in (head, *below)]
    return "\n".join([*(lines or ["nothing is running"]), *verdicts.standing(standing, look)])


def _parts(name: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each part of a kept thing, such as a replica: what is known of it."""
    rows = [
        [f"{name.removesuffix('s')} {number}", *(f"{key} {clean(str(item[key]))}" for key in item if item[key] != "")]
        for number, item in enumerate(items, 1)
    ]
    return table(rows, indent=GAP)


def _said(found: Any, look: Look) -> str:
    if found is None:
        return look.paint("as recorded", "good")
    return look.paint(clean(found if isinstance(found, str) else words.value(found)), "bad")


def differences(before: Any, after: Any, look: Look) -> str:
    """Return the fields of two JSON values that differ."""
    old, new = dict(leaves(before)), dict(leaves(after))
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    width = max((len(name) for name in names), default=0)
    lines = [f"{look.paint(pad(name, width), 'change')}{GAP}{words.change(old.get(name), new.get(name))}" for name in names]
    return "\n".join(lines) if lines else "no differences"


def of_plan(plan: Plan) -> dict[str, Any]:
    """Return what two plans are compared by: each resource's action and spec."""
    return {str(change.address): {"action": change.action.name.lower(), **change.body} for change in plan.changes}


def of_resource(desired: Resource | None, record: Record | None) -> dict[str, Any]:
    """Return what two resources are compared by: spec, facts and outputs."""
    body = desired.body if desired is not None else record.body if record is not None else {}
    if record is None:
        return dict(body)
    outputs = {name: digest for step in record.steps.values() for name, digest in step.outputs.items()}
    return {**body, "facts": {name: fact for name, fact in record.facts.items() if name != "checks"}, "outputs": outputs}
