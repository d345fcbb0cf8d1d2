"""The commands that mlops calls itself, in a container or on another machine; no help lists them."""

from __future__ import annotations

import os
import sys

from mlops.cli.commands import commands


@commands.command(hidden=True)
def step() -> None:
    """Run one step: work in by stdin, what happens out by stdout, as JSON lines; what the step prints goes to stderr."""
    from mlops import project
    from mlops.executors import speaking

    # Files of our own: what the step prints must not come between, and Python locks sys.stdin while a thread reads it.
    with open(os.dup(1), "wb") as out, open(0, "rb", closefd=False) as lines:  # noqa: PTH123 - descriptors
        os.dup2(2, 1)
        sys.stdout.flush()
        code = speaking.speak(project.run_step, lines, out)
        os._exit(code)  # threads that the step has left must not keep us
