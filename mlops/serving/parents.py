"""Die with the supervisor: a replica whose parent is gone answers nobody's plan and would hold the port.

Linux tells by signal (prctl), everywhere else the parent's id is looked at. The signal is one of our own and is checked, because the kernel
sends it already when the *thread* that started us ends.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_SIGNAL = signal.SIGUSR2
_INTERVAL = 0.5  # seconds between looks


def watch_parent(parent: int, on_death: Callable[[], None]) -> asyncio.Task[None]:
    """Call `on_death` once the process `parent` is our parent no more, which it may be already; return the task that looks."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    loop.add_signal_handler(_SIGNAL, changed.set)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(_SIGNAL))

    async def look() -> None:
        while os.getppid() == parent:
            changed.clear()
            try:
                async with asyncio.timeout(_INTERVAL):
                    await changed.wait()
            except TimeoutError:
                continue
        on_death()

    return loop.create_task(look())
