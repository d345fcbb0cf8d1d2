"""Write a fitted scikit-learn estimator so that equal fits give equal bytes, and read it back without running what a file says.

skops names members and nodes by memory address, stamps zip entries with the time, and keeps sets in hash order. `dump_sklearn` renumbers,
fixes the dates and sorts; nothing that loading needs is lost. A *reloaded* estimator dumps differently: take digests of what was written
first and never dump again. Called by the model kind's fit step; `load_sklearn` by `predictors`.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlops.serving.errors import FolderError

_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest date a zip file can hold


def dump_sklearn(estimator: object, path: Path) -> list[str]:
    """Write `estimator` to `path`; return the types that a reader must be told to trust, sorted.

    A path that ends in `.joblib` is pickled (and then needs `allow_pickle` in model.json), any other is a skops file with canonical bytes.
    Raises `FolderError` for an estimator that skops cannot hold.
    """
    if path.suffix == ".joblib":
        import joblib

        joblib.dump(estimator, path)
        return []
    import skops.io

    try:
        raw = skops.io.dumps(estimator)
    except Exception as error:  # skops lets any error of the estimator's own code through
        msg = f"skops cannot hold this {type(estimator).__name__}: {error}"
        raise FolderError(msg) from error
    path.write_bytes(_canonical(raw))
    return sorted(skops.io.get_untrusted_types(file=path))


def load_sklearn(path: Path, *, trusted: tuple[str, ...] = (), allow_pickle: bool = False) -> Any:
    """Return the estimator in `path`; raise `FolderError` for types not in `trusted`, a pickle not allowed, or a file that does not read."""
    if path.suffix == ".joblib":
        if not allow_pickle:
            msg = f"{path} is a pickle, which can run any code when loaded; model.json does not say `allow_pickle`"
            raise FolderError(msg)
        import joblib

        return joblib.load(path)
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
        if not unknown:
            return skops.io.load(path, trusted=list(trusted))
    except UntrustedTypesFoundException as error:
        msg = f"{path} holds types that are not trusted: {error}"
        raise FolderError(msg) from error
    except Exception as error:  # a garbled archive can fail anywhere inside zipfile, json or numpy
        msg = f"{path} cannot be loaded: {type(error).__name__}: {error}"
        raise FolderError(msg) from error
    msg = f"{path} holds types that `trusted` in model.json does not name: {', '.join(unknown)}"
    raise FolderError(msg)


def parts(value: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Yield every estimator in `value`, however deep; `seen` holds the ids of those that were visited."""
    seen = set() if seen is None else seen
    if isinstance(value, list | tuple):
        for item in value:
            yield from parts(item, seen)
    elif isinstance(value, dict):
        yield from parts(list(value.values()), seen)
    elif hasattr(value, "get_params") and not isinstance(value, type) and id(value) not in seen:
        seen.add(id(value))
        yield value
        yield from parts(list(vars(value).values()), seen)


def _canonical(raw: bytes) -> bytes:
    """Return the skops archive `raw` with nodes and members numbered in the order of the schema, and fixed dates."""
    with zipfile.ZipFile(io.BytesIO(raw)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(members.pop("schema.json"))
    _sort_sets(schema)
    names: dict[str, str] = {}
    _renumber(schema, {}, names)
    entries = [(new, _clean_member(new, members[old])) for old, new in names.items()]
    return _archive([*entries, ("schema.json", json.dumps(schema, indent=1).encode())])


def _archive(entries: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in entries:
            target.writestr(zipfile.ZipInfo(name, _DATE), content)
    return buffer.getvalue()


def _renumber(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Replace addresses by the number of their first mention, from 1 (skops takes 0 for absent), and member names likewise.

    Nodes of JSON scalars lose their id: whether two equal strings are one object is an accident of the interpreter.
    """
    if isinstance(node, list):
        for item in node:
            _renumber(item, ids, names)
    elif isinstance(node, dict):
        if "__loader__" in node:
            _renumber_node(node, ids, names)
        for child in node.values():
            _renumber(child, ids, names)


def _renumber_node(node: dict[str, Any], ids: dict[int, int], names: dict[str, str]) -> None:
    identity = node.pop("__id__", None)
    if identity is not None and node["__loader__"] != "JsonNode":
        node["__id__"] = ids.setdefault(identity, len(ids) + 1)
    file = node.get("file")
    if isinstance(file, str):
        node["file"] = names.setdefault(file, f"{len(names)}{Path(file).suffix}")


def _sort_sets(node: Any) -> None:
    for child in node if isinstance(node, list) else node.values() if isinstance(node, dict) else ():
        _sort_sets(child)
    if isinstance(node, dict) and node.get("__loader__") == "SetNode":
        node["content"].sort(key=_sort_key)


def _sort_key(node: Any) -> str:
    if isinstance(node, dict):
        return repr([(key, _sort_key(value)) for key, value in node.items() if key not in ("__id__", "file")])
    return repr([_sort_key(item) for item in node]) if isinstance(node, list) else repr(node)


def _clean_member(name: str, content: bytes) -> bytes:
    """Fix the dates inside a sparse matrix's own archive, and zero the gaps between the fields of a record array."""
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as source:
            return _archive([(member, source.read(member)) for member in sorted(source.namelist())])
    if name.endswith(".npy"):
        array = np.load(io.BytesIO(content), allow_pickle=False)
        if array.dtype.names:
            return _without_gaps(array)
    return content


def _without_gaps(array: np.ndarray[Any, Any]) -> bytes:
    clean = np.zeros(array.shape, array.dtype)
    for field in array.dtype.names or ():
        clean[field] = array[field]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()
