"""The door to time limits for Python of the project: it runs in a process of its own, which can be ended wherever it is."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from mlops.core.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, which must be picklable; it runs in a fork of this process, and changes nothing here.

    A thread could not be ended, and a signal does not interrupt a library that is busy in C.

    Raises:
        Refused: it did not end in time, or its process died.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(there, call), daemon=True)
    child.start()
    there.close()
    try:
        if not here.poll(seconds):
            message = f"it took more than {seconds:g} s"
            raise Refused(message, "make it simpler; it should look at nothing but its argument")
        return here.recv()  # type: ignore[no-any-return]
    except EOFError:
        child.join()
        message = f"its process ended without an answer ({child.exitcode})"
        raise Refused(message, "it must return, or raise an exception") from None
    finally:
        child.kill()
        child.join()
        here.close()


def _answer(there: Connection, call: Callable[[], object]) -> None:
    with suppress(KeyboardInterrupt):  # Ctrl-C reaches parent and child; the parent tells
        there.send(call())
