"""Sessions: what one run of the command line knows of its reader and its project; all printing goes through here."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from mlops.cli.streams import FileStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlops.core.diagnostics import Diagnostic, Origin
    from mlops.core.events import Event
    from mlops.core.plans import Plan
    from mlops.project import Project
    from mlops.rendering.looks import Look

_NARROWEST = 40  # columns; text is not laid out for less


class Session:
    """The project's folder, whether standard output is for a machine, and who reads the stream of JSON lines."""

    def __init__(self) -> None:
        self.folder = Path()
        self.machine = False
        self._sinks: list[Callable[[str], object]] = []
        self._files: list[FileStream] = []
        self._secrets = [value for name, value in os.environ.items() if name.startswith("MLOPS_SECRET_")]

    @property
    def is_streaming(self) -> bool:
        """Tell whether anybody reads a stream."""
        return bool(self._sinks)

    def stream(self, command: str, path: str | None = None) -> None:
        """Begin a stream of JSON lines into the file, or to standard output.

        Raises:
            UsageError: the file cannot be opened.
        """
        from mlops.rendering import machine

        if path is not None:
            self._files.append(FileStream(path))
        sink = say if path is None else self._files[-1]
        sink(machine.line(machine.opening(command), _now()))
        self._sinks.append(sink)

    def tell(self, event: Event) -> None:
        """Write one line to every stream."""
        if self._sinks:
            from mlops.rendering import machine

            line = machine.line(self._hide(event), _now())
            for sink in self._sinks:
                sink(line)

    def fail(self, event: Event) -> None:
        """Tell of the error that ends the command; where standard output has JSON and no stream, it is a line there."""
        if self.machine and say not in self._sinks:
            from mlops.rendering import machine

            say(machine.line(event, _now()))
        self.tell(event)

    def close(self, code: int) -> None:
        """End every stream with the exit code; say which one lost lines."""
        if self._sinks:
            from mlops.rendering import machine

            self.tell(machine.closing(code))
        for file in self._files:
            file.close()
            if file.failure:
                complain(f"warning: {file.path} is incomplete: {file.failure}")

    def _hide(self, event: Event) -> Event:
        """Return the event without any secret value that a program or a library may have printed."""
        if not self._secrets:
            return event
        from mlops import logs

        return replace(event, data=logs.hidden(dict(event.data), self._secrets))

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
        if opened.composition.warnings:
            self._warn(opened.composition.warnings)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def resume(self, plan: Plan) -> Iterator[Project]:
        """Open the project that a saved plan is of, where its YAML may be missing, and close it."""
        from mlops import project
        from mlops.core.errors import PlanError

        try:
            root = self.root
        except PlanError:
            root = self.folder.absolute()
        opened = project.resume(root, plan)
        try:
            yield opened
        finally:
            opened.close()

    def _warn(self, warnings: Sequence[Diagnostic]) -> None:
        from mlops.rendering import diagnostics

        complain(diagnostics.diagnostics(warnings, look(sys.stderr), self.read_line))

    def read_line(self, origin: Origin) -> str | None:
        """Return the line of a source file, or None where it cannot be read."""
        try:
            lines = (self.root / (origin.file or "")).read_text(encoding="utf-8").splitlines()
            return lines[(origin.line or 0) - 1]
        except (OSError, ValueError, IndexError):
            return None  # the line is a courtesy: what is wrong with the file is in the diagnostic itself

    @contextmanager
    def watching(self, project: Project) -> Iterator[Callable[[Event], None]]:
        """Yield what takes events in: the log of the run, the streams, and live progress or plain lines."""
        from mlops import logs

        with logs.Log(project.root, project.run, project.world.clock.now) as log:
            with self._view() as show:

                def emit(event: Event) -> None:
                    event = self._hide(event)
                    log(event)
                    self.tell(event)
                    show(event)

                yield emit
            if log.failure is not None:
                complain(f"warning: the log of this run is incomplete: {log.failure}")

    @contextmanager
    def _view(self) -> Iterator[Callable[[Event], None]]:
        if self.machine:
            yield lambda _: None
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


def confirm(session: Session, question: str) -> None:
    """Ask, and go on only after a yes.

    Raises:
        UsageError: there is nobody to ask.
        ClickException: the answer is no.
    """
    if session.machine or not (sys.stdin.isatty() and sys.stdout.isatty()):
        message = "there is nobody to ask: say --yes to go on without being asked"
        raise click.UsageError(message)
    if not click.confirm(f"\n{question}"):
        message = "nothing was changed"
        raise click.ClickException(message)


def _now() -> str:
    from mlops.world.clock import SystemClock

    return SystemClock().now().isoformat(timespec="milliseconds")


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
