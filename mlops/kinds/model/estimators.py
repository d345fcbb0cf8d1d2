"""From a dotted path and parameters in YAML to a scikit-learn estimator: what may be imported, and with which parameters.

`refused` and `paths` are pure, for `check`; `make` imports, inside the fit step, and asks `refused` again.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from mlops.core.diagnostics import did_you_mean
from mlops.kinds.model.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NESTED = ({"estimator"}, {"estimator", "params"})


def refused(path: str, allowed: Sequence[str]) -> str | None:
    """Return why the estimator at `path` may not be imported, or None; nothing is imported."""
    package = path.partition(".")[0]
    if package == "sklearn" or any(path == each or path.startswith(f"{each}.") for each in allowed):
        return None
    return f"the estimator '{path}' may not be imported: only scikit-learn's may, and those of packages that the project allows"


def allow_hint(path: str) -> str:
    """Return what to do about a refused path."""
    package = path.partition(".")[0]
    if package in sys.stdlib_module_names:
        return "use an estimator below sklearn."
    return f"in conf/config.yaml itself: `allow: {{estimators: [{package}]}}`, or use an estimator below sklearn."


def paths(path: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted path of the estimator and of all that its parameters nest as `{estimator: PATH, params: {...}}`."""
    yield path
    for nested in _nested(list(params.values())):
        yield from paths(nested["estimator"], nested.get("params") or {})


def _nested(value: Any) -> Iterator[Mapping[str, Any]]:
    if _is_nested(value):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nested(item)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) and set(value) in _NESTED and isinstance(value["estimator"], str)


def make(path: str, params: Mapping[str, Any], allowed: Sequence[str], *, seed: int, threads: int) -> Any:
    """Return the unfitted estimator with its seeds and threads set where the parameters leave them open.

    Raises:
        ModelError: the path may not be imported or is no estimator, or a parameter is unknown.
    """
    estimator = _build(path, params, allowed)
    settings = estimator.get_params(deep=True)
    open_ends = {name: seed for name, value in settings.items() if value is None and _last(name) == "random_state"}
    if threads > 1:
        open_ends |= {name: threads for name, value in settings.items() if value is None and _last(name) == "n_jobs"}
    return estimator.set_params(**open_ends)


def _last(name: str) -> str:
    return name.rpartition("__")[2]


def _build(path: str, params: Mapping[str, Any], allowed: Sequence[str]) -> Any:
    made = _class(path, allowed)
    known = made._get_param_names()  # noqa: SLF001 - scikit-learn's own list of parameters; get_params needs an instance
    unknown = [name for name in params if name not in known]
    if unknown:
        message = f"{path} has no parameter {' and none '.join(map(repr, unknown))}"
        raise ModelError(message, " ".join(did_you_mean(name, known, "its parameters") for name in unknown))
    try:
        return made(**{name: _value(value, allowed) for name, value in params.items()})
    except TypeError as error:
        message = f"{path} cannot be made: {error}"
        raise ModelError(message, f"its parameters: {', '.join(known)}") from error


def _value(value: Any, allowed: Sequence[str]) -> Any:
    if _is_nested(value):
        return _build(value["estimator"], value.get("params") or {}, allowed)
    if isinstance(value, dict):
        return {key: _value(item, allowed) for key, item in value.items()}
    if isinstance(value, list):
        items = [_value(item, allowed) for item in value]
        is_named_step = len(items) == 2 and isinstance(items[0], str) and hasattr(items[1], "fit")  # noqa: PLR2004 - (name, estimator)
        return tuple(items) if is_named_step else items
    return value


def _class(path: str, allowed: Sequence[str]) -> Any:
    reason = refused(path, allowed)
    if reason:
        raise ModelError(reason, allow_hint(path))
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        message = f"the estimator '{path}' cannot be imported: {error}"
        raise ModelError(message, f"install the package '{path.partition('.')[0]}', or mend the path") from error
    found = getattr(module, name, None)
    if not _is_estimator(found):
        what = "is no estimator" if found is not None else f"is not there: {module_name} has no '{name}'"
        message = f"'{path}' {what}"
        raise ModelError(
            message, did_you_mean(name, [each for each in dir(module) if _is_estimator(getattr(module, each))], "known are")
        )
    return found


def _is_estimator(found: Any) -> bool:
    return isinstance(found, type) and hasattr(found, "fit") and hasattr(found, "_get_param_names")
