"""Sessions: what one run of the command line knows of its reader and its project; all printing goes through here."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops.core.diagnostics import Origin
    from mlops.core.events import Event
    from mlops.project import Project
    from mlops.rendering.looks import Look

_NARROWEST = 40  # columns; text is not laid out for less


class Session:
    """The project's folder, and whether the reader is a machine."""

    def __init__(self) -> None:
        self.folder = Path()
        self.machine = False

    @property
    def root(self) -> Path:
        """The project's folder: the nearest one upwards that has `conf/config.yaml`.

        Raises:
            PlanError: there is none.
        """
        start = self.folder.absolute()
        for folder in (start, *start.parents):
            if (folder / "conf" / "config.yaml").is_file():
                return folder
        from mlops.core.errors import PlanError

        message = f"there is no project in {start}: conf/config.yaml is missing, here and above"
        raise PlanError(message, "name the folder with -C, or begin a project with: mlops init")

    @contextmanager
    def project(self, overrides: Sequence[str] = ()) -> Iterator[Project]:
        """Open the project, and close it."""
        from mlops import project

        opened = project.open(self.root, overrides)
        try:
            yield opened
        finally:
            opened.close()

    def read_line(self, origin: Origin) -> str | None:
        """Return the line of a source file, or None where it cannot be read."""
        try:
            lines = (self.root / (origin.file or "")).read_text(encoding="utf-8").splitlines()
            return lines[(origin.line or 0) - 1]
        except (OSError, ValueError, IndexError):
            return None  # the line is a courtesy: what is wrong with the file is in the diagnostic itself

    @contextmanager
    def watching(self, project: Project) -> Iterator[Callable[[Event], None]]:
        """Yield what takes events in: the log of the run, and JSON lines, live progress or plain lines."""
        from mlops import logs

        secrets = [value for name, value in os.environ.items() if name.startswith("MLOPS_SECRET_")]
        with logs.Log(project.root, project.run, project.world.clock.now, secrets) as log:
            with self._view() as show:

                def emit(event: Event) -> None:
                    log(event)
                    show(event)

                yield emit
            if log.failure is not None:
                complain(f"warning: the log of this run is incomplete: {log.failure}")

    @contextmanager
    def _view(self) -> Iterator[Callable[[Event], None]]:
        if self.machine:
            from mlops.rendering import machine

            def tell(event: Event) -> None:
                say(machine.event(event))

            yield tell
        elif sys.stdout.isatty():
            from mlops.rendering.live import Live

            with Live(sys.stdout, look(sys.stdout)) as live:
                yield live
        else:
            from mlops.rendering import progress

            plain = look(sys.stdout)

            def tell(event: Event) -> None:
                line = progress.line(event, plain)
                if line is not None:
                    say(line)

            yield tell


def say(text: str) -> bool:
    """Print to standard output; once its reader has gone, return False and print nowhere, so that an apply goes on."""
    try:
        click.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def complain(text: str) -> None:
    """Print to standard error."""
    click.echo(text, err=True)


def look(stream: TextIO) -> Look:
    """Return how wide the stream's reader sees, and whether in colours."""
    import shutil

    from mlops.rendering.looks import Look

    if not stream.isatty():
        return Look()
    has_colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Look(max(shutil.get_terminal_size().columns, _NARROWEST), has_colour)
