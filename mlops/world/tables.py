"""The door to tables: data frames from where users keep them, and the Parquet files in which datasets are kept.

`read` gives what stands in the source and judges nothing: cells of a CSV file are text. What it read is told in
`frame.attrs`: `observed`, in the terms of the door that observes the source when planned, and `sha256` of files.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mlops.core.digests import digest
from mlops.core.errors import Refused, Unavailable
from mlops.core.worlds import Observation
from mlops.world import files, parsing, places
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sqlalchemy import URL, Connection
    from sqlalchemy.engine import CursorResult

    from mlops.core.worlds import World

_KEPT = b"mlops"  # the metadata of a kept Parquet file: its key column, and the categories of its columns


def observe_query(arguments: Mapping[str, Any], world: World) -> Observation:
    """Answer a `query` request: the rows of its version query; None where it has none, so that the data stays as first read.

    Raises:
        WorldError: the database does not answer, or refuses.
    """
    if arguments.get("version") is None:
        return Observation(None)
    with _Database(arguments, world) as database:
        return Observation(database.version())


def observe_bundled(arguments: Mapping[str, Any], _world: World) -> Observation:
    """Answer a `bundled` request: the name of the set and the version of scikit-learn that ships it."""
    return Observation({"name": arguments["name"], "scikit-learn": version("scikit-learn")})


class PandasTables:
    """Tables as pandas data frames."""

    def read(self, source: Mapping[str, Any], world: World) -> Any:
        """Return a data frame of the raw source.

        Raises:
            WorldError: it is not there, cannot be read, is broken (file:line), or changes while it is read.
        """
        if source.get("path") is not None:
            return _read_files(source, world)
        if source.get("query") is not None:
            return _read_query(source, world)
        return _read_bundled(source["bundled"], world)

    def locate(self, source: Mapping[str, Any], rows: Sequence[int], world: World) -> list[str]:
        """Return where rows of `read` (from 0) stand in the source: `file:line`, or `row N` from 1."""
        if source.get("path") is None:
            return [f"row {row + 1}" for row in rows]
        found: dict[int, str] = {}
        start = 0
        for place in places.find(source["path"], str(world.root)):
            data, form = places.read(place), files.form_of(place.name, source)
            end = start + len(parsing.parse(place.name, data, form, source["encoding"]))
            here = [row for row in rows if start <= row < end]
            where = parsing.locate(place.name, data, form, [row - start for row in here], source["encoding"])
            found.update(zip(here, where, strict=True))
            start = end
        return [found[row] for row in rows]

    def load(self, path: Path) -> Any:
        """Return the data frame kept in the Parquet file `path`.

        Numbers and booleans with gaps come as floats, NaN where nothing stands: what estimators take. `attrs["key"]`
        names the key column.
        """
        import pandas as pd
        import pyarrow.parquet

        with explaining(path):
            table = pyarrow.parquet.read_table(path)
        kept = json.loads((table.schema.metadata or {}).get(_KEPT, b"{}"))
        frame = table.replace_schema_metadata(None).to_pandas()
        for name, values in kept.get("categories", {}).items():
            frame[name] = pd.Categorical(frame[name], categories=values)
        for column in table.schema:
            if pyarrow.types.is_boolean(column.type) and table.column(column.name).null_count:
                frame[column.name] = frame[column.name].astype("float64")
        if kept.get("key") is not None:
            frame.attrs["key"] = kept["key"]
        return frame

    def save(self, frame: Any, path: Path) -> None:
        """Write the frame as Parquet; equal frames give equal bytes (with one version of pyarrow).

        Categories and `attrs["key"]` are kept; the index is not.
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet

        categories = {
            name: list(frame[name].cat.categories) for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)
        }
        table = pa.Table.from_pandas(frame.astype(dict.fromkeys(categories, "str")), preserve_index=False)
        kept = json.dumps({"categories": categories, "key": frame.attrs.get("key")}, sort_keys=True)
        with explaining(path):
            pyarrow.parquet.write_table(table.replace_schema_metadata({_KEPT: kept.encode()}), path, compression="zstd")


def _read_files(source: Mapping[str, Any], world: World) -> Any:
    import pandas as pd

    marks, digests, frames = {}, {}, {}
    for place in places.find(source["path"], str(world.root)):
        before = places.tag(place) if place.is_tagged else None
        data = places.read(place)
        if before is not None and places.tag(place) != before:
            raise _moving(places.shown(place.name))
        digests[place.name] = files.digest_of(data)
        marks[place.name] = before or digests[place.name]
        frames[place.name] = parsing.parse(places.shown(place.name), data, files.form_of(place.name, source), source["encoding"])
    _check_columns(frames)
    frame = next(iter(frames.values())) if len(frames) == 1 else pd.concat(frames.values(), ignore_index=True)
    pin = next(iter(digests.values())) if len(digests) == 1 else digest(digests)
    frame.attrs.update(observed=marks, sha256=pin)
    return frame


def _check_columns(frames: Mapping[str, Any]) -> None:
    """Raise Refused where a file has other columns than the first one."""
    first, *others = frames
    wanted = set(frames[first].columns)
    problems = []
    for name in others:
        lacks, adds = sorted(wanted - set(frames[name].columns)), sorted(set(frames[name].columns) - wanted)
        if lacks or adds:
            parts = [f"{word} {', '.join(columns)}" for word, columns in (("lacks", lacks), ("adds", adds)) if columns]
            problems.append(f"{places.shown(name)} {' and '.join(parts)}")
    if problems:
        message = f"the files of one dataset have different columns: compared with {places.shown(first)}, {'; '.join(problems)}"
        raise Refused(message, "narrow the pattern, or make two datasets")


def _read_query(source: Mapping[str, Any], world: World) -> Any:
    with _Database(source, world) as database:
        before = database.version()
        frame = database.table(source["query"])
        moved = database.version() != before
    if moved:
        what = "the database"
        raise _moving(what)
    frame.attrs.update(observed=before)
    return frame


def _read_bundled(name: str, world: World) -> Any:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.attrs.update(observed=observe_bundled({"name": name}, world).value)
    return frame


def _moving(what: str) -> Unavailable:
    return Unavailable(f"{what} changed while it was read", "try again when it is written")


class _Database:
    """One connection that only reads: nothing is ever committed. Messages never show the password or a secret URL."""

    def __init__(self, source: Mapping[str, Any], world: World) -> None:
        self._source = source
        secret = world.secrets.value(source["secret"]) if source.get("secret") is not None else None
        self._url = _database_url(source.get("url"), secret, world.root)
        self._hidden = [text for text in (secret, self._url.password) if text]

    def __enter__(self) -> Self:
        import sqlalchemy as sa

        try:
            self._engine = sa.create_engine(self._url, poolclass=sa.NullPool, hide_parameters=True)
            self._connection: Connection = self._engine.connect()
        except ImportError as error:
            message = f"the driver of this database is missing: {error}"
            raise Refused(message, "install it, for PostgreSQL with `pip install mlops[postgres]`") from None
        except sa.exc.NoSuchModuleError:
            message = "the URL begins with no database that SQLAlchemy knows"
            raise Refused(message, "write DRIVER://…, for example postgresql+psycopg://…, and install its dialect") from None
        except sa.exc.SQLAlchemyError as error:
            message = f"the database cannot be reached: {self._told(error)}"
            raise Unavailable(message, "check source.url or the secret, and that the database runs") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()
        self._engine.dispose()

    def version(self) -> Any:
        """Return the answer of the version query: one value as it is, more as their digest; None where there is no query."""
        if self._source.get("version") is None:
            return None
        rows = [[_plain(value) for value in row] for row in self._rows(self._source["version"], "source.version").all()]
        return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else digest(rows)

    def table(self, query: str) -> Any:
        """Return the rows of the query, each cell as the driver gives it."""
        import pandas as pd

        result = self._rows(query, "source.query")
        names = list(result.keys())
        parsing.check_names("the result of source.query", names)
        return pd.DataFrame(result.all(), columns=pd.Index(names), dtype=object)

    def _rows(self, query: str, field: str) -> CursorResult[Any]:
        import sqlalchemy as sa

        try:
            result = self._connection.exec_driver_sql(query, execution_options={"no_parameters": True})  # a % is a %
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated:
                message = f"the database went away: {self._told(error)}"
                raise Unavailable(message, "try again") from None
            message = f"the database refuses {field}: {self._told(error)}"
            raise Refused(message, "try the query in the database's own shell") from None
        if not result.returns_rows:
            message = f"{field} returns no rows"
            raise Refused(message, "write a SELECT")
        return result

    def _told(self, error: Exception) -> str:
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return text


def _database_url(url: str | None, secret: str | None, root: Path) -> URL:
    """Return the URL: the secret alone, or with the secret as its password; SQLite's file is one of the project."""
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url or secret or "")
    except (sa.exc.ArgumentError, ValueError):
        message = f"{'source.url' if url else 'the secret'} is no URL of a database"
        raise Refused(message, "write DRIVER://USER@HOST/DATABASE, for example postgresql+psycopg://reader@db/credit") from None
    if url and secret:
        parsed = parsed.set(password=secret)
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        path = root / str(parsed.database)
        if url:
            places.look(places.Place(str(parsed.database), str(path)))  # SQLite would make an empty one
        elif not path.is_file():
            message = "the file of the database in the secret does not exist"
            raise Refused(message, "check the secret; its path begins in the project's folder")
        parsed = parsed.set(database=str(path))
    return parsed


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
