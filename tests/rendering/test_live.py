"""Progress on a terminal."""

from __future__ import annotations

import io

from mlops.core.events import Event
from mlops.rendering.live import Live
from mlops.rendering.looks import Look


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        """Say that somebody looks."""
        return True


def test_steps_that_ended_stay_as_lines_and_running_ones_leave_no_trace(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    with Live(terminal, Look(width=80)) as live:
        live(Event("step-started", "model.a", "model.a/fit", {"do": "run", "verb": "model.fit", "seconds": 3.0}))
        live(Event("step-started", "model.b", "model.b/fit", {"do": "run", "verb": "model.fit", "seconds": None}))
        live(Event("step-progress", "model.a", "model.a/fit", {"message": "epoch [3] of 9", "done": 0.33}))
        live(Event("step-heartbeat", "model.a", "model.a/fit", {"seconds": 10.0}))
        live._progress.refresh()
        during = terminal.getvalue()
        live(Event("step-ended", "model.a", "model.a/fit", {"status": "done", "seconds": 3.2, "facts": {}}))
        live(Event("warning", "model.b", data={"message": "no [baseline]"}))
    text = terminal.getvalue()
    assert "model.a fit: epoch [3] of 9" in during
    assert "33%" in during
    assert "model.b fit" in during
    assert "model.a fit … done in 3.2 s" in text
    assert "warning: model.b: no [baseline]" in text
    assert "\x1b[32m" not in text  # the reader wants no colours
