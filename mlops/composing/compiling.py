"""Compiling: a typed spec becomes a `Resource`: its steps, inputs, gates and references."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlops.core import specs
from mlops.core.addresses import Address
from mlops.core.diagnostics import Diagnostic
from mlops.core.digests import digest
from mlops.core.resources import Resource

if TYPE_CHECKING:
    from mlops.core.resources import Kind
    from mlops.core.specs import Spec


def compile_spec(kind: Kind, address: str, spec: Spec) -> Resource:
    """Return all that planning needs of the spec.

    Raises:
        ValueError: a number in it is not finite; see `not_finite`.
    """
    where = Address(address)
    body = specs.body(spec)
    return Resource(
        address=where,
        body=body,
        digest=digest(body),
        outputs=kind.outputs(spec),
        steps=kind.steps(spec, where),
        inputs=kind.inputs(spec),
        gates=kind.gates(spec),
        refs=specs.refs(spec),
    )


def not_finite(spec: Spec) -> list[Diagnostic]:
    """Return a diagnostic for each number that JSON, and so a record, cannot hold."""
    paths = [path for path, leaf in specs.walk(spec) if isinstance(leaf, float) and not math.isfinite(leaf)]
    return [Diagnostic("value", "NaN and infinities are no values for a spec", path=path) for path in paths]
