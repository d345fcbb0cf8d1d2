"""Containers: an image that serves one model, made of layers over a base, proved by starting it. A kind that makes.

Its steps, each with a key of its own, so that a changed model runs no more than it must:

    look      the base as an engine has it                       → base
    need      what serving this model needs, by name             → needs
    lock      the exact wheels of that for the base's Python     → lock (requirements with hashes)
    install   wheels and model server, unpacked and compiled     → packages, server (layers)
    assemble  the layers, the model's last, under one id         → built, dockerfile, sbom
    prove     started, asked, measured                           → image, proof
    push      to a registry, where the spec names one            → pushed

`image` is `built` once that is proved: nothing can refer to an image that is not. It is a folder (see `core.images.Images`) that
`world.images.load(engine, world.artifacts.folder(digest))` brings into any engine and answers with the id to start; the layers are
files that the records name, so that reuse and rollback need no network. Its entry point serves the model under its name on
`port` of the spec with the version in `facts["version"]`; a command of the container's own takes the place of the port, the version and
the track: `["--bind", "0.0.0.0:8080", "--version", "…", "--track", "canary"]`.

Facts of the record: `id` (of the image: sha256:…), `version` (first 12 hex digits of the model's digest), `model` (its digest), `port`,
`size` and `budget` (bytes over the base), `ready_seconds`, `rows` (of golden answers), `base`, `python`, `packages` (how many);
with a registry `reference` (REPOSITORY@sha256:…, to pull it by).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mlops.core.addresses import Address, Ref
from mlops.core.diagnostics import Diagnostic, Severity
from mlops.core.ops import Late, Op, Template, template
from mlops.core.resources import Kind
from mlops.core.worlds import Request
from mlops.kinds.container.assembling import Assemble
from mlops.kinds.container.installing import Install
from mlops.kinds.container.locking import SERVER, Lock, Need
from mlops.kinds.container.looking import Look
from mlops.kinds.container.proving import Prove
from mlops.kinds.container.pushing import Push
from mlops.kinds.container.specs import ContainerSpec, is_pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mlops.core.settings import Allow
    from mlops.core.specs import Spec as AnySpec

_MODELS = ("onnxruntime", "pandas", "scikit-learn", "skops")  # what one model or another needs
_OUTPUTS: dict[str, tuple[str, ...]] = {
    "look": ("base",),
    "need": ("needs",),
    "lock": ("lock",),
    "install": ("packages", "server"),
    "assemble": ("built", "dockerfile", "sbom"),
    "prove": ("image", "proof"),
    "push": ("pushed",),
}


class Container(Kind):
    """An image of a model, its server and their packages, that was started and answered as the model does."""

    name: ClassVar[str] = "container"
    Spec: ClassVar[type[AnySpec]] = ContainerSpec
    ops: ClassVar[tuple[type[Op], ...]] = (Look, Need, Lock, Install, Assemble, Prove, Push)

    def outputs(self, spec: ContainerSpec) -> tuple[str, ...]:
        """Return `image` and what it was made of; `pushed` where there is a registry."""
        return tuple(output for name in _steps(spec) for output in _OUTPUTS[name])

    def inputs(self, spec: ContainerSpec) -> Mapping[str, Request]:
        """Return the versions that models are tested with here, the model server, and the base where its name is no digest."""
        names = [*SERVER, *spec.packages]
        found = {
            "runtime": Request("packages", {"names": names, "optional": list(_MODELS)}, "packages" if spec.packages else ""),
            "server": Request("server", {}),
        }
        if not is_pinned(spec.base):
            arguments = {"name": spec.base, "engine": spec.engine.model_dump(mode="json", exclude_defaults=True)}
            found["base"] = Request("image", arguments, "base")
        return found

    def steps(self, spec: ContainerSpec, address: Address) -> tuple[Template, ...]:
        """Return the steps from the base to the registry."""
        return tuple(
            template(name, op, _OUTPUTS[name], self.revision) for name, op in _ops(spec, address) if name in _steps(spec)
        )

    def check(self, spec: ContainerSpec, find: Callable[[Ref], AnySpec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield a base that is not pinned, and golden rows that the model does not hold out."""
        if not is_pinned(spec.base):
            summary = f"the base '{spec.base}' is not pinned: whoever has the tag can change what is served"
            hint = "name its digest, too: NAME:TAG@sha256:… (docker image inspect --format '{{.RepoDigests}}' NAME:TAG)"
            yield Diagnostic("not-pinned", summary, path="base", hint=hint, severity=Severity.WARNING)
        if spec.model.output not in (None, "artifact"):
            summary = f"'{spec.model}' is not the model itself"
            yield Diagnostic("cannot-serve", summary, path="model", hint=f"write {spec.model.address}")
        model = find(spec.model)
        if spec.golden and model is not None and getattr(model, "holdout", "") is None:
            summary = f"{spec.model.address} holds no rows out, and {spec.golden} golden ones are asked for"
            hint = "write `golden: 0`, then the input example alone is asked; or give the model a `holdout`"
            yield Diagnostic("no-golden-rows", summary, path="golden", hint=hint)


def _steps(spec: ContainerSpec) -> tuple[str, ...]:
    return tuple(name for name in _OUTPUTS if name != "push" or spec.registry is not None)


def _ops(spec: ContainerSpec, address: Address) -> Iterator[tuple[str, Op]]:
    made = {name: Late.output(Ref(f"{address}/{name}")) for outputs in _OUTPUTS.values() for name in outputs}
    artifact, name = Late.output(spec.model.to("artifact")), spec.model.address.name
    yield "look", Look(image=spec.base, seen=None if is_pinned(spec.base) else Late.input("base"), engine=spec.engine)
    yield "need", Need(artifact=artifact, packages=spec.packages)
    yield "lock", Lock(base=made["base"], needs=made["needs"], runtime=Late.input("runtime"))
    yield "install", Install(base=made["base"], lock=made["lock"], server=Late.input("server"))
    yield (
        "assemble",
        Assemble(
            base=made["base"],
            lock=made["lock"],
            packages=made["packages"],
            server=made["server"],
            artifact=artifact,
            name=name,
            port=spec.port,
            labels=spec.labels,
        ),
    )
    yield (
        "prove",
        Prove(
            built=made["built"],
            artifact=artifact,
            holdout=Late.output(spec.model.to("holdout")) if spec.golden else None,
            golden=spec.golden,
            name=name,
            port=spec.port,
            budget=spec.budget,
            ready_timeout=spec.ready_timeout,
            engine=spec.engine,
        ),
    )
    if spec.registry is not None:
        yield "push", Push(image=made["image"], registry=spec.registry, engine=spec.engine)
