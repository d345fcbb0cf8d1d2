"""Compositions: `compose` turns conf/ and the overrides into the desired project; the only door of this room.

sources (what files there are) → reading (bytes to documents) → merging (Hydra, for the few that need it) → resolving
(interpolations) → validating (specs) → linking (references) → compiling (resources).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops.composing import linking, merging, reading, sources
from mlops.composing.compiling import compile_spec
from mlops.composing.layering import isolated
from mlops.composing.origins import Places, Written
from mlops.composing.resolving import Resolver
from mlops.composing.validating import validate
from mlops.core import specs
from mlops.core.addresses import Address
from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.core.errors import SpecError
from mlops.core.settings import Allow, Composition, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlops.core.addresses import Ref
    from mlops.core.resources import Kind, Resource
    from mlops.core.specs import Spec

TOP = ("project", "allow", "store", "executor")
"""Keys of config.yaml that `Settings` has."""


def compose(root: Path, overrides: Sequence[str], kinds: Mapping[str, Kind]) -> Composition:
    """Return the project as it is written below `root`/conf with the overrides of the command line.

    Raises:
        SpecError: with every problem of every file and override.
        CycleError: resources refer to each other in a circle.
    """
    with isolated():
        return _Composing(root, tuple(overrides), kinds).composition()


class _Composing:
    """One run: collects diagnostics, so that all of them are told at once."""

    def __init__(self, root: Path, overrides: tuple[str, ...], kinds: Mapping[str, Kind]) -> None:
        self.root, self.overrides, self.kinds = root, overrides, kinds
        self.diagnostics: list[Diagnostic] = []
        found = sources.scan(root, kinds, self.diagnostics)
        self.documents = {source.option: reading.read(root, source, self.diagnostics) for source in found}
        self.merged = merging.merge(self.documents, overrides, kinds, self.diagnostics)
        self.places = self._places()

    def composition(self) -> Composition:
        allow = self._allow()
        data, settings = self._resolved(allow)
        specs_of = self._validated(data)
        resources = self._linked(specs_of, allow)
        if self.diagnostics:
            raise SpecError(sorted(dict.fromkeys(self.diagnostics), key=_place))
        linking.refuse_circles(resources)
        return Composition(settings, resources, self.places, self.overrides)

    def _places(self) -> Places:
        written = tuple(
            Written(override.input_line or "", override.key_or_group, override.value())
            for override in self.merged.overrides
            if not override.is_delete()
        )
        direct = {address: document.source.file for address, document in self.merged.direct.items()}
        parts = self.merged.layers.parts if self.merged.layers is not None else ()
        return Places(self.root, parts, written, direct)

    def _allow(self) -> Allow:
        """Return what config.yaml itself allows, whatever the groups and the overrides say."""
        root = self.documents.get(sources.ROOT)
        data = (root.data or {}).get("allow", {}) if root is not None else {}  # not resolved: an interpolation is refused as text
        places = Places(self.root, ((sources.ROOT, ""),))
        allow, problems = validate(Allow, data)
        self.diagnostics += [
            replace(item, path=f"allow.{item.path}", origin=places.of("allow", item.path or "")) for item in problems
        ]
        layers = self.merged.layers
        if layers is not None and (merging.plain(layers.tree, "allow") or {}) != (data or {}):
            origin = self.places.of("allow")
            hint = "move it to conf/config.yaml"
            self.diagnostics.append(
                Diagnostic("allow", "`allow` can be set only by conf/config.yaml itself", origin=origin, hint=hint)
            )
        return allow or Allow()

    def _resolved(self, allow: Allow) -> tuple[dict[str, Any], Settings]:
        """Return every resource's data and the settings, with values for interpolations."""
        direct = {address: document.data for address, document in self.merged.direct.items()}
        layers = self.merged.layers
        if layers is None:
            closed = {address: data for address, data in direct.items() if not self.merged.direct[address].is_open}
            self.merged.skipped.update(direct.keys() - closed.keys())
            return closed, Settings()
        composed = self.merged.composed(self.kinds)
        resolver = Resolver(layers.tree, direct, self.kinds, allow.env)
        settings = self._settings(resolver)
        resolved: dict[str, Any] = {}
        for address, data in sorted({**direct, **composed}.items()):
            if address in direct and not self.merged.direct[address].is_open:
                resolved[address] = data
                continue
            resolved[address], problems = resolver.resource(address, data)
            self._tell(address, problems)
            if problems:
                del resolved[address]
                self.merged.skipped.add(address)
        return resolved, settings

    def _settings(self, resolver: Resolver) -> Settings:
        layers = self.merged.layers
        assert layers is not None  # noqa: S101 - the caller looked
        known = {*TOP, *sources.GROUPS, merging.FREE}
        found: dict[str, Any] = {"environment": layers.choices.get("env") or "dev"}
        for key in [str(key) for key in layers.tree]:
            if key in self.kinds:
                continue
            if key not in known:
                hint = did_you_mean(key, {*known, *self.kinds})
                self.diagnostics.append(Diagnostic("unknown-key", f"unknown key '{key}'", origin=self.places.of(key), hint=hint))
                continue
            value, problems = resolver.settings(key, merging.plain(layers.tree, key))
            self._tell("", problems)
            if key in TOP and not problems:
                found[key] = value
        settings, problems = validate(Settings, found)
        self._tell("", problems)
        return settings or Settings()

    def _validated(self, data: Mapping[str, Any]) -> dict[str, Spec]:
        found: dict[str, Spec] = {}
        for address, item in data.items():
            spec, problems = validate(self.kinds[address.partition(".")[0]].Spec, item)
            self._tell(address, problems)
            if spec is None:
                self.merged.skipped.add(address)
            else:
                found[address] = spec
        return found

    def _linked(self, specs_of: Mapping[str, Spec], allow: Allow) -> dict[Address, Resource]:
        kinds = {address: self.kinds[address.partition(".")[0]] for address in specs_of}
        outputs = {address: kinds[address].outputs(spec) for address, spec in specs_of.items()}
        resources: dict[Address, Resource] = {}

        def find(ref: Ref) -> Spec | None:
            return specs_of.get(ref.address)

        for address, spec in specs_of.items():
            marks = linking.targets(type(spec))
            for path, ref in specs.refs(spec):
                problem = linking.check_ref(path, ref, marks, outputs) if ref.address not in self.merged.skipped else None
                self._tell(address, [problem] if problem else [])
            self._tell(address, kinds[address].check(spec, find, allow))
            resources[Address(address)] = compile_spec(kinds[address], address, spec)
        return resources

    def _tell(self, address: str, problems: Any) -> None:
        for item in problems:
            path = item.path or ""
            where = self.places.of(address, path) if address else self.places.of(*_split(path))
            self.diagnostics.append(replace(item, address=address or None, origin=where))


def _split(path: str) -> tuple[str, str]:
    first, _, rest = path.partition(".")
    return first, rest


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    origin = diagnostic.origin
    if origin is None:
        return ("", 0, 0, diagnostic.summary)
    return (origin.file or "", origin.line or 0, origin.column or 0, diagnostic.summary)
