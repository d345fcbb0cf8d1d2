"""What the project's policies say of a plan, as text; denials are told by the error that they end in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.rulings import Effect
from mlops.rendering.looks import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlops.core.rulings import Ruling
    from mlops.rendering.looks import Look


def warnings(found: Iterable[Ruling], look: Look) -> str:
    """Return a line for each warning; empty where there is none."""
    told = [clean(str(one)).replace("\n", "\n  ") for one in found if one.effect is Effect.WARN]
    return "\n".join(f"{look.paint('warning:', 'change')} {text}" for text in told)


def markdown(found: Iterable[Ruling]) -> str:
    """Return all rulings as a list in markdown; empty where there is none."""
    lines = [
        f"- **{one.effect}** `{one.policy}`{f' `{one.address}`' if one.address else ''}: {_inline(one.message)}" for one in found
    ]
    return "\n".join(["**Policies**", "", *lines]) if lines else ""


def _inline(text: str) -> str:
    return clean(text).replace("\n", " ").replace("<", "&lt;")
