"""What a user writes about a dataset, and what is wrong with it before any data is read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt, StrictStr

from mlops.core.diagnostics import Diagnostic, did_you_mean
from mlops.core.specs import SECRET, Description, Spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TRAIN = "train"
PARTS = ("test", "validation")  # in the order in which they take the ranks
NUMBERS = ("int", "float")

_CREDENTIALS = re.compile(r"://[^/@]*:[^/@]*@")

Scalar = StrictInt | StrictFloat | StrictStr  # strict: an unquoted yes or no is a boolean, and refused
BundledName = Literal["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"]


class Source(Spec):
    """Where the rows come from: one of `path`, `query` and `bundled`."""

    path: str | None = Field(default=None, min_length=1, description="A file of the project, a glob, or an fsspec URL")
    format: Literal["csv", "parquet", "jsonl"] | None = Field(default=None, description="Told by the file's name where absent")
    delimiter: str | None = Field(default=None, min_length=1, max_length=1, description="Of CSV; a comma, or a tab in .tsv")
    encoding: Literal["utf-8", "latin-1", "cp1252"] = Field(default="utf-8", description="Of CSV and JSON lines")
    query: str | None = Field(default=None, min_length=1, description="A SELECT")
    url: str | None = Field(default=None, min_length=1, description="SQLAlchemy's URL of the database, without a password")
    secret: Annotated[str | None, SECRET] = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$",
        description="Name of the secret: the password for `url`, or the whole URL",
    )
    version: str | None = Field(
        default=None, min_length=1, description="A SELECT that planning runs: another answer means new data"
    )
    bundled: BundledName | None = Field(default=None, description="A set that scikit-learn ships")


class Column(Spec):
    """What is true of every value of a column."""

    type: Literal["int", "float", "bool", "category", "string", "datetime"] = Field(
        description="What every value is, or can be read as without loss"
    )
    min: Scalar | None = Field(default=None, description="Smallest value; a date for datetime")
    max: Scalar | None = Field(default=None, description="Largest value; a date for datetime")
    values: tuple[Scalar, ...] | None = Field(
        default=None, min_length=1, description="All values allowed; the categories, in this order"
    )
    pattern: str | None = Field(default=None, description="A regular expression that the whole text matches")
    format: str | None = Field(default=None, description="How a datetime is written, such as %d.%m.%Y; ISO 8601 where absent")
    nullable: bool = Field(default=False, description="Whether values may be missing")
    unique: bool = Field(default=False, description="Whether every value must be another one")
    description: Description = ""


class Split(Spec):
    """How rows are parted: by a seeded rank with fractions, or by time with cut-offs. What is left is `train`."""

    test: Scalar = Field(description="Fraction of the rows; with `by` the first value that is test")
    validation: Scalar | None = Field(default=None, description="The same, between train and test")
    stratify: str | None = Field(default=None, description="Column whose values are spread evenly")
    group: str | None = Field(default=None, description="Column whose equal values stay together")
    by: str | None = Field(default=None, description="Column of times or numbers that parts older rows from newer ones")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Another one gives another split")

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that come out, `train` first."""
        return (TRAIN, *(part for part in PARTS if getattr(self, part) is not None))


class DatasetSpec(Spec):
    """A dataset."""

    source: Source = Field(description="Where the rows come from")
    columns: dict[str, Column] | None = Field(default=None, min_length=1, description="By name; inferred where absent")
    extra_columns: Literal["forbid", "drop", "keep"] = Field(
        default="forbid", description="What becomes of columns that `columns` does not name; kept ones are inferred"
    )
    missing: tuple[str, ...] = Field(
        default=("", "NA", "N/A", "NaN", "nan", "null", "NULL"),
        description="Cells that mean nothing is there, unless `values` has them",
    )
    key: str | None = Field(default=None, description="Column that tells rows apart; no feature of a model")
    split: Split | None = Field(default=None, description="How rows are parted into train, validation and test")
    sha256: str | None = Field(
        default=None,
        pattern=r"^(sha256:)?[0-9a-f]{64}$",
        description="The only bytes that are accepted, as sha256sum prints them",
    )
    description: Description = ""


def problems(spec: DatasetSpec) -> Iterator[Diagnostic]:
    """Yield what is wrong with a dataset before its data is read."""
    yield from _source_problems(spec.source)
    if spec.sha256 is not None and spec.source.path is None:
        yield _wrong("sha256", "only files have a sha256", "remove it, or give source.path")
    for name, column in (spec.columns or {}).items():
        for diagnostic in _column_problems(column):
            yield _wrong(f"columns.{name}.{diagnostic.path}", diagnostic.summary, diagnostic.hint)
    if spec.split is not None:
        yield from _split_problems(spec.split)
    yield from _name_problems(spec)


def time_of(text: str) -> datetime:
    """Return the time written in ISO 8601, as UTC and without an offset; raise ValueError where it is none."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def fits(bound: Scalar, sort: str) -> bool:
    """Tell whether `bound` may be compared with a column of the type `sort`: a number, or a time in ISO 8601."""
    if not isinstance(bound, str) or sort != "datetime":
        return not isinstance(bound, str) and sort in NUMBERS
    try:
        time_of(bound)
    except ValueError:
        return False
    return True


def _is_after(first: Scalar | None, second: Scalar | None) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return fits(first, "datetime") and fits(second, "datetime") and time_of(first) > time_of(second)
    return isinstance(first, int | float) and isinstance(second, int | float) and first > second


def _wrong(path: str, summary: str, hint: str | None) -> Diagnostic:
    return Diagnostic("dataset", summary, path=path, hint=hint)


def _source_problems(source: Source) -> Iterator[Diagnostic]:
    given = [name for name in ("path", "query", "bundled") if getattr(source, name) is not None]
    if len(given) != 1:
        said = f"source has {' and '.join(given)}" if given else "source says nothing"
        yield _wrong("source", f"{said}: it takes one of path, query and bundled", "for example {path: data/credit.csv}")
        return
    belongs = {"format": "path", "delimiter": "path", "url": "query", "secret": "query", "version": "query"}
    for name, owner in belongs.items():
        if getattr(source, name) is not None and given != [owner]:
            yield _wrong(f"source.{name}", f"'{name}' goes with {owner}, not with {given[0]}", f"remove '{name}'")
    if source.query is not None and source.url is None and source.secret is None:
        yield _wrong("source", "a query needs the url of its database", "add url, or secret with the name of one")
    for name in ("path", "url"):
        if _CREDENTIALS.search(getattr(source, name) or ""):
            hint = (
                "take it out, and name a secret in source.secret"
                if name == "url"
                else "give it to the library by its own environment variables"
            )
            yield _wrong(f"source.{name}", "a password stands in the configuration", hint)


def _column_problems(column: Column) -> Iterator[Diagnostic]:
    for name in ("min", "max"):
        bound = getattr(column, name)
        if bound is None:
            continue
        if column.type not in (*NUMBERS, "datetime"):
            yield _wrong(name, f"a column of type {column.type} has no {name}", f"remove '{name}'")
        elif not fits(bound, column.type):
            yield _wrong(
                name,
                f"{name} of a column of type {column.type} is {bound!r}",
                "write a number, or for datetime a date such as 2024-01-31",
            )
    if _is_after(column.min, column.max):
        yield _wrong("min", f"min {column.min} is larger than max {column.max}", "swap them")
    if column.values is not None:
        yield from _value_problems(column.type, column.values)
    if column.pattern is not None:
        yield from _pattern_problems(column)
    if column.format is not None and column.type != "datetime":
        yield _wrong("format", f"a column of type {column.type} has no format", "remove 'format'")


def _value_problems(sort: str, values: tuple[Scalar, ...]) -> Iterator[Diagnostic]:
    if sort in ("bool", "datetime"):
        yield _wrong("values", f"a column of type {sort} has no values", "remove 'values'")
    for value in values:
        if sort in NUMBERS and (isinstance(value, str) or (sort == "int" and not isinstance(value, int))):
            yield _wrong("values", f"{value!r} is no {sort}", "write numbers, or make the type category")
    texts = [str(value) for value in values]
    for text in dict.fromkeys(texts):
        if texts.count(text) > 1:
            yield _wrong("values", f"'{text}' stands twice", "remove one")


def _pattern_problems(column: Column) -> Iterator[Diagnostic]:
    if column.type not in ("string", "category"):
        yield _wrong("pattern", f"a column of type {column.type} has no pattern", "remove 'pattern'")
    try:
        re.compile(column.pattern or "")
    except re.error as error:
        yield _wrong("pattern", f"no regular expression: {error}", "write one of Python's re")


def _split_problems(split: Split) -> Iterator[Diagnostic]:
    parts = {name: getattr(split, name) for name in PARTS if getattr(split, name) is not None}
    if split.by is not None:
        for name in ("stratify", "group"):
            if getattr(split, name) is not None:
                yield _wrong(f"split.{name}", f"'{name}' does not go with 'by'", "remove one of them")
        if split.validation == split.test or _is_after(split.validation, split.test):
            yield _wrong("split.validation", "validation begins no earlier than test", "give it an earlier cut-off")
        return
    for name, value in parts.items():
        if isinstance(value, str):
            yield _wrong(f"split.{name}", f"'{value}' is no fraction", "write a number such as 0.2, or name a column in 'by'")
        elif not 0 < value < 1:
            yield _wrong(f"split.{name}", f"{value} is no fraction between 0 and 1", "write a number such as 0.2")
    numbers = [value for value in parts.values() if isinstance(value, float)]
    if len(numbers) > 1 and all(0 < number < 1 for number in numbers) and sum(numbers) >= 1:
        yield _wrong("split", f"{' and '.join(parts)} leave nothing for train", "let them sum to less than 1")
    if split.stratify is not None and split.group is not None:
        yield _wrong("split.group", "'group' does not go with 'stratify'", "remove one of them")


def cut_problems(split: Split, sort: str) -> Iterator[Diagnostic]:
    """Yield what is wrong between a split by a column and the column's type."""
    if sort not in (*NUMBERS, "datetime"):
        yield _wrong("split.by", f"'{split.by}' has type {sort}, which has no order in time", "name a datetime or a number")
        return
    for name in PARTS:
        cut = getattr(split, name)
        if cut is not None and not fits(cut, sort):
            summary = f"{cut!r} is no cut-off for column '{split.by}' of type {sort}"
            yield _wrong(f"split.{name}", summary, "write a number, or for datetime a date such as 2024-01-31")


def _name_problems(spec: DatasetSpec) -> Iterable[Diagnostic]:
    """Yield names of columns that `columns` does not have; with kept extra columns only the data can tell."""
    if spec.columns is None or spec.extra_columns == "keep":
        return
    named: Mapping[str, str | None] = {"key": spec.key}
    if spec.split is not None:
        named = {**named, **{f"split.{field}": getattr(spec.split, field) for field in ("stratify", "group", "by")}}
    for path, name in named.items():
        if name is not None and name not in spec.columns:
            yield _wrong(path, f"no column '{name}' in columns", did_you_mean(name, spec.columns, "columns"))
    if spec.split is not None and spec.split.by in spec.columns:
        yield from cut_problems(spec.split, spec.columns[spec.split.by].type)
