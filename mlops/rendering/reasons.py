"""Reasons: why a resource changes, in a few words, and the table of what is behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.digests import PREFIX
from mlops.core.plans import Action
from mlops.rendering import words
from mlops.rendering.looks import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlops.core.plans import Change, FieldChange, Reason

_MOST = 6  # rows of one reason's table that people still read

_SHORT = {
    "new": "new",
    "removed": "no longer desired",
    "kind": "this version of mlops makes it differently",
    "unfinished": "the last apply did not finish it",
    "asked": "asked for by --replace",
    "drift": "to be restored",
    "moved": "was {from}",
    "imported": "takes over {outputs}",
    "guard": "prevent_destroy is {protected} from now on",
    "rejected": "blocked: this version was rejected at {at}: {reason}",
    "unattended": "its delivery is unattended since {since}",
    "undone": "back to the version of {at}",
    "forgotten": "to be forgotten; what runs there goes on running",
}


def summary(change: Change) -> str:
    """Return why the resource changes, in one line."""
    if is_new(change):
        firsts = [_reused(change) or "new"]
    elif change.action is Action.REUSE:
        firsts = [*_each(change), _reused(change)]
    elif change.action in (Action.RECORD, Action.MOVE):
        firsts = [*_each(change), "nothing runs"]
    else:
        firsts = [*_each(change), _condition(change)]
    return "; ".join(part for part in [_blocked(change), *firsts] if part)


def is_new(change: Change) -> bool:
    """Tell whether nothing is recorded of the resource: then every field is new, and none is worth a line."""
    return any(reason.code == "new" for reason in change.reasons)


def _condition(change: Change) -> str:
    """Return `if model.credit's artifact or holdout changes`."""
    outputs: dict[str, list[str]] = {}
    for ref in change.condition:
        address, _, output = ref.partition("/")
        outputs.setdefault(address, []).append(output)
    owned = [f"{address}'s {words.listed(names, 'or')}" for address, names in outputs.items()]
    return f"if {words.listed(owned, 'or')} changes" if owned else ""


def _each(change: Change) -> Iterator[str]:
    texts = [_words(reason, change) for reason in change.reasons]
    yield from dict.fromkeys(text for text in texts if text)


def _reused(change: Change) -> str:
    return f"reuses what {words.listed(change.reused_from)} made" if change.reused_from else ""


def _blocked(change: Change) -> str:
    known = {
        test: found for reason in change.reasons if reason.code == "blocked" for test, found in reason.detail["tests"].items()
    }
    return "; ".join(f"blocked: {test} failed{_checks(known.get(test, ()))}" for test in change.blocked)


def refused(changes: Iterable[Change]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the failing checks of every test that is known to block one of the changes."""
    known = [reason.detail["tests"] for change in changes for reason in change.reasons if reason.code == "blocked"]
    return {test: failed for tests in known for test, failed in tests.items()}


def _checks(failed: Sequence[Mapping[str, Any]]) -> str:
    """Return `: roc_auc 0.71, needs ≥ 0.78` for the checks of a verdict that is known."""
    texts = [
        f"{check['check']}{' on ' + str(check['slice']) if check.get('slice') else ''} {words.fact(check['got'])},"
        f" needs {words.fact(check['expected'])}"
        for check in failed
    ]
    return f": {clean(words.listed(texts))}" if texts else ""


def _words(reason: Reason, change: Change) -> str:
    detail = reason.detail
    match reason.code:
        case "spec":
            return _changed_fields(change)
        case "input":
            return f"{detail['name']} changed{amounts(detail.get('facts_before') or {}, detail.get('facts') or {})}"
        case "output":
            return _output(detail)
        case "upstream":
            return "" if change.condition or len(change.reasons) > 1 else f"reads {words.listed(detail['refs'])}, made anew"
        case "blocked":
            return ""
        case code:
            return _SHORT[code].format_map(
                {
                    **{name: clean(text) if isinstance(text, str) else text for name, text in detail.items()},
                    **{name: words.moment(detail[name]) for name in ("at", "since") if name in detail},
                    "outputs": words.listed(detail.get("outputs", ())),
                    "protected": words.value(detail.get("protected")),
                }
            )


def _changed_fields(change: Change) -> str:
    if change.action in (Action.RECORD, Action.MOVE):
        return f"{words.listed(one.path for one in change.fields)} changed"
    replacing = [one.path for one in change.fields if one.replaces]
    return f"spec changed; {words.listed(replacing)} cannot change in place" if replacing else "spec changed"


def _output(detail: Mapping[str, Any]) -> str:
    rollout, bar, _ = str(detail["ref"]).partition("|")
    if bar:
        return f"what {rollout} serves changed"
    return f"{rollout} changed"


def amounts(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return ` (4,454 → 4,455 rows)` for the first amount that both observations have."""
    for name, say in (("rows", words.number), ("bytes", words.size)):
        if name in before and name in after:
            unit = " rows" if name == "rows" else ""
            if before[name] == after[name]:
                return f" ({say(after[name])}{unit} as before)"
            return f" ({say(before[name])} → {say(after[name])}{unit})"
    return f" ({words.number(after['rows'])} rows)" if "rows" in after else ""


def details(change: Change) -> list[tuple[str, str, str]]:
    """Return rows of (what, before → after, where it was written) behind the reasons."""
    if is_new(change) or change.action in (Action.DELETE, Action.FORGET):
        return []
    rows = [row for one in change.fields for row in _field(one)]
    for reason in change.reasons:
        if reason.code == "input":
            rows += capped([*found(reason.detail["name"], reason.detail["before"], reason.detail["after"])])
        elif reason.code == "output":
            rows.append((str(reason.detail["ref"]).partition("|")[0], _digests(reason.detail), ""))
    return rows


def _field(one: FieldChange) -> Iterator[tuple[str, str, str]]:
    origin = str(one.origin) if one.origin is not None else ""
    if not isinstance(one.before, list) or not isinstance(one.after, list):
        yield one.path, words.change(one.before, one.after), origin
    elif len(one.before) == len(one.after):
        yield from (
            (path, words.change(before, after), origin) for path, before, after in _leaves(one.path, one.before, one.after)
        )
    else:
        gone = [item for item in one.before if item not in one.after]
        come = [item for item in one.after if item not in one.before]
        yield from _items(one.path, gone, come, origin)


def _leaves(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, before, after) of the leaves that differ, `checks.0.min`."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _leaves(f"{path}.{name}", before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _leaves(f"{path}.{index}", old, new)
    else:
        yield path, before, after


def _items(path: str, gone: list[Any], come: list[Any], origin: str) -> Iterator[tuple[str, str, str]]:
    """Show a list that grew or shrank by its items: those that go and those that come."""
    lines = [f"- {words.value(_said(item))}" for item in gone] + [f"+ {words.value(_said(item))}" for item in come]
    for index, line in enumerate(lines or ["the same items, another count"]):
        yield (path, line, origin) if index == 0 else ("", line, "")


def _said(item: Any) -> Any:
    """Leave out of an item what says nothing: fields that are null or empty."""
    return {name: part for name, part in item.items() if part not in (None, [], {})} if isinstance(item, dict) else item


def found(name: str, before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (what, before → after, "") for an input: one row for each file or package of it that changed."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield name, f"{_found(before)} → {_found(after)}", ""
        return
    for part in sorted(before.keys() | after.keys()):
        if part not in before:
            yield part, f"new, {_found(after[part])}", ""
        elif part not in after:
            yield part, "gone", ""
        elif before[part] != after[part]:
            yield part, f"{_found(before[part])} → {_found(after[part])}", ""


def _found(item: Any) -> str:
    """Return what was observed: a version needs no quotes."""
    return clean(item) if isinstance(item, str) and not item.startswith(PREFIX) else words.value(item)


def _digests(detail: Mapping[str, Any]) -> str:
    def side(value: Any) -> str:
        return "nothing" if value is None else words.value(value)

    return f"{side(detail['before'])} → {side(detail['after'])}"


def capped(rows: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Return as many rows as people still read, and how many more there are."""
    return rows if len(rows) <= _MOST else [*rows[: _MOST - 1], (f"and {len(rows) - _MOST + 1} more", "", "")]
