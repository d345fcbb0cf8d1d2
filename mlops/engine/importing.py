"""Importing: outputs that exist already, and that `import` gives by their digests, stand for steps that need not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.addresses import Address
    from mlops.core.resources import Kind
    from mlops.core.settings import Composition, Import
    from mlops.core.states import State


def find(desired: Composition, state: State, kinds: Mapping[str, Kind], problems: list[Diagnostic]) -> dict[Address, Import]:
    """Return what is to be imported; what is recorded has been, or needs no import."""
    found = {}
    for index, one in enumerate(desired.settings.imports):
        if one.to in state.records:
            continue
        wrong = _wrong(one, desired, kinds)
        if wrong is None:
            found[one.to] = one
        else:
            summary, hint = wrong
            problems.append(Diagnostic("import", summary, one.to, origin=desired.origins.of("import", str(index)), hint=hint))
    return found


def _wrong(one: Import, desired: Composition, kinds: Mapping[str, Kind]) -> tuple[str, str] | None:
    """Return what is wrong with an import, and what to do."""
    resource = desired.resources.get(one.to)
    if resource is None:
        return f"{one.to} is to be imported, and is not in the configuration", "write its file first"
    kind = kinds[one.to.kind]
    if kind.keeps:
        return f"{one.to} runs, and has no output to import", "take the entry out: apply takes over what runs under its name"
    if not kind.can_import:
        return f"a {kind.name} cannot be imported: its outputs do not say all that is recorded of it", "let apply make it"
    unknown = [name for name in one.outputs if name not in resource.outputs]
    if unknown:
        return f"{one.to} has no output '{unknown[0]}'", did_you_mean(unknown[0], resource.outputs, "outputs")
    for step in resource.steps:
        given = [name for name in step.outputs if name in one.outputs]
        if given and len(given) < len(step.outputs):
            missing = ", ".join(name for name in step.outputs if name not in one.outputs)
            return f"{one.to}: {missing} comes from the same step as {', '.join(given)}", "give all outputs of the step"
    return None
