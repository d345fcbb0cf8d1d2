"""Linking: what specs say about each other is checked: references, kinds, outputs, circles, and each kind's own checks."""

from __future__ import annotations

import graphlib
from contextlib import suppress
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BaseModel

from mlops.core import specs
from mlops.core.addresses import Ref
from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.core.errors import CycleError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlops.core.resources import Resource


@cache
def targets(model: type[BaseModel]) -> tuple[tuple[str, specs.To], ...]:
    """Return (dotted path, mark) of every field of the model that says which kinds it may point at; `*` is any key or index."""
    found: list[tuple[str, specs.To]] = []
    for name, field in model.model_fields.items():
        found += [(name, mark) for mark in field.metadata if isinstance(mark, specs.To)]
        found += [(".".join([name, *steps]), mark) for steps, mark in _marks(field.annotation, ())]
    return tuple(found)


def _marks(annotation: object, steps: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], specs.To]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from (((*steps, path), mark) for path, mark in targets(annotation))
        return
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from ((steps, mark) for mark in marks if isinstance(mark, specs.To))
        yield from _marks(inner, steps)
        return
    origin = get_origin(annotation)
    inside = (*steps, "*") if isinstance(origin, type) and issubclass(origin, list | tuple | dict | set | frozenset) else steps
    for argument in get_args(annotation):
        yield from _marks(argument, inside)


def check_ref(
    path: str, ref: Ref, marks: Iterable[tuple[str, specs.To]], outputs: Mapping[str, Sequence[str]]
) -> Diagnostic | None:
    """Return what is wrong with one reference, or None; `outputs` are those of all resources, by address."""
    kind = ref.address.kind
    wanted = [name for pattern, mark in marks if specs.is_marked(path, frozenset((pattern,))) for name in mark.kinds]
    if wanted and kind not in wanted:
        summary = f"'{ref}' is a {kind}: this field takes a {' or a '.join(wanted)}"
        return Diagnostic("wrong-kind", summary, path=path, hint=_of_kinds(ref, wanted, outputs))
    if ref.address not in outputs:
        known = [address for address in outputs if address.startswith(f"{kind}.")] or list(outputs)
        return Diagnostic(
            "missing-resource", f"there is no {ref.address}", path=path, hint=did_you_mean(ref.address, known, "known")
        )
    if ref.output is not None and ref.output not in outputs[ref.address]:
        hint = did_you_mean(ref.output, outputs[ref.address], "outputs")
        if hint.startswith("did"):
            hint += f" outputs: {', '.join(outputs[ref.address])}"
        return Diagnostic("missing-output", f"{ref.address} has no output '{ref.output}'", path=path, hint=hint)
    return None


def written(data: Any, marks: Sequence[tuple[str, specs.To]]) -> Iterator[tuple[str, Ref]]:
    """Yield the references that stand in plain data, with their paths; for resources that are wrong in other ways."""
    patterns = frozenset(pattern for pattern, _ in marks)
    for path, leaf in specs.walk(data):
        if isinstance(leaf, str) and specs.is_marked(path, patterns):
            with suppress(ValueError):
                yield path, Ref.parse(leaf)


def _of_kinds(ref: Ref, kinds: Collection[str], outputs: Iterable[str]) -> str | None:
    known = [address for address in outputs if address.partition(".")[0] in kinds]
    twin = next((address for address in known if address.partition(".")[2] == ref.address.name), None)
    return f"did you mean '{twin}'?" if twin else did_you_mean(ref, known, "known")


def edges(resource: Resource) -> set[str]:
    """Return the addresses that must be done before this resource: all it refers to but the baselines it compares with."""
    baselines = {
        read.partition(":")[2].partition("|")[0] for step in resource.steps for read in step.reads if read.startswith("baseline:")
    }
    return {str(ref.address) for _, ref in resource.refs} - baselines


def refuse_circles(resources: Mapping[Any, Resource]) -> None:
    """Find a circle of references.

    Raises:
        CycleError: there is one; the message is its addresses.
    """
    waits = {str(address): sorted(edges(resource)) for address, resource in resources.items()}
    try:
        TopologicalSorter(waits).prepare()
    except graphlib.CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        message = f"resources refer to each other in a circle: {circle}"
        raise CycleError(message, "remove one of these references") from None
