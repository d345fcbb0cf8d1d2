"""The door to Rego: policies in the language of Open Policy Agent, evaluated by its program `opa`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from mlops.core.errors import Refused, Unavailable
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "MLOPS_OPA"  # the environment variable that names it where it is not on PATH
SECONDS = 60.0
_LINES = 6  # of what opa has to say against a policy


def evaluate(root: Path, policy: str, document: str) -> Any:
    """Return what the Rego file `policy` (relative to `root`) makes of package `mlops` for the input `document` (JSON), or None.

    Raises:
        Unavailable: there is no `opa`.
        Refused: there is no such file, or opa does not take it.
    """
    path = root / policy
    if not path.is_file():
        message = f"there is no file {policy}"
        raise Refused(message, "mend `policies` in conf/config.yaml")
    program = _program()
    command = [program, "eval", "--format", "json", "--strict-builtin-errors", "--stdin-input", "--data", str(path), "data.mlops"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_SECRET_")}
    try:
        with explaining(program):
            done = subprocess.run(  # noqa: S603 - an argv list; the policy is the project's own
                command,
                input=document,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=SECONDS,
                cwd=root,
                env=own,
            )
    except subprocess.TimeoutExpired:
        message = f"opa took more than {SECONDS:g} s"
        raise Refused(message, "make the policy simpler") from None
    return _answer(done)


def _program() -> str:
    named = os.environ.get(PROGRAM)
    found = shutil.which(named or "opa")
    if found is None:
        message = f"there is no program '{named}', which {PROGRAM} names" if named else "policies in Rego need the program 'opa'"
        raise Unavailable(message, f"install Open Policy Agent 1.0 or newer, on PATH or where {PROGRAM} says")
    return found


def _answer(done: subprocess.CompletedProcess[str]) -> Any:
    """Return the one value of the one expression; None where the package is not there."""
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise Refused(_words(done.stderr or done.stdout) or f"opa ended with exit code {done.returncode}") from None
    if answer.get("errors"):
        raise Refused(_words("\n".join(_problem(error) for error in answer["errors"])))
    return answer["result"][0]["expressions"][0]["value"] if answer.get("result") else None


def _problem(error: dict[str, Any]) -> str:
    place = error.get("location") or {}
    line = f"line {place['row']}: " if place.get("row") else ""
    return f"{line}{error.get('message', error)}"


def _words(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join(lines if len(lines) <= _LINES else [*lines[:_LINES], f"and {len(lines) - _LINES} more lines"])
