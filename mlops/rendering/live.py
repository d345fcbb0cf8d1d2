"""Progress on a terminal: the steps that run now, each with its time and estimate, below the lines of those that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from mlops.rendering import progress, words
from mlops.rendering.looks import Look, clean
from mlops.rendering.results import title

if TYPE_CHECKING:
    from typing import TextIO

    from rich.progress import TaskID

    from mlops.core.events import Event


class Live:
    """Shows events on the terminal `stream`; use it as `with`, and hand it to whoever emits."""

    def __init__(self, stream: TextIO, look: Look) -> None:
        self._look = look
        self._console = Console(file=stream, width=look.width, highlight=False, no_color=not look.colour)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[about]}"),
            console=self._console,
            transient=True,
        )
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        match event.name:
            case "step-started":
                self._start(event)
            case "step-progress" if event.step in self._running:
                self._tell(event)
            case "step-heartbeat":
                pass  # the elapsed time moves by itself
            case _:
                self._end(event)

    def _start(self, event: Event) -> None:
        estimate = event.data.get("seconds")
        about = f"of about {words.seconds(estimate)}" if estimate else ""
        self._running[event.step] = self._progress.add_task(title(event.step), total=None, about=about)

    def _tell(self, event: Event) -> None:
        text = f"{title(event.step)}: {clean(event.data['message'])}"
        self._progress.update(self._running[event.step], description=text)
        if event.data.get("done") is not None:
            self._progress.update(self._running[event.step], about=f"{event.data['done']:.0%}")

    def _end(self, event: Event) -> None:
        running = self._running.pop(event.step, None) if event.name == "step-ended" else None
        if running is not None:
            self._progress.remove_task(running)
        line = progress.line(event, self._look)
        if line is not None:
            self._console.print(Text.from_ansi(line))
