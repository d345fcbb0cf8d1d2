"""Assembling: what is not cached is composed; parts of an older composition that still hold are taken over.

reading (bytes to documents) → merging (Hydra, for the few that need it) → resolving (interpolations) → validating
(specs) → linking (references) → compiling (resources). Diagnostics are collected, so that all of them are told at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops.composing import caching, linking, merging
from mlops.composing.compiling import compile_spec, not_finite
from mlops.composing.layering import isolated
from mlops.composing.origins import Places, Written
from mlops.composing.reading import CLOSED, Document
from mlops.composing.resolving import Resolver
from mlops.composing.sources import GROUPS, ROOT, bad_name
from mlops.composing.validating import validate
from mlops.core.addresses import Address, is_name
from mlops.core.diagnostics import Diagnostic, Origin, did_you_mean
from mlops.core.digests import digest
from mlops.core.errors import SpecError
from mlops.core.settings import Allow, Composition, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from mlops.composing.caching import Cache, Entry, Kept
    from mlops.composing.sources import Source
    from mlops.core.addresses import Ref
    from mlops.core.resources import Kind, Resource
    from mlops.core.specs import Spec

TOP = ("project", "allow", "store", "executor")
"""The keys of config.yaml that `Settings` has."""


class Assembling:
    """One run over one project."""

    def __init__(self, root: Path, sources: list[Source], kinds: Mapping[str, Kind], diagnostics: list[Diagnostic]) -> None:
        self.root, self.sources, self.kinds, self.diagnostics = root, sources, kinds, diagnostics
        self.documents = {source.option: Document(root, source, diagnostics) for source in sources}
        self.old: dict[str, Entry] = {}

    def run(self, overrides: tuple[str, ...], cache: Cache, kept: Kept | None) -> Composition:
        """Compose, and keep the result.

        Raises:
            SpecError: with every problem of every file and override.
            CycleError: resources refer to each other in a circle.
        """
        moment = cache.moment()
        self._recall(kept)
        needs = bytes(document.needs for document in self.documents.values())
        self.misread = {item.origin for item in self.diagnostics}
        with isolated():
            self.merged = merging.merge(self.documents, overrides, self.kinds, self.diagnostics)
            self.places = self._places()
            self.allow = self._allow()
            base = digest([cache.signature.hex(), self.allow.model_dump(mode="json")]).encode()
            self.old = {entry.address: entry for entry in kept.entries} if kept is not None and kept.base == base else {}
            settings = self._resolve()
            entries = self._link()
        if self.diagnostics:
            raise SpecError(_ordered(self.diagnostics, overrides))
        resources = {Address(entry.address): resource for entry, resource in entries}
        linking.refuse_circles(resources)
        cache.save(
            caching.Kept(
                moment,
                self.sources,
                [document.digest for document in self.documents.values()],
                needs,
                {name: caching.hash_variable(name) for name in self.resolver.read},
                base,
                settings.model_dump(mode="json"),
                list(self.places.parts),
                [(it.text, it.key, it.value) for it in self.places.written],
                sorted(self.places.through),
                dict(self.places.renamed),
                [entry for entry, _ in entries],
            )
        )
        return Composition(settings, resources, self.places, overrides)

    def _recall(self, kept: Kept | None) -> None:
        """Tell documents what is known of their bytes already."""
        if kept is None:
            return
        for index, old in enumerate(kept.sources):
            document = self.documents.get(old.option)
            if document is None:
                continue
            is_same = document.source == old and caching.is_settled(kept, old)
            if is_same or document.digest == kept.digests[index]:
                document.recall(kept.digests[index], kept.needs[index])

    def _places(self) -> Places:
        written = tuple(
            Written(override.input_line or "", override.key_or_group, override.value())
            for override in self.merged.overrides
            if not override.is_delete()
        )
        layers, direct = self.merged.layers, self.merged.direct
        renamed = {address: document.source.file for address, document in direct.items() if document.source.address != address}
        self.composed = self.merged.composed(self.kinds)
        return Places(self.root, layers.parts if layers is not None else (), written, frozenset(self.composed), renamed)

    def _allow(self) -> Allow:
        """Return what config.yaml itself allows, whatever the groups and the overrides say; nothing in it is resolved."""
        root = self.documents.get(ROOT)
        data = ((root.data or {}).get("allow") or {}) if root is not None else {}
        own = Places(self.root, ((ROOT, ""),))
        allow, problems = validate(Allow, data)
        self.diagnostics += [
            replace(item, path=f"allow.{item.path}", origin=own.of("allow", item.path or "")) for item in problems
        ]
        layers = self.merged.layers
        if layers is not None and (merging.plain(layers.tree, "allow") or {}) != data:
            summary, hint = "`allow` can be set only by conf/config.yaml itself", "move it to conf/config.yaml"
            self.diagnostics.append(Diagnostic("allow", summary, origin=self.places.of("allow"), hint=hint))
        return allow or Allow()

    def _resolve(self) -> Settings:
        """Resolve what Hydra merged, and the settings; prepare `self.data` for all others."""
        direct, layers = self.merged.direct, self.merged.layers
        self.keys: dict[str, bytes] = {}
        self.resolved: dict[str, Any] = {}
        self.resolver = Resolver(layers.tree if layers is not None else None, direct, self.kinds, self.allow.env)
        settings, fingerprint = self._settings()
        for address, data in self.composed.items():
            if not is_name(address.partition(".")[2]):
                self._settle(address, None, [bad_name(address.partition(".")[2])])
                continue
            resolved, problems = self.resolver.resource(address, data)
            self._settle(address, resolved, problems)
            self.keys[address] = digest(_text_keys(resolved)).encode()
        for address, document in direct.items():
            self.keys[address] = document.digest if document.needs == CLOSED else document.digest + fingerprint
        return settings

    def _settings(self) -> tuple[Settings, bytes]:
        """Return the settings, and a digest of all that an interpolation may read beside resources."""
        layers = self.merged.layers
        if layers is None:
            return Settings(), b""
        known = {*TOP, *GROUPS, merging.FREE}
        found: dict[str, Any] = {"environment": layers.choices.get("env") or "dev"}
        values: dict[str, Any] = {name: caching.hash_variable(name).hex() for name in self.allow.env}
        for key in [str(key) for key in layers.tree]:
            if key in self.kinds:
                continue
            if key not in known:
                hint = did_you_mean(key, {*known, *self.kinds})
                self.diagnostics.append(Diagnostic("unknown-key", f"unknown key '{key}'", origin=self.places.of(key), hint=hint))
                continue
            value, problems = self.resolver.settings(key, merging.plain(layers.tree, key))
            values[f"${key}"] = value
            self._tell("", problems)
            if key in TOP and not problems and value is not None:
                found[key] = value
        settings, problems = validate(Settings, found)
        self._tell("", problems)
        return settings or Settings(), digest(_text_keys(values)).encode()

    def _settle(self, address: str, resolved: Any, problems: list[Diagnostic]) -> None:
        self._tell(address, problems)
        if problems:
            self.merged.skipped.add(address)
        else:
            self.resolved[address] = resolved

    def _data(self, address: str) -> Any:
        """Return the resolved data of a resource; None where it is broken."""
        if address in self.resolved or address in self.merged.skipped:
            return self.resolved.get(address)
        document = self.merged.direct[address]
        if document.data is None or (document.needs != CLOSED and self.merged.layers is None):
            self.merged.skipped.add(address)
        elif document.needs == CLOSED:
            self.resolved[address] = document.data
        else:
            self._settle(address, *self.resolver.resource(address, document.data))
        return self.resolved.get(address)

    def _spec(self, address: str) -> Spec | None:
        """Return the spec of a resource; None where it is broken."""
        if address in self.specs:
            return self.specs[address]
        data = self._data(address)
        spec = None
        if address not in self.merged.skipped:
            spec, problems = validate(self.kinds[address.partition(".")[0]].Spec, data)
            self._tell(address, problems)
            if spec is None:
                self.merged.skipped.add(address)
        self.specs[address] = spec
        return spec

    def _link(self) -> list[tuple[Entry, Resource]]:
        """Return every resource as it is kept and as it is used, in the order of addresses."""
        self.specs: dict[str, Spec | None] = {}
        addresses = sorted(self.keys)
        taken = {address: self.old[address] for address in addresses if self._still_holds(address)}
        for address in addresses:
            if address not in taken:
                self._spec(address)
        outputs = {address: entry.outputs for address, entry in taken.items()}
        outputs.update(
            {at: self.kinds[at.partition(".")[0]].outputs(spec) for at, spec in self.specs.items() if spec is not None}
        )
        found: list[tuple[Entry, Resource]] = []
        for address in addresses:
            if address in taken:
                found.append((taken[address], taken[address].resource()))
            elif self.specs[address] is not None:
                compiled = self._compiled(address, self.specs[address], outputs)
                found += [compiled] if compiled is not None else []
        return found

    def _still_holds(self, address: str) -> bool:
        entry = self.old.get(address)
        if entry is None or entry.key != self.keys[address] or address in self.merged.skipped:
            return False
        return all(self.keys.get(other) == key for other, key in entry.asked.items())

    def _compiled(self, address: str, spec: Any, outputs: Mapping[str, tuple[str, ...]]) -> tuple[Entry, Resource] | None:
        kind = self.kinds[address.partition(".")[0]]
        asked = set(self.resolver.reads(address))

        def find(ref: Ref) -> Spec | None:
            asked.add(str(ref.address))
            return self._spec(ref.address) if ref.address in self.keys else None

        try:
            resource = compile_spec(kind, address, spec)
        except ValueError:
            problems = not_finite(spec)
            if not problems:
                raise
            self._tell(address, problems)
            return None
        marks = linking.targets(kind.Spec)
        for path, ref in resource.refs:
            asked.add(str(ref.address))
            problem = linking.check_ref(path, ref, marks, outputs) if ref.address not in self.merged.skipped else None
            self._tell(address, [problem] if problem else [])
        self._tell(address, kind.check(spec, find, self.allow))
        return caching.entry(resource, self.keys[address], {other: self.keys.get(other) for other in asked}), resource

    def _tell(self, address: str, problems: Iterable[Diagnostic]) -> None:
        for item in problems:
            path = item.path or ""
            where = self.places.of(address, path) if address else self.places.of(path.partition(".")[0], path.partition(".")[2])
            if where is not None and where in self.misread:
                continue  # the value is not what was meant, and that was told
            self.diagnostics.append(replace(item, address=address or None, origin=where))


def _text_keys(value: Any) -> Any:
    """Return the value as JSON can hold it, for a digest."""
    if isinstance(value, dict):
        return {f"{type(key).__name__}:{key}": _text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keys(item) for item in value]
    return repr(value) if isinstance(value, float | bytes) else value


def _ordered(diagnostics: Iterable[Diagnostic], overrides: Sequence[str]) -> list[Diagnostic]:
    """Return the diagnostics without repetitions: the command line's in its order, then files by name and place."""

    def place(diagnostic: Diagnostic) -> tuple[int, str, int, int]:
        origin = diagnostic.origin or Origin()
        index = overrides.index(origin.override) if origin.override in overrides else len(overrides)
        return (index, origin.file or "", origin.line or 0, origin.column or 0)

    return sorted(dict.fromkeys(diagnostics), key=place)
