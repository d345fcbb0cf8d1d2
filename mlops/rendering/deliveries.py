"""Deliveries as text: where each rollout stands, what was asked of it, and what is rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.rendering import words
from mlops.rendering.looks import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.attending import Standing
    from mlops.core.notices import Notice
    from mlops.rendering.looks import Look

_BESIDES = ("replicas", "former", "engine", "engine_id", "image")  # facts for programs, or with lines of their own


def status(found: Sequence[Standing], look: Look) -> str:
    """Return a line for each rollout, and below it what is to be known."""
    if not found:
        return "no rollout was ever delivered here"
    return "\n".join(line for one in found for line in _lines(one, look))


def explanation(one: Standing, look: Look) -> str:
    """Return where one rollout stands, with all that is known."""
    return "\n".join([*_lines(one, look), *(f"  {clean(sentence)}" for sentence in one.sentences[1:])])


def _lines(one: Standing, look: Look) -> Iterator[str]:
    facts = {name: value for name, value in one.facts.items() if name not in _BESIDES}
    yield f"{look.paint(one.address, 'strong')}  {clean(words.facts(facts))}"
    if one.found and one.looked is None:
        yield f"  {look.paint('not as recorded', 'change')}: {clean(one.found)}"
    if one.looked is not None:
        yield f"  {_attended(one, look)}{': ' if one.sentences else ''}{clean(one.sentences[0]) if one.sentences else ''}"
    for notice in one.asked:
        yield f"  asked to {notice.verb} by {clean(notice.by)} at {words.moment(notice.at)}{_why(notice)}"
    for notice in one.rejected:
        yield f"  {look.paint('rejected', 'bad')} at {words.moment(notice.at)}{_why(notice)}; `mlops rollout retry {one.address}`"


def _attended(one: Standing, look: Look) -> str:
    if one.is_driven:
        return "its delivery is under way"
    return look.paint(
        f"its delivery is unattended since {words.moment(one.looked or '')}, `mlops apply` goes on with it", "change"
    )


def _why(notice: Notice) -> str:
    return f": {clean(notice.reason)}" if notice.reason else ""
