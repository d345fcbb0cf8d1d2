"""Puts rows into an order and into splits that depend on the rows alone, never on where they stood in the source.

Every row has a hash: of its key where the dataset has one, else of its content; equal rows are numbered, and the number
is mixed in. Rows stand in the order of that hash. The split takes the rows (within each stratum) in the order of the
same hash mixed with the seed: `test` the first round(0.2 n), `validation` the next ones, `train` the rest. So sizes are
exact, and a row that comes or goes moves, besides itself, at most one other row across each border of its stratum.
The hash is written out here, and not taken from a library, because splits must stay put when libraries are updated.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from mlops.kinds.dataset.specs import PARTS, TRAIN, time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd

    from mlops.kinds.dataset.specs import Split

_MISSING = 0x9E3779B97F4A7C15


def hashes(frame: pd.DataFrame, key: str | None) -> np.ndarray[Any, Any]:
    """Return one 64-bit hash for each row; equal rows have different ones, given out in the order they stand in."""
    import numpy as np

    total = np.zeros(len(frame), dtype=np.uint64)
    for name in sorted(frame.columns) if key is None else [key]:
        total = _mixed(total ^ _column(frame[name], _of_text(name)))
    return _mixed(total ^ _mixed(_occurrence(total)))


def parts(frame: pd.DataFrame, ranks: np.ndarray[Any, Any], split: Split) -> Mapping[str, np.ndarray[Any, Any]]:
    """Return for each split which rows (a mask) it has; `ranks` are the rows' hashes."""
    import numpy as np

    if split.by is not None:
        place = _by_cut(frame[split.by], split)
    elif split.group is not None:
        place = _by_group(frame[split.group], split)
    else:
        stratum = np.zeros(len(frame), dtype=np.int64) if split.stratify is None else _codes(frame[split.stratify])
        place = _by_rank(_seeded(ranks, split.seed), stratum, split)
    return {name: place == index for index, name in enumerate((TRAIN, *PARTS)) if name in split.names}


def _by_rank(ranks: np.ndarray[Any, Any], stratum: np.ndarray[Any, Any], split: Split) -> np.ndarray[Any, Any]:
    """Return 0 for train, 1 for test, 2 for validation."""
    import numpy as np

    place = np.zeros(len(ranks), dtype=np.int8)
    for value in np.unique(stratum):
        rows = np.flatnonzero(stratum == value)
        ordered = rows[np.argsort(ranks[rows], kind="stable")]
        start, fraction = 0, 0.0
        for index, name in enumerate(PARTS, 1):
            fraction += float(getattr(split, name) or 0)
            end = int(fraction * len(rows) + 0.5)
            place[ordered[start:end]] = index
            start = end
    return place


def _by_group(column: pd.Series[Any], split: Split) -> np.ndarray[Any, Any]:
    """Rank the groups instead of the rows; rows without a group are one group."""
    import numpy as np

    groups = _column(column, _of_text(str(column.name)))
    names, rows = np.unique(groups, return_inverse=True)
    place = _by_rank(_seeded(names, split.seed), np.zeros(len(names), dtype=np.int64), split)
    return place[rows]


def _by_cut(column: pd.Series[Any], split: Split) -> np.ndarray[Any, Any]:
    """Part by value: rows from a cut-off on, up to the next one; a row without a value is train."""
    import numpy as np
    import pandas as pd

    def reached(cut: float | str) -> np.ndarray[Any, Any]:
        at = pd.Timestamp(time_of(cut)) if isinstance(cut, str) else cut
        return (column >= at).fillna(value=False).to_numpy(dtype=bool)

    place = np.zeros(len(column), dtype=np.int8)
    if split.validation is not None:
        place[reached(split.validation)] = PARTS.index("validation") + 1
    place[reached(split.test)] = PARTS.index("test") + 1
    return place


def _codes(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    import pandas as pd

    return pd.factorize(column)[0]


def _column(column: pd.Series[Any], seed: int) -> np.ndarray[Any, Any]:
    """Return a 64-bit hash for each value of the column; equal values of a type have equal ones."""
    import numpy as np
    import pandas as pd

    missing = column.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):
        sort = np.float64 if pd.api.types.is_float_dtype(column.dtype) else np.int64
        values = column.to_numpy(dtype=sort, na_value=0) + sort(0)  # -0.0 + 0.0 is 0.0
        bits = np.where(missing, sort(0), values).view(np.uint64)
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        bits = column.to_numpy(dtype="datetime64[us]").view(np.uint64)
    else:
        codes, texts = pd.factorize(column)
        bits = np.array([*(_of_text(str(text)) for text in texts), 0], dtype=np.uint64)[codes]
    bits = np.where(missing, np.uint64(_MISSING), bits)
    return _mixed(bits + np.uint64(seed))


def _occurrence(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return 0 for the first row with a value, 1 for the second, and so on."""
    import pandas as pd

    return pd.Series(values).groupby(values).cumcount().to_numpy().astype("uint64")


def _seeded(ranks: np.ndarray[Any, Any], seed: int) -> np.ndarray[Any, Any]:
    import numpy as np

    return _mixed(ranks ^ np.uint64(_of_text(f"split {seed}")))


def _of_text(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "little")


def _mixed(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the finaliser of splitmix64 (Steele, Lea and Flood 2014), a bijection whose every output bit hangs on all input bits."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
