"""Several workers behind one socket, for an image that has more than one core: this process forks them and starts again what crashed.

It loads no model and answers nobody. A worker is a replica that was forked before anything heavy was imported; it accepts from the shared
socket once its model is ready, so that one which crashed and loads anew is not asked meanwhile. Called by `main` where there are `--workers`.
"""

import os
import signal
import sys
from collections.abc import Callable
from time import monotonic

from mlops.serving.logs import Log

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_LOOK = 0.5  # seconds between looks at the parent
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds before a worker is started again, doubled each time
_STEADY = 30.0  # who lived for so many seconds is started again as if for the first time
_GIVES_UP = frozenset({1, 2})  # exit codes of a worker that has said itself why it cannot serve


class Crew:
    """The workers, who is down, and until when."""

    def __init__(self, serve: Callable[[int], int], log: Log) -> None:
        """Know how a worker serves: given its number, from 0, `serve` returns the exit code of its process."""
        self._serve = serve
        self._log = log
        self._running: dict[int, tuple[int, float]] = {}  # by process id: number, and when it was started
        self._due: dict[int, float] = {}  # by number: when it is started again
        self._pauses: dict[int, float] = {}
        self._is_ending = False
        self._code = 0

    def run(self, workers: int, parent: int | None) -> int:
        """Serve until SIGTERM, SIGINT or the end of process `parent`; return the exit code once every worker has ended.

        It is that of the first worker that could not serve at all, else 0.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._due = dict.fromkeys(range(workers), 0.0)
        while self._due or self._running:
            self._start_due()
            received = signal.sigtimedwait(_SIGNALS, _LOOK)
            if (received and received.si_signo != signal.SIGCHLD) or (parent is not None and os.getppid() != parent):
                self._end(0)
            self._reap()
        return self._code

    def _start_due(self) -> None:
        now = monotonic()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            self._running[self._fork(number)] = number, now

    def _fork(self, number: int) -> int:
        """Start a worker; return its process id."""
        child = os.fork()
        if child:
            return child
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = 70  # as `mlops` leaves where it is its own fault
        try:
            code = self._serve(number)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Take note of the workers that ended; they are started again after a pause, unless all is to end."""
        while self._running:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            number, begun = self._running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            if self._is_ending:
                continue
            if code in _GIVES_UP and number not in self._pauses:
                self._end(code)
                continue
            lived = monotonic() - begun
            pause = _FIRST_PAUSE if lived > _STEADY else min(2 * self._pauses.get(number, _FIRST_PAUSE / 2), _LONGEST_PAUSE)
            self._pauses[number] = pause
            self._due[number] = monotonic() + pause
            self._log.write("error", "worker ended", worker=number, pid=child, code=code, restart_in=pause)

    def _end(self, code: int) -> None:
        """Ask every worker to drain, and start none any more."""
        if not self._is_ending:
            self._is_ending, self._code = True, code
            self._due.clear()
        for child in self._running:
            os.kill(child, signal.SIGTERM)
