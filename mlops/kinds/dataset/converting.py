"""Turns raw columns into typed ones and finds every value that does not fit; nothing is raised here.

Raw cells are text (CSV), Python objects (JSON lines, SQL) or NumPy values (Parquet, scikit-learn). A whole column is
first tried at once; only where that fails are its values looked at one by one, which finds each culprit.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import numpy as np
    import pandas as pd

FEW = 100  # text with at most so many different values, each twice on average, is inferred to be a category

_INT64 = range(-(2**63), 2**63)
_EXACT = 2**53  # floats beyond do not tell neighbouring integers apart
_INT = r"[+-]?[0-9]{1,18}"
_FLOAT = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_CODE = r"[+-]?0[0-9].*"  # a leading zero: no number, but a code such as 007
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?"
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_DTYPES = {"int": "int64", "float": "float64", "bool": "bool", "datetime": "datetime64[us]"}


def is_missing(raw: pd.Series[Any], markers: Collection[str]) -> np.ndarray[Any, Any]:
    """Return where nothing stands: nulls, and texts that are among `markers`."""
    import numpy as np

    nulls: np.ndarray[Any, Any] = raw.isna().to_numpy(dtype=bool, copy=True)
    if _is_text(raw):
        nulls |= raw.isin(list(markers)).to_numpy(dtype=bool)
    elif raw.dtype == object:
        nulls |= np.fromiter((isinstance(value, str) and value in markers for value in raw), bool, len(raw))
    return nulls


def infer(present: pd.Series[Any]) -> str:
    """Return the type that all values fit; `present` has no missing ones."""
    import pandas as pd

    if isinstance(present.dtype, pd.CategoricalDtype):
        return "category"
    if _is_text(present):
        return _infer_text(present)
    if present.dtype == object:
        return _infer_objects(present)
    return {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "datetime"}.get(present.dtype.kind, "string")


def convert(present: pd.Series[Any], sort: str, form: str | None = None) -> tuple[Any, np.ndarray[Any, Any]]:
    """Return the values as an array of the type `sort`, and a mask of those that do not fit, whose values are void.

    `form` is how datetimes are written, ISO 8601 where None. Times with an offset become UTC, all are kept without one.
    """
    import numpy as np

    whole = _whole(present, sort, form)
    if whole is not None:
        return whole
    one = {"int": _to_int, "float": _to_float, "bool": _to_bool, "datetime": _to_time(form)}.get(sort, _to_text)
    if not _is_text(present):
        return _each(present, one, sort)
    import pandas as pd

    codes, texts = pd.factorize(present)
    values, bad = _each(texts, one, sort)
    return np.asarray(values)[codes], bad[codes]


def assemble(values: Any, filled: np.ndarray[Any, Any], sort: str, categories: Sequence[str] | None) -> Any:
    """Return the array to keep: `values` where `filled`, nothing elsewhere.

    int64, or Int64 with gaps · float64 · bool, or boolean with gaps · datetime64[us] · str · Categorical of texts.
    """
    import numpy as np
    import pandas as pd

    if sort in ("string", "category"):
        texts = np.full(len(filled), None, dtype=object)
        texts[filled] = values
        if sort == "string":
            return pd.array(texts, dtype="str")
        return pd.Categorical(texts, categories=sorted(set(values)) if categories is None else list(categories))
    full = np.zeros(len(filled), dtype=_DTYPES[sort])
    full[filled] = values
    if filled.all():
        return full
    if sort in ("float", "datetime"):
        full[~filled] = np.nan if sort == "float" else np.datetime64("NaT")
        return full
    return pd.arrays.IntegerArray(full, ~filled) if sort == "int" else pd.arrays.BooleanArray(full, ~filled)


def _is_text(raw: pd.Series[Any]) -> bool:
    import pandas as pd

    return isinstance(raw.dtype, pd.StringDtype)


def _arrow(texts: pd.Series[Any]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(pa.array(texts, type=pa.large_string()))


def _all_match(texts: Any, pattern: str) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(texts, f"^({pattern})$")).as_py() in (True, None))


def _infer_text(present: pd.Series[Any]) -> str:
    import pyarrow.compute as pc

    if present.empty:
        return "float"
    texts = _arrow(present)
    is_code = bool(pc.any(pc.match_substring_regex(texts, f"^({_CODE})$")).as_py()) and not _all_match(texts, r".*\..*")
    if not is_code:
        for sort, pattern in (("int", _INT), ("float", _FLOAT)):
            if _all_match(texts, pattern) and not (sort == "float" and _all_match(texts, "[+-]?[0-9]+")):
                return sort
    if _all_match(texts, "(?i)true|false"):
        return "bool"
    if _all_match(texts, _DATE) and not convert(present, "datetime")[1].any():
        return "datetime"
    return _text_or_category(present)


def _text_or_category(present: pd.Series[Any]) -> str:
    count = present.nunique()
    return "category" if count <= FEW and 2 * count <= len(present) else "string"


def _infer_objects(present: pd.Series[Any]) -> str:
    import decimal

    sorts = set(map(type, present))
    for sort, allowed in (
        ("bool", {bool}),
        ("int", {int}),
        ("float", {int, float, decimal.Decimal}),
        ("datetime", {dt.date, dt.datetime}),
    ):
        if sorts <= allowed:
            return sort
    if sorts == {str}:
        return _infer_text(present.astype("str"))
    return "string"


def _whole(present: pd.Series[Any], sort: str, form: str | None) -> tuple[Any, np.ndarray[Any, Any]] | None:
    """Convert all values at once; None where one might not fit, except for times, where it is marked."""
    import numpy as np

    kind = present.dtype.kind
    good = np.zeros(len(present), dtype=bool)
    if _is_text(present):
        return _whole_text(present, sort, form)
    if sort == "datetime" and kind == "M":
        return _utc(present).to_numpy(), good
    if sort == "bool" and kind == "b":
        return present.to_numpy(dtype=bool), good
    if sort == "float" and kind in "iuf":
        values = present.to_numpy(dtype="float64")
        return (values, good) if np.isfinite(values).all() else None
    if sort == "int" and kind in "iuf":
        values = present.to_numpy()
        is_whole = kind == "i" or ((np.abs(values) < _EXACT).all() and (values == np.floor(values)).all())
        return (values.astype("int64"), good) if is_whole else None
    return None


def _whole_text(present: pd.Series[Any], sort: str, form: str | None) -> tuple[Any, np.ndarray[Any, Any]] | None:
    import numpy as np
    import pandas as pd
    import pyarrow.compute as pc

    good = np.zeros(len(present), dtype=bool)
    if sort in ("string", "category"):
        return present.to_numpy(dtype=object), good
    if sort == "datetime":
        texts = present.str.strip()
        texts = texts.where(texts.str.fullmatch(_times(form)))
        times = pd.to_datetime(texts, format=form or "ISO8601", errors="coerce", utc=True)
        return _utc(times).to_numpy(), times.isna().to_numpy()
    if sort == "bool" or not _all_match(texts := _arrow(present), _INT if sort == "int" else _FLOAT):
        return None
    values = pc.cast(pc.utf8_ltrim(texts, "+"), _DTYPES[sort].replace("float64", "double")).to_numpy(zero_copy_only=False)
    return (values, good) if sort == "int" or np.isfinite(values).all() else None


def _times(form: str | None) -> str:
    """Return the pattern of a time in text: pandas would read more, among it `now`."""
    return _DATE if form is None else ".*[0-9].*"


def _utc(times: pd.Series[Any]) -> pd.Series[Any]:
    if times.dt.tz is not None:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.astype("datetime64[us]")


def _each(values: Iterable[Any], one: Callable[[Any], Any], sort: str) -> tuple[Any, np.ndarray[Any, Any]]:
    import numpy as np

    found, bad = [], []
    void = {"datetime": np.datetime64("NaT")}.get(sort, "" if sort in ("string", "category") else 0)
    for value in values:
        try:
            found.append(one(value))
            bad.append(False)
        except (ValueError, TypeError, OverflowError):
            found.append(void)
            bad.append(True)
    return np.array(found, dtype=_DTYPES.get(sort, object)), np.array(bad, dtype=bool)


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        value = value.strip()
        if re.fullmatch(r"[+-]?[0-9]+(\.0*)?", value) is None:
            raise ValueError
        value = value.partition(".")[0]
    number = int(value)
    if _is_bool(value) or (not isinstance(value, str) and number != value) or number not in _INT64:
        raise ValueError
    return number


def _to_float(value: Any) -> float:
    if _is_bool(value) or (isinstance(value, str) and re.fullmatch(_FLOAT, value.strip()) is None):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _to_bool(value: Any) -> bool:
    text = value.strip().lower() if isinstance(value, str) else _to_text(value)
    if text not in _WORDS:
        raise ValueError
    return _WORDS[text]


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if _is_bool(value):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if hasattr(value, "__iter__"):
        raise TypeError  # nested, or bytes
    return str(value)


def _to_time(form: str | None) -> Callable[[Any], Any]:
    def to_time(value: Any) -> Any:
        import pandas as pd

        if isinstance(value, str):
            if re.fullmatch(_times(form), value.strip()) is None:
                raise ValueError
            time = pd.to_datetime(value.strip(), format=form or "ISO8601", utc=True)
        elif isinstance(value, dt.date):
            time = pd.to_datetime(value, utc=True)
        else:
            raise TypeError  # a number of what, since when?
        return time.tz_localize(None).to_datetime64()

    return to_time


def _is_bool(value: Any) -> bool:
    import numpy as np

    return isinstance(value, bool | np.bool_)
