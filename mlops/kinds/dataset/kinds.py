"""The kind `dataset`: which outside things it depends on, and the one step that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mlops.core.ops import Late, template
from mlops.core.resources import Kind
from mlops.core.worlds import Request
from mlops.kinds.dataset.reading import Read
from mlops.kinds.dataset.specs import DatasetSpec, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mlops.core import specs
    from mlops.core.addresses import Address, Ref
    from mlops.core.diagnostics import Diagnostic
    from mlops.core.ops import Op, Template
    from mlops.core.settings import Allow

TABLE = "table"


class Dataset(Kind):
    """Makes the output `table`, and with a split `train`, `test` and `validation`: Parquet files."""

    name: ClassVar[str] = "dataset"
    Spec: ClassVar[type[specs.Spec]] = DatasetSpec
    ops: ClassVar[tuple[type[Op], ...]] = (Read,)

    def outputs(self, spec: DatasetSpec) -> tuple[str, ...]:
        """Return `table` and the splits."""
        return (TABLE, *(spec.split.names if spec.split is not None else ()))

    def inputs(self, spec: DatasetSpec) -> Mapping[str, Request]:
        """Return the source, and the packages that read it."""
        source = spec.source
        if source.query is not None:
            request = Request("query", {"url": source.url, "secret": source.secret, "version": source.version}, "source")
        elif source.path is not None:
            arguments = {"path": source.path, "format": source.format, "delimiter": source.delimiter}
            request = Request("file", arguments, "source.path")
        else:
            request = Request("bundled", {"name": source.bundled}, "source.bundled")
        if _stays(spec):
            return {"source": request}
        return {"source": request, "runtime": Request("packages", {"names": ["pandas", "pyarrow"]})}

    def steps(self, spec: DatasetSpec, _address: Address) -> tuple[Template, ...]:
        """Return the step that reads."""
        columns = spec.columns and {name: column.model_copy(update={"description": ""}) for name, column in spec.columns.items()}
        op = Read(
            source=spec.source,
            columns=columns,
            order=tuple(columns or ()),
            extra_columns=spec.extra_columns,
            missing=tuple(sorted(set(spec.missing))),
            key_column=spec.key,
            split=spec.split,
            sha256=spec.sha256 and "sha256:" + spec.sha256.removeprefix("sha256:"),
            found=Late.input("source"),
            runtime=None if _stays(spec) else Late.input("runtime"),
        )
        return (template("read", op, self.outputs(spec), self.revision),)

    def check(self, spec: DatasetSpec, _find: Callable[[Ref], specs.Spec | None], _allow: Allow) -> Iterable[Diagnostic]:
        """Yield what is wrong with the spec itself."""
        return problems(spec)


def _stays(spec: DatasetSpec) -> bool:
    """Tell whether the data stays as first read: no version query tells a change, so no new package may cause a new read."""
    return spec.source.query is not None and spec.source.version is None
