"""Plans as markdown, for a comment on a pull request: a table of what changes, and the text of the plan below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.plans import Action
from mlops.rendering import plans, reasons, rulings, words
from mlops.rendering.looks import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.plans import Plan
    from mlops.core.rulings import Ruling

_WORDS = {
    Action.CREATE: "create",
    Action.UPDATE: "update",
    Action.REPLACE: "replace",
    Action.DELETE: "delete",
    Action.REUSE: "reuse",
    Action.RECORD: "record only",
    Action.MOVE: "rename",
    Action.IMPORT: "import",
    Action.FORGET: "forget",
}


def plan(made: Plan, judged: Sequence[Ruling] = ()) -> str:
    """Return the plan as GitHub's markdown, with what the project's policies say of it."""
    return "\n\n".join(part for part in (_plan(made), rulings.markdown(judged)) if part)


def _plan(made: Plan) -> str:
    changes = [change for change in made.changes if change.action is not Action.NOOP]
    head = f"### mlops plan: {made.project} in {made.environment}\n\n{plans.closing(made)}"
    stand = [f"- `{verdict.address}` did not pass (recorded {words.moment(verdict.at)})" for verdict in made.standing]
    head = "\n\n".join([head, "\n".join(stand)] if stand else [head])
    if not changes:
        return head
    rows = [f"| {_WORDS[change.action]} | `{change.address}` | {_cell(reasons.summary(change))} |" for change in changes]
    table = "\n".join(["| | resource | why |", "|---|---|---|", *rows])
    text = plans.text(made, Look())
    fence = "`" * max(3, 1 + max((len(run) for run in _backticks(text)), default=0))
    return f"{head}\n\n{table}\n\n<details><summary>The plan in full</summary>\n\n{fence}\n{text}\n{fence}\n\n</details>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _backticks(text: str) -> list[str]:
    """Return the runs of backticks, so that the fence can be longer than any."""
    return "".join(one if one == "`" else " " for one in text).split()
