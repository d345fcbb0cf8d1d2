"""Problems: every diagnostic of one run, with its origin, told at once at the end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.core.diagnostics import Diagnostic, Origin, Severity
from mlops.core.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlops.composing.origins import Places


class Problems:
    """Collects diagnostics. Until the files are merged nothing has an origin but what was told with one."""

    def __init__(self, found: list[Diagnostic], places: Places) -> None:
        self.found = found
        self.places = places
        self._misread = {item.origin for item in found}

    def tell(self, address: str, problems: Iterable[Diagnostic]) -> bool:
        """Add what is wrong at paths of a resource, or of the settings where `address` is empty; tell whether there was anything."""
        any_problem = False
        for item in problems:
            any_problem = True
            path = item.path or ""
            origin = self.places.of(address, path) if address else self.places.of(path.partition(".")[0], path.partition(".")[2])
            if origin is None or origin not in self._misread:  # else the value is not what was meant, and that was told
                self.found.append(replace(item, address=address or None, origin=origin))
        return any_problem

    def refuse(self, overrides: Sequence[str]) -> tuple[Diagnostic, ...]:
        """Stop where anything is wrong; return the warnings where nothing more was found.

        Raises:
            SpecError: without repetitions: the command line's in its order, then the files' by name and place.
        """

        def place(diagnostic: Diagnostic) -> tuple[int, str, int, int]:
            origin = diagnostic.origin or Origin()
            index = overrides.index(origin.override) if origin.override in overrides else len(overrides)
            return (index, origin.file or "", origin.line or 0, origin.column or 0)

        found = tuple(sorted(dict.fromkeys(self.found), key=place))
        if any(item.severity is Severity.ERROR for item in found):
            raise SpecError(found)
        return found
