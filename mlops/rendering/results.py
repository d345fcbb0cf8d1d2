"""Results as text: what failed, where it was written and what to do; verdicts as tables; how long it took."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops.core import specs
from mlops.core.executions import Status
from mlops.rendering import plans, reasons, verdicts, words
from mlops.rendering.looks import clean, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlops.core.diagnostics import Origin
    from mlops.core.executions import Outcome, Result
    from mlops.core.plans import Change, Plan
    from mlops.rendering.looks import Look

_TELLING = 4  # letters; a shorter value stands in a message by chance
_COUNTED = {
    Status.DONE: "done",
    Status.REUSED: "reused",
    Status.SKIPPED: "unchanged",
    Status.FAILED: "failed",
    Status.BLOCKED: "blocked",
    Status.DROPPED: "not begun",
}


def has_failed(result: Result, plan: Plan) -> bool:
    """Tell whether apply must end as StepsFailed: an outcome failed or was blocked, or a verdict is not passed, now or still."""
    return bool(plan.standing) or any(
        outcome.status in (Status.FAILED, Status.BLOCKED) or _is_verdict(outcome, "error") for outcome in result.outcomes
    )


def text(result: Result, plan: Plan, look: Look, where: Callable[[str, str], Origin | None]) -> str:
    """Return how an apply went; `where` tells where a value of a resource was written, or the resource."""
    changes = {change.address: change for change in plan.changes}

    def place(address: str, message: str) -> Origin | None:
        change = changes.get(address)  # type: ignore[call-overload]
        return _field_in(message, change) or where(address, _path_in(message, change.body if change is not None else {}))

    told = [*_failures(result, look, place), *_verdicts(result, look), *_known(result, plan, look)]
    still = list(verdicts.of_plan(plan, look))
    sections = [*told, *still, *([""] if still else []), *_held(result, look)]
    style = "bad" if has_failed(result, plan) or result.interrupted else "good"
    return "\n".join([*sections, look.paint(closing(result, plan), style)])


def closing(result: Result, plan: Plan) -> str:
    """Return the last line: how many steps ended how, and the time it took beside the estimate."""
    counts = [(count, word) for status, word in _COUNTED.items() if (count := result.count(status))]
    told = [f"{f'{count:,}' if index else words.plural(count, 'step')} {word}" for index, (count, word) in enumerate(counts)]
    expected = plans.estimate(plan)
    about = f" (estimated {words.seconds(expected)})" if expected else ""
    head = "Interrupted" if result.interrupted else "Failed" if has_failed(result, plan) else "Applied"
    return f"{head}: {', '.join(told) or 'nothing was begun'} in {words.seconds(result.seconds)}{about}"


def title(step: str) -> str:
    """Return `model.credit fit` for the step `model.credit/fit`."""
    return " ".join(step.rsplit("/", 1))


def _field_in(message: str, change: Change | None) -> Origin | None:
    """Return where the field was written whose value or name the message quotes, among those that changed."""
    for one in change.fields if change is not None else ():
        if one.origin is not None and any(f"'{word}'" in message for word in (one.after, one.path.rpartition(".")[2])):
            return one.origin
    return None


def _path_in(message: str, body: Mapping[str, Any]) -> str:
    """Return the dotted path of the value that the message is most likely about: named or shown in quotes, else shown."""
    best, found = (0, 0), ""
    for path, value in specs.walk(body):
        parts = path.split(".")
        words = [(".".join(parts[: index + 1]), part, False) for index, part in enumerate(parts)]
        for place, word, is_value in [*words, (path, str(value), True)]:
            is_shown = is_value and len(word) >= _TELLING and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) is not None
            is_quoted = f"'{word}'" in message or (is_value and f"{parts[-1]} {word} " in message)  # port 80 …
            rank = (2 if is_quoted else int(is_shown), len(word))
            if rank[0] and rank > best:
                best, found = rank, place
    return found


def _failures(result: Result, look: Look, place: Callable[[str, str], Origin | None]) -> Iterator[str]:
    for outcome in result.outcomes:
        failure = outcome.failure
        if outcome.status is not Status.FAILED or failure is None:
            continue
        origin = place(outcome.step.rpartition("/")[0], failure.message)
        written = f"  {look.paint(str(origin), 'dim')}" if origin is not None else ""
        yield f"{look.paint(f'failed[{failure.code}]', 'bad')} {title(outcome.step)}{written}"
        yield from (f"  {line}" for line in clean(failure.message).splitlines())
        if failure.hint:
            yield f"  {look.paint('hint:', 'reuse')} {clean(failure.hint)}"
        if failure.trace:
            yield from (f"  {look.paint('│', 'dim')} {line}" for line in clean(failure.trace).rstrip().splitlines())
        yield ""


def _is_verdict(outcome: Outcome, severity: str) -> bool:
    """Tell whether the outcome is a verdict with a failing check of this severity."""
    if severity == "error":
        return outcome.facts.get("passed") is False
    return any(not check["passed"] and check["severity"] == severity for check in outcome.facts.get("checks", ()))


def _verdicts(result: Result, look: Look) -> Iterator[str]:
    for outcome in result.outcomes:
        is_failed = _is_verdict(outcome, "error")
        if not is_failed and not _is_verdict(outcome, "warn"):
            continue
        says = look.paint("did not pass", "bad") if is_failed else look.paint("passed with warnings", "change")
        yield f"{outcome.step.rpartition('/')[0]} {says}"
        yield from verdicts.checks([check for check in outcome.facts.get("checks", ()) if not check["passed"]], look)
        yield ""


def _known(result: Result, plan: Plan, look: Look) -> Iterator[str]:
    """Show the verdicts that were known before this apply and block one of its steps."""
    judged = {outcome.step.rpartition("/")[0] for outcome in result.outcomes if "passed" in outcome.facts}
    for test, failed in reasons.refused(plan.changes).items():
        if test not in judged:
            yield f"{test} {look.paint('did not pass', 'bad')} when it was last run"
            yield from verdicts.checks(failed, look)
            yield ""


def _held(result: Result, look: Look) -> Iterator[str]:
    """Say which steps were not begun, and why."""
    rows = []
    for outcome in result.outcomes:
        if outcome.status is Status.BLOCKED:
            why = outcome.failure.message if outcome.failure else "a required test did not pass"
            rows.append([look.paint("blocked", "bad"), title(outcome.step), f"{why}; nothing was touched"])
        elif outcome.status is Status.DROPPED:
            why = "interrupted before it began" if result.interrupted else "what it needs did not end well"
            rows.append([look.paint("not begun", "change"), title(outcome.step), why])
    yield from [*table(rows), ""] if rows else []
