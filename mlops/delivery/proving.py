"""Proving: whether the answers that come through the route show that it is as asked. What a proxy says of itself is not enough."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from mlops.delivery.strategies import ALL

if TYPE_CHECKING:
    from mlops.delivery.deliveries import Answers, Delivery, Seen

LEAST = 20  # answers that are wanted before anything is believed
_MOST = 200  # questions in one look
_ENOUGH = 5  # answers of the smaller side that are expected; none at all comes once in 150 times then
_DEVIATIONS = 4.0  # how far from the asked share chance may take it: once in 16,000 looks
_SLACK = 0.01  # what proxies round


def is_proven(delivery: Delivery, seen: Seen) -> bool:
    """Tell whether enough answers came since the route was asked for, from whom they should, in the share asked for."""
    answers = _answers(delivery, seen)
    if answers is None or not _agrees(delivery, answers) or seen.traffic not in (None, delivery.traffic):
        return False
    return delivery.traffic.weight in (0.0, ALL) or min(answers.stable, answers.candidate) > 0


def is_contradicted(delivery: Delivery, seen: Seen) -> bool:
    """Tell whether the answers say otherwise: the route may have followed late, and they are to be counted anew."""
    answers = _answers(delivery, seen)
    return answers is not None and not _agrees(delivery, answers)


def _answers(delivery: Delivery, seen: Seen) -> Answers | None:
    """Return the answers since the route was asked for, if there are enough."""
    answers = seen.answers
    if answers is None or answers.route != delivery.route or answers.stable + answers.candidate < LEAST:
        return None
    return answers


def _agrees(delivery: Delivery, answers: Answers) -> bool:
    share, count = delivery.traffic.weight / ALL, answers.stable + answers.candidate
    away = abs(answers.candidate / count - share)
    return not away if share in (0.0, 1.0) else away <= _DEVIATIONS * sqrt(share * (1 - share) / count) + _SLACK


def probes(delivery: Delivery) -> int:
    """Return how often to ask in one look: more often where one side answers seldom."""
    share = delivery.traffic.weight / ALL
    smaller = min(share, 1 - share)
    return LEAST if not smaller else max(LEAST, min(_MOST, ceil(_ENOUGH / smaller)))
