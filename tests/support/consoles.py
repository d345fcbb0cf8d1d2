"""Pages of documentation as programs: console blocks are run and compared, file blocks are written.

```console          `$ ` begins a command (bash, in the folder that the last `cd` went to); what follows is its output.
                    `…` stands for anything; durations, decimals, hashes, ids and dates are not compared.
                    A command may fail only where the next one is `echo $?`.
```yaml, ```python  with a first line `# path/of/the/file`: the file is written.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"# ((?:conf|src|scripts|example-kind)/\S+)\n")
_LEFT_OUT = "…"
_NORMAL = (
    (re.compile(r"\d+ min \d+ s|\d+(?:\.\d+)? (?:ms|s|min)\b"), "SECONDS"),
    (re.compile(r"\d+\.\d+(?:e-?\d+)?(?![.\d])"), "DECIMAL"),
    (re.compile(r"[0-9a-f]{64}|\b(?=[0-9a-f]*\d)[0-9a-f]{8}(?:[0-9a-f]{4})?\b"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\S*"), "TIME"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language and its text."""

    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page that are run or written, in order."""
    for language, text in _BLOCK.findall(page):
        if language == "console" or _PATH.match(text):
            yield Block(language, text)


def lay_out(page: str, folder: Path, prefix: str = "") -> None:
    """Write every file that the page shows and whose path begins with `prefix`, without it; with no prefix those of the project."""
    for block in blocks(page):
        match = _PATH.match(block.text)
        if match is None or match[1].startswith("example-kind/") != bool(prefix):
            continue
        path = folder / match[1].removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)


def mlops_commands(page: str) -> Iterator[list[str]]:
    """Yield the words after `mlops` of each command that the page shows in code."""
    code = [text for language, text in _BLOCK.findall(page) if language in ("console", "sh")]
    lines = [line.removeprefix("$ ") for text in code for line in text.splitlines()]
    lines += [line.replace("\n", " ") for line in re.findall(r"`(mlops [^`]+)`", _BLOCK.sub("", page))]
    for line in lines:
        for part in re.findall(r"(?:^|[|;(] ?)mlops ([^|;)#]+)", line):
            yield part.split()


def normal(text: str) -> str:
    """Return the text without what differs from run to run."""
    for pattern, name in _NORMAL:
        text = pattern.sub(name, text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


@dataclass
class Console:
    """A reader who follows a page in a folder of their own; `ports` says which free port stands for each port of the page."""

    folder: Path
    ports: dict[str, str]
    count: int = 0
    _last: int = 0
    _projects: set[Path] = field(default_factory=set)

    def run(self, block: Block) -> None:
        """Do what the block says.

        Raises:
            AssertionError: a command fails, or prints something else.
        """
        if block.language != "console":
            match = _PATH.match(block.text)
            assert match is not None
            path = self.folder / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text))
            return
        steps = [step.partition("\n") for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]]
        for index, (command, _, shown) in enumerate(steps):
            may_fail = index + 1 < len(steps) and steps[index + 1][0] == "echo $?"
            self._step(command, shown, may_fail=may_fail)

    def close(self) -> None:
        """Stop what still runs."""
        for folder in self._projects:
            for environment in ("dev", "prod"):
                shell.Shell(folder, (f"env={environment}",)).mlops("destroy", "--yes", code=None)

    def _step(self, command: str, shown: str, *, may_fail: bool) -> None:
        self.count += 1
        if command.startswith("cd "):
            self.folder = self.folder / command.removeprefix("cd ")
            self._projects.add(self.folder)
            self._move_ports()
            return
        environment = {**os.environ, "PATH": f"{shell.MLOPS.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", f"(exit {self._last}); {self._here(command)}"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        self._last = done.returncode
        found = done.stdout + done.stderr
        assert may_fail or done.returncode == 0, f"$ {command}\nexit {done.returncode}\n{found}"
        for port, here in self.ports.items():
            found = found.replace(here, port)
        wanted = re.escape(normal(shown)).replace(re.escape(_LEFT_OUT), ".*")
        assert re.fullmatch(wanted, normal(found), re.DOTALL), (
            f"$ {shlex.quote(command)}\nthe page shows:\n{shown}\nit prints:\n{found}"
        )

    def _here(self, text: str) -> str:
        for port, here in self.ports.items():
            text = text.replace(port, here)
        return text

    def _move_ports(self) -> None:
        for path in self.folder.glob("conf/*/*.yaml"):
            path.write_text(self._here(path.read_text()))
