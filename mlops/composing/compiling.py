"""Compiling: a typed spec becomes a `Resource`: its steps, inputs, gates and references."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core import specs
from mlops.core.addresses import Address
from mlops.core.digests import digest
from mlops.core.resources import Resource

if TYPE_CHECKING:
    from mlops.core.resources import Kind
    from mlops.core.specs import Spec


def compile_spec(kind: Kind, address: str, spec: Spec) -> Resource:
    """Return all that planning needs of the spec."""
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
