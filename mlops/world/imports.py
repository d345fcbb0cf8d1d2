"""The project's own modules: which files below `src/` an entry `module:function` imports, found without running any of them.

Imports inside functions count; what is imported by a computed name is not seen, and neither are data files beside modules.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.core.diagnostics import did_you_mean
from mlops.core.digests import PREFIX
from mlops.core.errors import Refused
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the project: its dotted name, what it imports (candidates), and the functions it defines at its top."""

    name: str
    path: Path
    digest: str
    imports: tuple[str, ...]
    names: tuple[str, ...]


class Sources:
    """The modules below one `src/`. Files are parsed again only where their size or time changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parsed: dict[Path, tuple[tuple[int, ...], Module]] = {}

    def closure(self, entry: str) -> Mapping[str, Module]:
        """Return the modules, by path relative to `src/`, that `module:function` and all that it imports are made of.

        Raises:
            Refused: there is no such module or function, or one of the files is no Python.
        """
        name, _, function = entry.partition(":")
        self._check(name, function)
        own = {name.partition(".")[0] for name in os.listdir(self.folder)}  # noqa: PTH208 - names only
        found: dict[str, Module] = {}
        waiting = [name]
        seen: set[str] = set()
        while waiting:
            wanted = waiting.pop()
            if wanted in seen or wanted.partition(".")[0] not in own:
                continue
            seen.add(wanted)
            path = self._path(wanted)
            if path is not None:
                module = self._parse(wanted, path)
                found[path.relative_to(self.folder).as_posix()] = module
                waiting += [*_with_parents(module.name), *module.imports]
        return dict(sorted(found.items()))

    def _check(self, name: str, function: str) -> None:
        path = self._path(name)
        if path is None:
            message = f"there is no module {name} in src/"
            raise Refused(message, did_you_mean(name, self._modules(), "its modules"))
        if name.partition(".")[0] in sys.stdlib_module_names:
            message = f"src/{path.relative_to(self.folder)} hides Python's own module '{name.partition('.')[0]}'"
            raise Refused(message, "rename it")
        names = self._parse(name, path).names
        if function not in names:
            message = f"src/{path.relative_to(self.folder)} has no function '{function}'"
            raise Refused(message, did_you_mean(function, names, "it has"))

    def _path(self, name: str) -> Path | None:
        place = os.path.join(self.folder, *name.split("."))  # noqa: PTH118 - asked for thousands of models
        for path in (f"{place}/__init__.py", f"{place}.py"):
            if os.path.isfile(path):  # noqa: PTH113 - the same
                return Path(path)
        return None

    def _modules(self) -> Iterator[str]:
        for path in self.folder.rglob("*.py"):
            parts = path.relative_to(self.folder).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _parse(self, name: str, path: Path) -> Module:
        with explaining(path):
            stat = path.stat()
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            known = self._parsed.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            source = path.read_bytes()
        try:
            tree = ast.parse(source, filename=str(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            message = (
                f"src/{path.relative_to(self.folder)}{f':{line}' if line else ''} is no Python: {getattr(error, 'msg', error)}"
            )
            raise Refused(message, "mend the file") from error
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        digest = PREFIX + hashlib.sha256(source).hexdigest()
        module = Module(name, path, digest, tuple(dict.fromkeys(_imports(tree, package))), tuple(_defined(tree)))
        self._parsed[path] = (stamp, module)
        return module


def _with_parents(name: str) -> Iterator[str]:
    """Yield the packages above `name`, whose `__init__` Python runs first."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that may be modules; `from a import b` names `a` and, perhaps, `a.b`."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            for alias in part.names:
                yield from (*_with_parents(alias.name), alias.name)
        elif isinstance(part, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - part.level + 1] if part.level else []
            module = ".".join([*above, *([part.module] if part.module else [])])
            if module:
                yield from (*_with_parents(module), module)
                yield from (f"{module}.{alias.name}" for alias in part.names)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the module's top level binds to functions or classes, or imports."""
    for part in tree.body:
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            yield part.name
        elif isinstance(part, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in part.names)
        elif isinstance(part, ast.Assign):
            yield from (target.id for target in part.targets if isinstance(target, ast.Name))
