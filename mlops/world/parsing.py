"""Parses the bytes of CSV, Parquet and JSON-lines files into data frames; says where a file is broken: file:line."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.world.files import Form

_SHOWN = 5  # broken lines that one message names
_BLOCK_LIMIT = (1 << 31) - 1  # bytes; Arrow counts a block with a signed 32-bit number


def parse(name: str, data: bytes, form: Form, encoding: str = "utf-8") -> Any:
    """Return the data frame in `data`. Cells of CSV are text, those of JSON lines Python objects.

    Raises:
        Refused: the file is empty, broken, or of a form that nobody told.
    """
    if form.name == "csv":
        return _parse_csv(name, _utf8(name, data, encoding), form.delimiter)
    if form.name == "jsonl":
        return _parse_lines(name, _utf8(name, data, encoding))
    if form.name == "parquet":
        return _parse_parquet(name, data)
    message = f"the end of {name} does not tell its format"
    raise Refused(message, "set source.format to csv, parquet or jsonl")


def locate(name: str, data: bytes, form: Form, rows: Sequence[int], encoding: str = "utf-8") -> list[str]:
    """Return where each of these rows (from 0) stands: `file:line` in a text file, `file, row N` (from 1) in another."""
    if form.name == "csv":
        wanted = {row + 1: row for row in rows}  # the header is record 0
        records = enumerate(_rows(data, form.delimiter, encoding))
        lines = {wanted[record]: line for record, (line, _) in records if record in wanted}
    elif form.name == "jsonl":
        lines = {row: line for row, (line, _) in enumerate(_filled(data)) if row in set(rows)}
    else:
        return [f"{name}, row {row + 1}" for row in rows]
    return [f"{name}:{lines[row]}" for row in rows]


def _utf8(name: str, data: bytes, encoding: str) -> bytes:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{name}:{line}: byte 0x{data[error.start]:02x} is no {encoding}"
        raise Refused(message, "save the file as UTF-8, or set source.encoding, for example to cp1252") from None
    return data if encoding == "utf-8" else text.encode()


def _parse_csv(name: str, data: bytes, delimiter: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv as reader

    header = _header(name, data, delimiter)
    broken: list[Any] = []

    def note(row: Any) -> str:
        broken.append(row)
        return "skip"

    try:
        table = reader.read_csv(
            pa.BufferReader(data + b"\n"),  # Arrow wants the last line to end
            read_options=reader.ReadOptions(use_threads=False, block_size=min(len(data) + 1, _BLOCK_LIMIT)),
            parse_options=reader.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note),
            convert_options=reader.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowException as error:
        message = f"{name} is no CSV file: {error}"
        raise Refused(message, "set source.delimiter or source.format to what it is") from error
    if broken:
        raise _ragged(name, data, delimiter, len(header))
    if table.num_rows and _is_open(str(table.column(len(header) - 1)[-1]), data):
        *_, (line, _) = _rows(data, delimiter)
        message = f"{name}:{line}: a quote is not closed, so that all that follows is one cell"
        raise Refused(message, "close it, or write a quote that belongs to the text twice")
    return table.to_pandas()


def _is_open(last: str, data: bytes) -> bool:
    """Tell whether the last cell holds the end of the file, which only a quote that is never closed can do."""
    return last.endswith("\n") and not data.rstrip(b"\r\n").endswith(b'"')


def _header(name: str, data: bytes, delimiter: str) -> list[str]:
    try:
        header: list[str] = next((row for _, row in _rows(data, delimiter)), [])
    except csv.Error as error:
        message = f"{name}:1: the header cannot be read: {error}"
        raise Refused(message, "check the quotes in its first line") from error
    if not header:
        message = f"{name} is empty"
        raise Refused(message, "a CSV file has a header line with the names of its columns")
    check_names(name, header)
    return header


def check_names(name: str, columns: Sequence[str]) -> None:
    """Raise Refused where a column has no name, or two have the same."""
    problems = [f"column {number} has no name" for number, column in enumerate(columns, 1) if not column.strip()]
    problems += [f"two columns are named '{column}'" for column in dict.fromkeys(columns) if column and columns.count(column) > 1]
    if problems:
        message = f"{name}: {'; '.join(problems)}"
        raise Refused(message, "give each column a name of its own")


def _ragged(name: str, data: bytes, delimiter: str, width: int) -> Refused:
    found = ((line, len(row)) for line, row in _rows(data, delimiter) if len(row) != width)
    shown = [f"{name}:{line}: {count} cells, and the header has {width}" for line, count in islice(found, _SHOWN + 1)]
    more = "\n…and more" if len(shown) > _SHOWN else ""
    return Refused("\n".join(shown[:_SHOWN]) + more, "check the delimiter and the quotes in those lines")


def _rows(data: bytes, delimiter: str, encoding: str = "utf-8") -> Iterator[tuple[int, list[str]]]:
    """Yield (line where it begins, cells) of each record that is not empty, the header first."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig" if encoding == "utf-8" else encoding, newline="")
    reader = csv.reader(text, delimiter=delimiter)
    line = 1
    for row in reader:
        if row:
            yield line, row
        line = reader.line_num + 1


def _filled(data: bytes) -> Iterator[tuple[int, bytes]]:
    for line, text in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if text.strip():
            yield line, text


def _parse_lines(name: str, data: bytes) -> Any:
    import pandas as pd

    rows, broken = [], []
    for line, text in _filled(data):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            broken.append(f"{name}:{line}: no JSON: {getattr(error, 'msg', error)}")
            continue
        rows.append(row)
        if not isinstance(row, dict):
            broken.append(f"{name}:{line}: no JSON object")
    if broken:
        more = "\n…and more" if len(broken) > _SHOWN else ""
        raise Refused("\n".join(broken[:_SHOWN]) + more, "each line of a JSON lines file is one JSON object")
    if not rows:
        message = f"{name} is empty"
        raise Refused(message, "each line of a JSON lines file is one JSON object")
    names = dict.fromkeys(column for row in rows for column in row)
    check_names(name, list(names))
    return pd.DataFrame({column: pd.Series([row.get(column) for row in rows], dtype=object) for column in names})


def _parse_parquet(name: str, data: bytes) -> Any:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(data))
    except pa.ArrowException as error:
        message = f"{name} is no Parquet file, or is damaged"
        raise Refused(message, "write it again, or set source.format to what it is") from error
    check_names(name, table.column_names)
    return table.replace_schema_metadata(None).to_pandas(integer_object_nulls=True)
