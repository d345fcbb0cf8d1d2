"""Toy kinds, and a writer of projects: composing is tested without any real kind."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field

from mlops.composing.compositions import compose
from mlops.core.addresses import Ref  # noqa: TC001 - pydantic reads the annotation at run time
from mlops.core.diagnostics import Diagnostic
from mlops.core.errors import SpecError
from mlops.core.ops import Bindable, Late, Op, Template, template
from mlops.core.resources import Kind
from mlops.core.specs import Spec, To
from mlops.core.worlds import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from mlops.core.addresses import Address
    from mlops.core.settings import Allow, Composition


class Column(Spec):
    """A part of a spec."""

    type: str
    values: list[str] = Field(default_factory=list)


class Query(Spec):
    """One of two ways to say where from."""

    query: str


class File(Spec):
    """The other way."""

    path: str
    rows: int = 0


class Things(Spec):
    """A toy dataset; `data` is whatever the test wants."""

    source: Query | File = File(path="none")
    columns: dict[str, Column] = Field(default_factory=dict)
    like: Annotated[Ref, To("things", "maker")] | None = None
    data: Any = None


class Params(Spec):
    """Nested fields with limits."""

    depth: int = Field(default=6, ge=1)
    rate: float = 0.1


class Making(Spec):
    """A toy model."""

    things: Annotated[Ref, To("things")]
    also: list[Annotated[Ref, To("things")]] = Field(default_factory=list)
    params: Params = Params()
    free: dict[str, Any] = Field(default_factory=dict)
    commands: bool = False
    against: Annotated[Ref, To("maker")] | None = None


class Read(Op):
    """Reads things."""

    verb = "things.read"
    data: Any


class Make(Op):
    """Makes of things."""

    verb = "maker.make"
    depth: int
    table: Annotated[str, Bindable()]
    baseline: Annotated[str | None, Bindable()] = None


class ThingsKind(Kind):
    """Counts how often it compiles."""

    name = "things"
    Spec = Things
    ops = (Read,)

    def __init__(self) -> None:
        self.compiled: list[str] = []

    def outputs(self, spec: Things) -> tuple[str, ...]:
        return ("table", *spec.columns)

    def steps(self, spec: Things, address: Address) -> tuple[Template, ...]:
        self.compiled.append(str(address))
        return (template("read", Read(data=spec.data), self.outputs(spec), 1),)

    def inputs(self, spec: Things) -> Mapping[str, Request]:
        return {"file": Request("file", {"path": str(spec.source)}, "source")}


class MakerKind(Kind):
    """Refers to things, and checks them."""

    name = "maker"
    Spec = Making
    ops = (Make,)

    def __init__(self) -> None:
        self.compiled: list[str] = []

    def outputs(self, _spec: Making) -> tuple[str, ...]:
        return ("artifact",)

    def steps(self, spec: Making, address: Address) -> tuple[Template, ...]:
        self.compiled.append(str(address))
        baseline = Late.baseline(spec.against, spec.things.to("table")) if spec.against else None
        op = Make(depth=spec.params.depth, table=Late.output(spec.things.to("table")), baseline=baseline)
        return (template("make", op, ("artifact",), 1),)

    def gates(self, spec: Making) -> tuple[Ref, ...]:
        return tuple(spec.also)

    def check(self, spec: Making, find: Callable[[Ref], BaseModel | None], allow: Allow) -> Iterable[Diagnostic]:
        if spec.commands and not allow.commands:
            yield Diagnostic("commands", "commands are not allowed", path="commands", hint="allow.commands")
        things = find(spec.things)
        if isinstance(things, Things) and things.data == "empty":
            yield Diagnostic("empty", f"{spec.things.address} is empty", path="things")


CONFIG = """\
defaults: [target: local, env: dev, _self_]
project: toy
vars: {depth: 4, name: x}
"""


class Project:
    """A project in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kinds: dict[str, Kind] = {"maker": MakerKind(), "things": ThingsKind()}
        self.write("config", CONFIG)
        self.write("target/local", "kind: process\n")
        self.write("env/dev", "# @package _global_\n")

    def write(self, option: str, text: str) -> Path:
        """Write conf/<option>.yaml."""
        file = self.root / "conf" / f"{option}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return file

    def compose(self, *overrides: str) -> Composition:
        """Compose it."""
        return compose(self.root, overrides, self.kinds)

    def body(self, address: str, *overrides: str) -> Any:
        """Return the body of one resource."""
        return self.compose(*overrides).resources[address].body

    def problems(self, *overrides: str) -> list[str]:
        """Return every diagnostic as `place: code: summary [hint]`."""
        with pytest.raises(SpecError) as caught:
            self.compose(*overrides)
        return [f"{it.origin}: {it.code}: {it.summary}" + (f" [{it.hint}]" if it.hint else "") for it in caught.value.diagnostics]

    def compiled(self) -> list[str]:
        """Return what was compiled since the last call, sorted."""
        found = sorted(address for kind in self.kinds.values() for address in kind.compiled)
        for kind in self.kinds.values():
            kind.compiled.clear()
        return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project with one environment and one target."""
    return Project(tmp_path)


@pytest.fixture
def make_project() -> type[Project]:
    """The class, for tests that need many projects."""
    return Project
