"""Compiling: what keeps a typed spec from becoming a `Resource`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlops.core import specs
from mlops.core.diagnostics import Diagnostic

if TYPE_CHECKING:
    from mlops.core.specs import Spec


def not_finite(spec: Spec) -> list[Diagnostic]:
    """Return a diagnostic for each number that JSON, and so a record, cannot hold."""
    paths = [path for path, leaf in specs.walk(spec) if isinstance(leaf, float) and not math.isfinite(leaf)]
    return [Diagnostic("value", "NaN and infinities are no values for a spec", path=path) for path in paths]
