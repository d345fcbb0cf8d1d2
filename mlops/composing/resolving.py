"""Resolving: interpolations become values, by OmegaConf, on a tree of the settings and of what is interpolated.

The tree holds what Hydra merged. A resource that took the direct path is put into it (`_graft`) only when something
interpolates from it or it interpolates in a way that needs its own place, so that most of a project never becomes
OmegaConf nodes. A text such as `${target}` means the same everywhere: it is resolved once.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omegaconf import Container, DictConfig, Node, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from mlops.core.diagnostics import Diagnostic, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from mlops.composing.merging import Merged

MISSING = "???"
MARK = "${"
RESOLVERS = ("oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select")
"""OmegaConf's own resolvers that neither execute nor read anything; `oc.env` is guarded."""

_ABSOLUTE = re.compile(r"\$\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")
_RELATIVE = re.compile(r"\$\{(\.+)[\w-]+(?:\.[\w-]+)*\}")
_VARIABLE = re.compile(r"\$\{oc\.env:[^${}]*\}")
_NOT_FOUND = re.compile(r"Interpolation key '(.+)' not found")

FAILURES = (OmegaConfBaseException, ValueError, TypeError, RecursionError)


class Resolver:
    """Resolves one project's interpolations. Runs inside `layering.isolated`."""

    def __init__(self, merged: Merged, kinds: Collection[str], variables: Collection[str]) -> None:
        self._tree = merged.layers.tree if merged.layers is not None else OmegaConf.create()
        self._direct = merged.direct
        self._kinds = kinds
        self._variables = variables
        self._known: dict[str, Any] = {}
        self._needs: dict[str, set[str]] = {}
        self._waiting: list[str] = []  # resources that must stand in the tree before anything is resolved
        self._diagnostics: list[Diagnostic] = []
        self._denied: Diagnostic | None = None  # why oc.env raised; OmegaConf wraps what a resolver raises
        self._guard()

    def resource(self, address: str, data: Any) -> tuple[Any, list[Diagnostic]]:
        """Return the resource's data with values for interpolations, and what is wrong with them (paths, no origins)."""
        self._diagnostics = []
        stands_in_tree = self._prepare(address, data) or address not in self._direct
        if stands_in_tree:
            self._waiting.append(address)
        self._graft()
        kind, _, name = address.partition(".")
        node = _child(_child(self._tree, kind), name) if stands_in_tree else None
        return self._walk(data, node, ""), self._diagnostics

    def settings(self, key: str, data: Any) -> tuple[Any, list[Diagnostic]]:
        """The same for what stands at the top under `key`."""
        self._diagnostics = []
        self._prepare(key, data)
        self._graft()
        return self._walk({key: data}, self._tree, "")[key], self._diagnostics

    def reads(self, address: str) -> set[str]:
        """Return all resources whose values went into this one's."""
        found: set[str] = set()
        waiting = [address]
        while waiting:
            for other in self._needs.get(waiting.pop(), set()) - found:
                found.add(other)
                waiting.append(other)
        return found

    def _walk(self, data: Any, node: Any, path: str) -> Any:
        if isinstance(data, dict):
            return {key: self._walk(item, _child(node, key), f"{path}.{key}" if path else str(key)) for key, item in data.items()}
        if isinstance(data, list):
            return [self._walk(item, _child(node, index), f"{path}.{index}") for index, item in enumerate(data)]
        if not isinstance(data, str):
            return data
        if data == MISSING:
            self._diagnostics.append(Diagnostic("missing-value", "a value must be given here: ??? stands for none", path=path))
        if MARK not in data:
            return data
        return self._value(data, node, path)

    def _value(self, text: str, node: Any, path: str) -> Any:
        try:
            if MARK not in _ABSOLUTE.sub("", text):
                if text not in self._known:
                    self._known[text] = _plain(OmegaConf.create({"value": text}, parent=self._tree)["value"])
                return self._known[text]
            return _plain(node._get_parent()[node._key()])  # noqa: SLF001 - the one way from a node to its resolved value
        except FAILURES as error:
            self._diagnostics.append(self._explain(text, path, error))
            return None

    def _prepare(self, address: str, data: Any) -> bool:
        """Note what the data interpolates from, to be grafted; tell whether the data must stand in the tree itself."""
        self._needs[address] = set()
        own = False
        for depth, text in _texts(data):
            own = self._note(address, depth, text) or own
        return own

    def _note(self, address: str, depth: int, text: str) -> bool:
        for match in _ABSOLUTE.finditer(text):
            kind, _, rest = match[1].partition(".")
            if kind in self._kinds and rest:
                self._need(address, f"{kind}.{rest.partition('.')[0]}")
            elif kind in self._kinds:
                self._need_all(address, kind)
        rest = _ABSOLUTE.sub("", text)
        if MARK not in rest:
            return False
        relative = [len(match[1]) for match in _RELATIVE.finditer(rest)]
        if MARK in _VARIABLE.sub("", _RELATIVE.sub("", rest)) or any(dots > depth for dots in relative):
            self._need_all(address, "")
        return True

    def _need(self, address: str, other: str) -> None:
        self._needs[address].add(other)
        self._waiting.append(other)

    def _need_all(self, address: str, kind: str) -> None:
        for other in self._direct:
            if other.startswith(f"{kind}." if kind else ""):
                self._need(address, other)

    def _graft(self) -> None:
        """Put what is waited for into the tree, and what that interpolates from in turn."""
        while self._waiting:
            address = self._waiting.pop()
            kind, _, name = address.partition(".")
            if kind not in self._tree:
                self._tree[kind] = {}
            names = _child(self._tree, kind)
            document = self._direct.get(address)
            if document is not None and name not in names:
                names[name] = document.data or {}
            if address not in self._needs:
                node = _child(names, name)
                self._prepare(address, OmegaConf.to_container(node) if isinstance(node, Container) else _raw(node))

    def _guard(self) -> None:
        """Leave only the pure resolvers, and oc.env behind `allow.env`."""
        known = BaseContainer._resolvers  # noqa: SLF001 - the set of resolvers has no public door; `isolated` puts it back
        for name in [name for name in known if name not in RESOLVERS]:
            del known[name]
        OmegaConf.register_new_resolver("oc.env", self._variable)

    def _variable(self, name: str, *default: Any) -> str | None:
        if name not in self._variables:
            summary = f"oc.env may not read {name}: conf/config.yaml does not allow it"
            self._denied = Diagnostic("env", summary, hint=f"add it to conf/config.yaml: allow: {{env: [{name}]}}")
            raise PermissionError
        value = os.environ.get(name)
        if value is not None:
            return value
        if not default:
            hint = f"set it, or give a default: ${{oc.env:{name},default}}"
            self._denied = Diagnostic("env", f"the variable {name} is not set", hint=hint)
            raise LookupError
        return None if default[0] is None else str(default[0])

    def _explain(self, text: str, path: str, error: BaseException) -> Diagnostic:
        denied, self._denied = self._denied, None
        if denied is not None:
            return replace(denied, path=path)
        message = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, RecursionError) or "Recursi" in message:
            return Diagnostic("interpolation", f"'{text}' leads back to itself", path=path)
        match = _NOT_FOUND.match(message)
        if match is not None:
            return Diagnostic("interpolation", f"'{text}': there is no '{match[1]}'", path=path, hint=self._nearest(match[1]))
        if message.startswith("Unsupported interpolation type"):
            hint = f"resolvers are {', '.join((*RESOLVERS, 'oc.env'))}"
            return Diagnostic("interpolation", f"'{text}': there is no such resolver", path=path, hint=hint)
        return Diagnostic("interpolation", f"'{text}' cannot be resolved: {message}", path=path)

    def _nearest(self, key: str) -> str | None:
        """Return the hint for the first part of the key that is not there."""
        place: Any = {str(name): self._tree._get_node(name) for name in self._tree}  # noqa: SLF001 - unresolved
        for kind in self._kinds:
            composed = place.get(kind)
            names = OmegaConf.to_container(composed) if isinstance(composed, DictConfig) else {}
            direct = {
                address.partition(".")[2]: it.data for address, it in self._direct.items() if address.startswith(f"{kind}.")
            }
            place[kind] = {**direct, **names} if isinstance(names, dict) else direct
        for part in key.split("."):
            place = OmegaConf.to_container(place) if isinstance(place, Container) else place
            if not isinstance(place, dict) or part not in place:
                return did_you_mean(part, map(str, place)) if isinstance(place, dict) else None
            place = place[part]
        return None


def _texts(data: Any, depth: int = 1) -> Iterator[tuple[int, str]]:
    """Yield every text with an interpolation and how deep it stands."""
    if isinstance(data, str):
        if MARK in data:
            yield depth - 1, data
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _texts(item, depth + 1)


def _child(node: Any, key: Any) -> Any:
    return node._get_node(key) if isinstance(node, Container) else None  # noqa: SLF001 - the node itself, not resolved


def _raw(node: Any) -> Any:
    return node._value() if isinstance(node, Node) else None  # noqa: SLF001 - as above


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if isinstance(value, Container) else value
