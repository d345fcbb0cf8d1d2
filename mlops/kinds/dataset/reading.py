"""The step `read` of a dataset: raw source → checked and typed table → order → splits → Parquet artifacts.

Two readings with equal rows give equal bytes, in whatever order, spelling or format the source had them: columns stand
as the spec names them, and rows by a hash of their key or content (see `splitting`). Columns that the spec does not
name stand behind them in the source's order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from mlops.core.diagnostics import did_you_mean
from mlops.core.errors import DataError, StalePlan
from mlops.core.ops import Bindable, Made, Op
from mlops.kinds.dataset import checking, splitting
from mlops.kinds.dataset.checking import Problem
from mlops.kinds.dataset.specs import Column, Source, Split, cut_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import pandas as pd

    from mlops.core.worlds import World
    from mlops.kinds.dataset.checking import Checked

TABLE = "table"
_SHOWN = 60  # characters of a cell that a message shows
_PROBLEMS = 50  # problems that one message names


class Read(Op):
    """Reads, checks, types, orders and splits."""

    verb: ClassVar[str] = "dataset.read"

    source: Source
    columns: dict[str, Column] | None
    order: tuple[str, ...]  # of the columns: mappings have none in JSON
    extra_columns: Literal["forbid", "drop", "keep"]
    missing: tuple[str, ...]
    key_column: str | None
    split: Split | None
    sha256: str | None
    found: Annotated[Any, Bindable()]  # what planning observed of the source
    runtime: Annotated[Any, Bindable()]

    def run(self, world: World) -> Made:
        """Keep `table` and the splits.

        Raises:
            DataError: rows or columns do not fit the spec; all that is wrong is in the message.
            StalePlan: the source is no longer what planning observed.
            WorldError: it cannot be read.
        """
        source = self.source.model_dump(mode="json")
        raw = world.tables.read(source, world)
        self._check_bytes(raw.attrs)
        checked = checking.check(raw, checking.Rules(self._columns, self.extra_columns, self.missing, self.key_column))
        problems = [*checked.problems, *self._wrong_uses({*raw.columns, *(self.columns or ())} - {*checked.dropped}, checked)]
        if raw.empty:
            problems = [Problem("there are no rows")]
        if problems or checked.frame is None:
            raise self._refused(problems, world)
        frame, parts = self._ordered(checked.frame)
        keep = {TABLE: frame, **{name: frame[mask].reset_index(drop=True) for name, mask in parts.items()}}
        facts = self._facts(checked, frame, raw.attrs, parts)
        return Made({name: _put(table, self.key_column, world) for name, table in keep.items()}, facts)

    def _check_bytes(self, read: Mapping[str, Any]) -> None:
        """Refuse other data than planning saw, and than the pin allows."""
        if read["observed"] != self.found:
            message = f"{self._name} changed since the plan was made"
            raise StalePlan(message, "plan again")
        if self.sha256 is not None and read["sha256"] != self.sha256:
            message = f"{self._name} has {read['sha256']}, and its spec pins {self.sha256}"
            raise DataError(message, "restore the file, or change the pin if the new data is meant")

    def _wrong_uses(self, names: set[str], checked: Checked) -> Iterator[Problem]:
        """Yield what key and split want of a column that the table will not have, or whose inferred type is not for it."""
        split = self.split
        used = {"key": self.key_column}
        if split is not None:
            used |= {"split.stratify": split.stratify, "split.group": split.group, "split.by": split.by}
        for field, name in used.items():
            if name is not None and name not in names:
                yield Problem(f"{field} names '{name}', no column of the table: {did_you_mean(name, names, 'columns')}")
        if split is not None and split.by in checked.inferred:
            for wrong in cut_problems(split, checked.inferred[split.by]):
                yield Problem(f"{wrong.path}: {wrong.summary}")

    def _ordered(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, Mapping[str, np.ndarray[Any, Any]]]:
        """Return the rows in their order, and for each split which of them it has."""
        ranks = splitting.hashes(frame, self.key_column)
        order = ranks.argsort(kind="stable")
        frame, ranks = frame.iloc[order].reset_index(drop=True), ranks[order]
        parts = splitting.parts(frame, ranks, self.split) if self.split is not None else {}
        empty = [name for name, mask in parts.items() if not mask.any()]
        if empty:
            message = f"{self._name} leaves the split {' and '.join(empty)} without a row"
            raise DataError(message, f"there are {len(frame)} rows; change split, or give more data")
        return frame, parts

    def _facts(
        self, checked: Checked, frame: pd.DataFrame, read: Mapping[str, Any], parts: Mapping[str, np.ndarray[Any, Any]]
    ) -> dict[str, Any]:
        facts: dict[str, Any] = {"rows": len(frame), "columns": len(frame.columns), "missing": int(frame.isna().to_numpy().sum())}
        if parts:
            facts["splits"] = {name: int(mask.sum()) for name, mask in parts.items()}
        if "sha256" in read:
            facts["sha256"] = read["sha256"]
        if checked.inferred:
            facts["inferred"] = checked.inferred
        if checked.dropped:
            facts["dropped"] = checked.dropped
        return facts

    @property
    def _columns(self) -> dict[str, Column] | None:
        return self.columns and {name: self.columns[name] for name in self.order}

    @property
    def _name(self) -> str:
        return self.source.path or (f"scikit-learn's {self.source.bundled}" if self.source.bundled else "the query's result")

    def _refused(self, problems: list[Problem], world: World) -> DataError:
        rows = sorted({row for problem in problems for row, _ in problem.cells})
        where = (
            dict(zip(rows, world.tables.locate(self.source.model_dump(mode="json"), rows, world), strict=True)) if rows else {}
        )
        lines = [_line(problem, where) for problem in problems[:_PROBLEMS]]
        if len(problems) > _PROBLEMS:
            lines.append(f"and {len(problems) - _PROBLEMS} more")
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        text = "\n- ".join([f"{self._name} does not fit its spec: {count}", *lines])
        return DataError(text, "mend the data, or change the dataset's spec")


def _line(problem: Problem, where: Mapping[int, str]) -> str:
    if not problem.count:
        return problem.what
    cells = ", ".join(f"{_cell(value)} ({where[row]})" for row, value in problem.cells)
    more = ", …" if problem.count > len(problem.cells) else ""
    return f"{problem.what} in {problem.count} row{'s' if problem.count != 1 else ''}: {cells}{more}"


def _cell(value: object) -> str:
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _put(table: pd.DataFrame, key: str | None, world: World) -> str:
    path = world.scratch() / "table.parquet"
    table.attrs = {"key": key}
    world.tables.save(table, path)
    return world.artifacts.put_file(path)
