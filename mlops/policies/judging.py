"""Judging: each policy gets the plan, as schemas/plan.json has it, and gives its rulings; `project` asks before it applies.

A policy that does not work denies: what was meant to be checked was not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from mlops.core import plans
from mlops.core.errors import PlanError, PolicyDenied, Refused, Unavailable
from mlops.core.rulings import Effect, Ruling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlops.core.plans import Plan

    Load = Callable[[str], Callable[[Any], Any]]  # module:function → the function
    Evaluate = Callable[[str, str], Any]  # path of a Rego file, JSON of its input → the document `data.mlops`
    Within = Callable[[Callable[[], list[Ruling]]], list[Ruling]]  # runs a call, and raises Refused where it does not end

REGO = ".rego"
_HINT = 'give an iterable of {"effect": "deny" or "warn", "message": text, "address": text}; empty where nothing is wrong'


def judge(policies: Sequence[str], plan: Plan, load: Load, evaluate: Evaluate, within: Within) -> tuple[Ruling, ...]:
    """Return what all policies say of the plan, in their order; each gets a copy of its own.

    Raises:
        PlanError: a policy is written in Rego, and there is no `opa` to ask.
    """
    if not policies:
        return ()
    text = json.dumps(plans.to_json(plan))
    found: list[Ruling] = []
    for policy in policies:
        if policy.endswith(REGO):
            found += _rego(policy, text, evaluate)
        else:
            found += _bounded(policy, partial(_python, policy, json.loads(text), load), within)
    return tuple(found)


def enforce(rulings: Iterable[Ruling]) -> None:
    """Raise PolicyDenied, with all denials, where there is one."""
    denials = [ruling for ruling in rulings if ruling.effect is Effect.DENY]
    if denials:
        raise PolicyDenied(denials)


def _bounded(policy: str, call: Callable[[], list[Ruling]], within: Within) -> list[Ruling]:
    try:
        return within(call)
    except Refused as error:
        return [_broken(policy, error)]


def _python(policy: str, plan: Any, load: Load) -> list[Ruling]:
    """Call the function; what it raises is a denial, beside what it has said before."""
    found: list[Ruling] = []
    try:
        with redirect_stdout(sys.stderr):  # standard output is ours, and may be read by a machine
            for said in _each(load(policy)(plan)):
                found.append(_ruling(policy, said))  # noqa: PERF401 - what came before an exception counts
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the project's code may raise anything
        found.append(_broken(policy, error))
    return found


def _each(said: Any) -> Iterable[Any]:
    if isinstance(said, str | Mapping) or not hasattr(said, "__iter__"):
        raise _misunderstood(said)
    return said  # type: ignore[no-any-return]


def _ruling(policy: str, said: Any) -> Ruling:
    """Return what a function said; raise Refused where it is no ruling."""
    if not isinstance(said, Mapping) or said.keys() - {"effect", "message", "address"}:
        raise _misunderstood(said)
    effect, message, address = said.get("effect"), said.get("message"), said.get("address") or ""
    if effect not in list(Effect) or not isinstance(message, str) or not isinstance(address, str):
        raise _misunderstood(said)
    return Ruling(policy, Effect(effect), message, address)


def _misunderstood(said: Any) -> Refused:
    message = f"it gave {said!r:.200}"
    return Refused(message, _HINT)


def _broken(policy: str, error: BaseException) -> Ruling:
    """Return the denial of a policy that did not come to its end."""
    if isinstance(error, Refused):
        text = f"{error.message}; {error.hint}" if error.hint else error.message
    else:
        text = f"{type(error).__name__}: {error}{_place(error)}"
    return Ruling(policy, Effect.DENY, f"this policy does not work: {text}")


def _place(error: BaseException) -> str:
    """Return the line of the policy's own file at which it raised; the first frame below ours is the policy's."""
    own = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return f" ({PurePath(own.tb_frame.f_code.co_filename).name}:{own.tb_lineno})" if own is not None else ""


def _rego(policy: str, plan: str, evaluate: Evaluate) -> list[Ruling]:
    try:
        document = evaluate(policy, plan)
    except Unavailable as error:
        raise PlanError(error.message, error.hint) from error
    except Refused as error:
        return [_broken(policy, error)]
    if not isinstance(document, Mapping) or not document.keys() & set(Effect):
        message = "it has no rule 'deny' and no rule 'warn' in package mlops"
        return [_broken(policy, Refused(message, "begin it with `package mlops`"))]
    return [ruling for effect in Effect for ruling in _said(policy, effect, document.get(effect, ()))]


def _said(policy: str, effect: Effect, value: Any) -> Iterator[Ruling]:
    """Yield the rulings of one rule: the members of a set, or the keys of an object, are messages."""
    if not isinstance(value, list | Mapping | tuple):
        yield _broken(
            policy, Refused(f"its rule '{effect}' is no set but {value!r:.200}", f"write `{effect} contains message if …`")
        )
        return
    for item in value:
        if isinstance(item, Mapping):
            yield _of_object(policy, effect, item)
        else:
            yield Ruling(policy, effect, item if isinstance(item, str) else json.dumps(item))


def _of_object(policy: str, effect: Effect, item: Mapping[str, Any]) -> Ruling:
    """Return the ruling of a message that is an object: `{"message": text, "address": text}`, or `msg` for `message`."""
    message, address = item.get("message", item.get("msg")), item.get("address", "")
    return Ruling(policy, effect, message if isinstance(message, str) else json.dumps(item), str(address))
