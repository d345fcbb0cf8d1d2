"""Checks a raw table against the columns of its spec, and types it: all problems are found before any is told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops.core.diagnostics import did_you_mean
from mlops.kinds.dataset import converting
from mlops.kinds.dataset.specs import Column, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import pandas as pd

SHOWN = 5  # rows that one problem names


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `what`, in how many rows, and in the first of them (numbered from 0) which cell."""

    what: str
    count: int = 0
    cells: tuple[tuple[int, object], ...] = ()


@dataclass(slots=True)
class Checked:
    """The typed table, its columns in the spec's order, then the source's; what was inferred and left out; and what is wrong."""

    frame: Any = None
    inferred: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the spec says of the table."""

    columns: Mapping[str, Column] | None
    extra: str
    missing: tuple[str, ...]
    key: str | None


def check(raw: pd.DataFrame, rules: Rules) -> Checked:
    """Type the columns that are wanted, and check each against what its spec says; `frame` is None where one does not fit."""
    import pandas as pd

    checked = Checked()
    wanted = _wanted(raw, rules, checked)
    arrays = {}
    for name, column in wanted.items():
        rule = column or _inferred(raw[name], name, rules, checked)
        if name == rules.key:
            rule = rule.model_copy(update={"unique": True, "nullable": False})
        arrays[name] = _typed(raw[name], rule, rules.missing, checked.problems)
    if not checked.problems:
        checked.frame = pd.DataFrame(arrays, index=raw.index)
    return checked


def _inferred(raw: pd.Series[Any], name: str, rules: Rules, checked: Checked) -> Column:
    sort = checked.inferred[name] = converting.infer(raw[~converting.is_missing(raw, rules.missing)])
    return Column(type=sort, nullable=True)


def _wanted(raw: pd.DataFrame, rules: Rules, checked: Checked) -> dict[str, Column | None]:
    """Return the columns to keep, with None for those to be inferred."""
    columns = rules.columns
    if columns is None:
        return dict.fromkeys(raw.columns)
    for name in sorted(set(columns) - set(raw.columns)):
        hint = did_you_mean(name, raw.columns, "the data has")
        checked.problems.append(Problem(f"there is no column '{name}' in the data: {hint}"))
    wanted: dict[str, Column | None] = {name: column for name, column in columns.items() if name in raw.columns}
    others = [name for name in raw.columns if name not in columns]
    if rules.extra == "keep":
        wanted.update(dict.fromkeys(others))
    elif rules.extra == "drop":
        checked.dropped = others
    elif others:
        named = ", ".join(f"'{name}'" for name in others)
        checked.problems.append(
            Problem(f"the spec does not name {named}: add them to columns, or set extra_columns to drop or keep")
        )
    return wanted


def _typed(raw: pd.Series[Any], column: Column, markers: tuple[str, ...], problems: list[Problem]) -> Any:
    """Return the typed array; where a cell does not fit, add to `problems` and return None."""
    allowed = None if column.values is None else [str(value) for value in column.values]  # noqa: PD011 - a field of the spec
    missing = converting.is_missing(raw, set(markers) - set(allowed or ()))
    values, bad = converting.convert(raw[~missing], column.type, column.format)
    rows = (~missing).nonzero()[0]
    found = [_problem(raw, rows[bad], f"is no {column.type}")]
    found += [_problem(raw, rows[~bad][broken], what) for broken, what in _rules(values[~bad], column, allowed)]
    if not column.nullable:
        found.append(_problem(raw, missing.nonzero()[0], "is missing and not nullable"))
    found = [problem for problem in found if problem.count]
    problems += found
    return None if found else converting.assemble(values, ~missing, column.type, allowed)


def _rules(values: np.ndarray[Any, Any], column: Column, allowed: list[str] | None) -> Iterator[tuple[np.ndarray[Any, Any], str]]:
    """Yield, for each rule of the column, which values break it and how that is said."""
    import numpy as np
    import pandas as pd

    if column.min is not None:
        yield values < _bound(column.min), f"is below its min {column.min}"
    if column.max is not None:
        yield values > _bound(column.max), f"is above its max {column.max}"
    if allowed is not None:
        known = np.array(allowed, dtype=object).astype(values.dtype)
        yield ~np.isin(values, known), f"is none of {', '.join(allowed)}"
    if column.pattern is not None:
        fits = {text: re.fullmatch(column.pattern, text) is not None for text in set(values)}
        yield np.array([not fits[text] for text in values], dtype=bool), f"does not match {column.pattern}"
    if column.unique:
        yield pd.Series(values).duplicated(keep=False).to_numpy(), "repeats a value and must be unique"


def _bound(bound: float | str) -> Any:
    import numpy as np

    return np.datetime64(time_of(bound)) if isinstance(bound, str) else bound


def _problem(raw: pd.Series[Any], rows: np.ndarray[Any, Any], what: str) -> Problem:
    cells = tuple((int(row), raw.iloc[row]) for row in rows[:SHOWN])
    return Problem(f"column '{raw.name}' {what}", len(rows), cells)
