"""The command line: every walk begins in `main`, and errors become text and exit codes here and nowhere else.

Nothing heavy is imported before a command runs: `mlops --help` loads click and this folder.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from mlops.cli import inside, looking, starting  # noqa: F401 - they add their commands
from mlops.cli.commands import INTERRUPTED, commands
from mlops.cli.sessions import Session, complain, look

if TYPE_CHECKING:
    from collections.abc import Sequence

BUG = 70  # exit code where the error is none that mlops knows


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a terminal that has no arrow gets a question mark
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job ends like Ctrl-C
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    session = Session()
    code = _run(arguments, session)
    session.close(code)
    return code


def _run(arguments: Sequence[str], session: Session) -> int:
    try:
        return commands.main(list(arguments), prog_name="mlops", standalone_mode=False, obj=session) or 0
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        _tell("usage", error.message, session)
        return 1
    except Exception as error:
        if os.environ.get("MLOPS_TRACE"):
            raise
        return _report(error, session)


def _report(error: Exception, session: Session) -> int:
    """Say what went wrong: a MlopsError in its own words, anything else as a bug."""
    from mlops.core.errors import MlopsError
    from mlops.rendering import diagnostics, machine

    if not isinstance(error, MlopsError):
        import traceback

        _tell("bug", f"{type(error).__name__}: {error}", session)
        complain("".join(traceback.format_exception(error)))
        complain("this is a bug in mlops: please report it to its maintainers, with the lines above and `mlops --version`")
        return BUG
    session.fail(machine.error(error))
    complain(diagnostics.error(error, look(sys.stderr), session.read_line))
    return error.exit_code


def _tell(code: str, message: str, session: Session) -> None:
    """Tell the streams of an error that is no MlopsError."""
    if session.is_streaming:
        from mlops.rendering import machine

        session.tell(machine.failure(code, message))
