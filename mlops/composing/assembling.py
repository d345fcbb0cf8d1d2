"""Assembling: what is not cached is composed; parts of an older composition that still hold are taken over.

reading (bytes to documents) → merging (Hydra, for the few that need it) → settling (settings) → drafts (interpolations
and specs) → linking (references) → compiling (resources).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.composing import caching, linking, settling
from mlops.composing.compiling import not_finite
from mlops.composing.drafts import Drafts
from mlops.composing.layering import isolated
from mlops.composing.merging import Merged, merge
from mlops.composing.origins import Places, Written
from mlops.composing.problems import Problems
from mlops.composing.reading import Document
from mlops.composing.resolving import Resolver
from mlops.composing.sources import ROOT
from mlops.core.addresses import Address
from mlops.core.digests import digest
from mlops.core.resources import compile_spec
from mlops.core.settings import Composition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops.composing.caching import Cache, Entry, Kept
    from mlops.composing.sources import Source
    from mlops.core.addresses import Ref
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.resources import Kind, Resource
    from mlops.core.settings import Allow, Settings
    from mlops.core.specs import Spec


class Assembling:
    """One run over one project."""

    def __init__(self, root: Path, sources: list[Source], kinds: Mapping[str, Kind], diagnostics: list[Diagnostic]) -> None:
        self._root, self._sources, self._kinds = root, sources, kinds
        self._diagnostics = diagnostics
        self._documents = {source.option: Document(root, source, diagnostics) for source in sources}

    def run(self, overrides: tuple[str, ...], cache: Cache, kept: Kept | None) -> Composition:
        """Compose, and keep the result.

        Raises:
            SpecError: with every problem of every file and override.
            CycleError: resources refer to each other in a circle.
        """
        moment = cache.moment()
        needs = self._read(kept)
        problems = Problems(self._diagnostics, Places(self._root))
        with isolated():
            merged = merge(self._documents, overrides, self._kinds, self._diagnostics)
            composed = merged.composed(self._kinds)
            problems.places = _places(self._root, merged, composed)
            allow = settling.allowed(self._root, self._documents.get(ROOT), merged.layers, problems)
            resolver = Resolver(merged, self._kinds, allow.env)
            settings, values = settling.settle(merged.layers, resolver, self._kinds, problems)
            drafts = Drafts(merged, resolver, self._kinds, problems)
            drafts.enter(composed, settling.fingerprint(values, allow.env))
            base = digest([cache.signature.hex(), allow.model_dump(mode="json")]).encode()
            old = {entry.address: entry for entry in kept.entries} if kept is not None and kept.base == base else {}
            compiled = _compile_all(drafts, old, allow, problems)
        warnings = problems.refuse(overrides)
        resources = {Address(entry.address): resource for entry, resource in compiled}
        linking.refuse_circles(resources)
        cache.save(
            caching.Kept(
                moment,
                self._sources,
                [document.digest for document in self._documents.values()],
                needs,
                {name: caching.hash_variable(name) for name in allow.env},
                base,
                settings.model_dump(mode="json", exclude_defaults=True),
                problems.places.kept(),
                [entry for entry, _ in compiled],
            )
        )
        return Composition(settings, resources, problems.places, overrides, warnings)

    def settings(self, overrides: tuple[str, ...]) -> Settings:
        """Return the settings alone.

        Raises:
            SpecError: they are wrong.
        """
        self._read(None)
        problems = Problems(self._diagnostics, Places(self._root))
        with isolated():
            merged = merge(self._documents, overrides, self._kinds, self._diagnostics)
            problems.places = _places(self._root, merged, {})
            known = len(problems.found) if merged.layers is not None else 0
            allow = settling.allowed(self._root, self._documents.get(ROOT), merged.layers, problems)
            settings, _ = settling.settle(merged.layers, Resolver(merged, self._kinds, allow.env), self._kinds, problems)
        if len(problems.found) > known:
            problems.refuse(overrides)
        return settings

    def _read(self, kept: Kept | None) -> bytes:
        """Read all files but those whose bytes an older composition has seen; return what each of them needs."""
        for index, old in enumerate(kept.sources if kept is not None else ()):
            document = self._documents.get(old.option)
            if kept is None or document is None:
                continue
            is_same = document.source == old and caching.is_settled(kept, old)
            if is_same or document.digest == kept.digests[index]:
                document.recall(kept.digests[index], kept.needs[index])
        return bytes(document.needs for document in self._documents.values())


def _places(root: Path, merged: Merged, composed: Mapping[str, object]) -> Places:
    written = [
        Written(override.input_line or "", override.key_or_group, override.value())
        for override in merged.overrides
        if not override.is_delete()
    ]
    renamed = {address: document.source.file for address, document in merged.direct.items() if document.source.address != address}
    parts = merged.layers.parts if merged.layers is not None else ()
    return Places(root, parts, tuple(written), frozenset(composed), renamed)


def _compile_all(drafts: Drafts, old: Mapping[str, Entry], allow: Allow, problems: Problems) -> list[tuple[Entry, Resource]]:
    """Return every resource as it is kept and as it is used, in the order of addresses."""
    addresses = sorted(drafts.keys)
    taken = {address: old[address] for address in addresses if address in old and _still_holds(old[address], drafts)}
    specs = {address: spec for address in addresses if address not in taken and (spec := drafts.spec(address)) is not None}
    outputs: dict[str, tuple[str, ...]] = dict.fromkeys(drafts.broken, ())  # there, though nobody can say with what
    outputs.update({address: entry.outputs for address, entry in taken.items()})
    outputs.update({address: drafts.kind(address).outputs(spec) for address, spec in specs.items()})
    found: list[tuple[Entry, Resource]] = []
    for address in addresses:
        if address in taken:
            problems.tell(address, taken[address].warnings)
            found.append((taken[address], taken[address].resource()))
        elif address not in specs:
            problems.tell(address, _loose(drafts, address, outputs))
        else:
            resource, wrong = _compiled(drafts, address, specs[address])
            asked, more = _checked(drafts, resource, outputs, allow) if resource is not None else (set(), [])
            problems.tell(address, [*wrong, *more])
            if resource is not None:
                keys = {it: drafts.keys.get(it) for it in asked}
                found.append((caching.entry(resource, drafts.keys[address], keys, more), resource))
    return found


def _loose(drafts: Drafts, address: str, outputs: Mapping[str, Sequence[str]]) -> list[Diagnostic]:
    """Return what is wrong with the references of a resource that has no spec, so that they are told with the rest."""
    marks = linking.targets(drafts.kind(address).Spec)
    found = linking.written(drafts.data(address), marks)
    checks = [linking.check_ref(path, ref, marks, outputs) for path, ref in found if ref.address not in drafts.broken]
    return [it for it in checks if it is not None]


def _still_holds(entry: Entry, drafts: Drafts) -> bool:
    if entry.key != drafts.keys[entry.address] or entry.address in drafts.broken:
        return False
    return all(drafts.keys.get(other) == key for other, key in entry.asked.items())


def _compiled(drafts: Drafts, address: str, spec: Spec) -> tuple[Resource | None, list[Diagnostic]]:
    try:
        return compile_spec(drafts.kind(address), Address(address), spec, drafts.lifecycle(address)), []
    except ValueError:
        wrong = not_finite(spec)
        if not wrong:
            raise
        return None, wrong


def _checked(
    drafts: Drafts, resource: Resource, outputs: Mapping[str, Sequence[str]], allow: Allow
) -> tuple[set[str], list[Diagnostic]]:
    """Check what the resource says about others; return the others that were looked at, and what is wrong."""
    address = str(resource.address)
    kind, spec = drafts.kind(address), drafts.spec(address)
    asked = {*drafts.reads(address), *(str(ref.address) for _, ref in resource.refs)}
    marks = linking.targets(kind.Spec)

    def find(ref: Ref) -> Spec | None:
        asked.add(str(ref.address))
        return drafts.spec(ref.address)

    checks = [linking.check_ref(path, ref, marks, outputs) for path, ref in resource.refs if ref.address not in drafts.broken]
    return asked, [*(it for it in checks if it is not None), *kind.check(spec, find, allow)]
