"""The program as a user has it: real commands in a copy of a project, on ports of their own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
MLOPS = Path(sys.executable).with_name("mlops")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A project in a folder, and the overrides that every command gets."""

    folder: Path
    overrides: tuple[str, ...] = ()

    def mlops(self, *words: str, code: int | None = 0) -> Ended:
        """Run a command; check its exit code, and that it never shows a traceback."""
        command = [MLOPS, "-C", self.folder, *words, *self.overrides]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=300)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Ended(done.returncode, done.stdout, done.stderr)

    def changes(self, *words: str) -> dict[str, str]:
        """Return {address: sign} of what a plan would do."""
        lines = self.mlops("plan", "--json", *words).out.splitlines()
        plan = json.loads(lines[-1])
        return {change["address"]: change["action"] for change in plan.get("plan", plan)["changes"]}

    def apply(self, *words: str, code: int = 0) -> Ended:
        """Apply without asking."""
        return self.mlops("apply", "--yes", *words, code=code)

    def write(self, path: str, text: str) -> None:
        """Write a file of the project."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def edit(self, path: str, before: str, after: str) -> None:
        """Replace text that stands exactly once in a file of the project."""
        text = (self.folder / path).read_text()
        assert text.count(before) == 1, f"'{before}' stands {text.count(before)} times in {path}"
        (self.folder / path).write_text(text.replace(before, after))


def copy_of(example: str, folder: Path, *overrides: str) -> Shell:
    """Copy an example without what it recorded."""
    shutil.copytree(ROOT / "examples" / example, folder / example, ignore=shutil.ignore_patterns(".mlops"))
    return Shell(folder / example, overrides)


def ask(port: int, model: str, request: dict) -> dict:
    """Send one V2 inference request and return the answer."""
    url = f"http://127.0.0.1:{port}/v2/models/{model}/infer"
    sent = urllib.request.Request(url, json.dumps(request).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(sent, timeout=10) as answer:
        return json.load(answer) | {"version": answer.headers.get("x-mlops-version")}


def example_request(shell: Shell) -> dict:
    """Return the request that is kept beside the newest model of the project."""
    found = sorted((shell.folder / ".mlops").rglob("input_example.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(found[-1].read_text())
