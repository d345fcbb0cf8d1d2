"""Proving: whether the answers that come through the route show that it is as asked. What a proxy says of itself is not enough."""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import TYPE_CHECKING

from mlops.delivery.strategies import ALL

if TYPE_CHECKING:
    from mlops.delivery.deliveries import Answers, Delivery, Seen

_LEAST = 20  # answers that are wanted before anything is believed
_MOST = 1000  # and no more than these, however small the change
_LOOK = 200  # questions in one look
_MISSED = 0.001  # how often a route that does not follow may look as if it had, over all counts
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
    if answers is None or answers.route != delivery.route:
        return None
    return answers if answers.stable + answers.candidate + answers.failed >= _enough(delivery) else None


def _agrees(delivery: Delivery, answers: Answers) -> bool:
    if answers.failed:  # they may have gone where nothing is any more
        return False
    share, count = delivery.traffic.weight / ALL, answers.stable + answers.candidate
    away = abs(answers.candidate / count - share)
    return not away if share in (0.0, 1.0) else away <= _DEVIATIONS * sqrt(share * (1 - share) / count) + _SLACK


def probes(delivery: Delivery) -> int:
    """Return how often to ask in one look."""
    return min(_LOOK, _enough(delivery))


def _enough(delivery: Delivery) -> int:
    """Return how many answers tell the share asked for from those that it may still be: for 5 % to 0, 152 without one of the candidate."""
    share = delivery.traffic.weight / ALL
    changes = [abs(share - weight / ALL) for weight in delivery.maybe if weight != delivery.traffic.weight]
    if not changes:
        return _LEAST
    missed = _MISSED / ((delivery.attempt + 1) * (delivery.attempt + 2))  # counting anew often finds chance sooner or later
    none, apart = -log(missed) / min(changes), share * (1 - share) * (2 * _DEVIATIONS / min(changes)) ** 2
    return max(_LEAST, min(_MOST, ceil(max(none, apart))))
