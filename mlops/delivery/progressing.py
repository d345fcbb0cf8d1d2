"""Progressing: from a delivery and one look at the world to the delivery as it is then, and what is to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.delivery.deliveries import Delivery

if TYPE_CHECKING:
    from mlops.delivery.actions import Action
    from mlops.delivery.deliveries import Seen
    from mlops.delivery.strategies import Strategy


ROLLBACK_WINDOW = 3


def next(delivery: Delivery, seen: Seen) -> tuple[Delivery, tuple[Action, ...]]:  # noqa: A001 - the issue's word
    """Return the delivery after this look, which is to be made durable before the actions are done.

    Pure. Asked again with what it returned and the same look, it returns the same, but for what is only said.
    """
    raise NotImplementedError


def begin(
    strategy: Strategy, versions: tuple[str | None, str], replicas: int, now: float, former: tuple[str, ...] = ()
) -> Delivery:
    """Return a new delivery of `versions` = (stable, candidate); `stable` None: nothing serves yet.

    Args:
        strategy: how.
        versions: what serves, and what is to serve.
        replicas: how many of them in the end.
        now: UTC, seconds.
        former: versions that served before, newest first; the way back to one of the last three has no steps and no analysis.
    """
    stable, candidate = versions
    direct = stable is None or candidate in former[:ROLLBACK_WINDOW]
    return Delivery(candidate, stable, replicas, strategy, started=now, looked=now, progressed=now, since=now, direct=direct)
