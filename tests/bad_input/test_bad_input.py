"""Whatever a user gets wrong, one clear message says what, where and what to do; nothing is lost.

Each file of `cases/` is one case: a document with what is done to a copy of `base/`, and a document with what the
command then prints, which a person has read. `UPDATE=1 pytest tests/bad_input` writes the second document anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import conditions
import pytest
import yaml

from mlops import cli

from shell import MLOPS, Shell

SECRET = "hunter2"  # noqa: S105 - stands for every secret in the cases
HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
FRESH = ("apply", "destroy")  # commands with processes of their own begin in one
FIELDS = {"says", "files", "base", "first", "then", "with", "env", "run", "alone", "changes", "mend", "exit"}
_CHANGING = (  # what differs from run to run, and how the golden text has it
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?( UTC)?"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (s|ms|min)\b"), "N s"),
    (re.compile(r"\b(process|pid) \d+"), r"\1 N"),
    (re.compile(r"by \S+ \(pid \d+\)"), "by NAME (pid N)"),
    (re.compile(r"fit_seconds [\d.]+"), "fit_seconds N"),
    (re.compile(r"parity [\d.e-]+"), "parity N"),
)


@pytest.fixture(scope="session")
def applied(tmp_path_factory):
    """The base project with a model that was tested, and nothing that serves."""
    shell = Shell(Path(shutil.copytree(HERE / "base", tmp_path_factory.mktemp("applied") / "project")))
    shell.apply("test.buyer")
    return shell.folder


@pytest.fixture
def folder():
    """A folder that other users may enter: pytest's own is closed to them."""
    with tempfile.TemporaryDirectory(prefix="mlops-bad-input-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "project"


def _read(path):
    text = path.read_text(encoding="utf-8")
    head, _, golden = text.partition("\n---\n")
    case = yaml.safe_load(head)
    assert set(case) <= FIELDS, f"{path.name}: {set(case) - FIELDS}"
    return case, head, yaml.safe_load(golden)


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_a_mistake_is_told_and_nothing_is_lost(path, request, folder):
    case, head, golden = _read(path)
    base = request.getfixturevalue("applied") if case.get("base") == "applied" else HERE / "base"
    shutil.copytree(base, folder)
    _write(folder, case.get("files", {}))
    for command in case.get("first", ()):
        assert _run(folder, _words(command, folder), alone=False)[0] == 0, command
    _write(folder, case.get("then", {}))
    with conditions.holding(case.get("with"), folder) as condition:
        words = _words(case["run"].replace("{port}", str(condition.port)), folder)
        before = _kept(folder)
        alone = case.get("alone", False) or bool(condition.prefix) or words[0] in FRESH
        code, out, err = _run(folder, words, alone=alone, prefix=condition.prefix, env=case.get("env", {}))
        told = {"exit": code, **{k: _settled(v, folder, condition) for k, v in (("out", out), ("err", err)) if v}}
        _check(told, case, before, folder, words)
    if os.environ.get("UPDATE"):
        path.write_text(f"{head}\n---\n{_dump(told)}", encoding="utf-8")
    else:
        assert told == golden
    _mend(base, folder, case)
    code, out, err = _run(folder, ["plan"], alone=False)
    assert code == 0, f"the next good run fails:\n{out}{err}"


def _words(command, folder):
    return shlex.split(command.replace("PROJECT", str(folder)))


def _check(told, case, before, folder, words):
    """Check what holds for every mistake: an exit code of a user's mistake, no traceback, nothing lost."""
    assert told["exit"] == case.get("exit", 3 if words[0] == "apply" and "Failed:" in told.get("out", "") else 1)
    text = told.get("out", "") + told.get("err", "")
    assert "Traceback" not in text
    assert "this is a bug" not in text
    assert SECRET not in text
    after = _kept(folder)
    lost = {name for name, digest in before.items() if after.get(name) != digest} - set(case.get("changes", ()))
    assert not lost, f"lost or changed: {lost}"


def _kept(folder):
    """Return digests of the user's files, and what is recorded, by name; what is only added later is no loss."""
    files = [path for part in ("conf", "data", "src") for path in sorted((folder / part).rglob("*")) if path.is_file()]
    files = [path for path in files if path.name != "__pycache__" and path.suffix != ".pyc"]
    kept = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    state = folder / ".mlops" / "state.db"
    if state.is_file():
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(state)) as database:
            kept |= {f"record {address}": body for address, body in database.execute("SELECT address, body FROM records")}
    for artifact in sorted((folder / ".mlops" / "artifacts").rglob("*")):
        if artifact.is_file():
            kept[str(artifact.relative_to(folder))] = hashlib.sha256(artifact.read_bytes()).hexdigest()
    return kept


def _run(folder, words, *, alone, prefix=(), env=None):
    """Run a command in this process, or alone in one of its own; return (exit code, standard output, standard error)."""
    if alone or words[0] in FRESH:
        command = [*prefix, str(MLOPS), "-C", str(folder), *words]
        environment = os.environ | (env or {})
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120, env=environment
        )
        return done.returncode, done.stdout, done.stderr
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        code = cli.run(["-C", str(folder), *words])
    return code, out.getvalue(), err.getvalue()


def _write(folder, files):
    """Write files; `null` removes one, `[before, after]` replaces text in it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        elif isinstance(content, list):
            before, after = content
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"'{before}' stands {text.count(before)} times in {name}"
            path.write_text(text.replace(before, after), encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")


def _mend(base, folder, case):
    """Put the files of the user back as they were; `mend` tells what else the message says to do."""
    for part in ("conf", "data", "src"):
        shutil.rmtree(folder / part)
        shutil.copytree(base / part, folder / part)
    for name in case.get("mend", ()):
        (folder / name).unlink(missing_ok=True)


def _settled(text, folder, condition):
    """Return the text without what differs from run to run."""
    text = text.replace(str(folder), "PROJECT").replace(str(Path(sys.prefix)), "VENV")
    if condition.port:
        text = re.sub(rf"\b{condition.port}\b", "PORT", text)
    for name in condition.names:
        text = text.replace(name, "NAME")
    for pattern, shown in _CHANGING:
        text = pattern.sub(shown, text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that they are read as they were printed."""


def _block(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _dump(told):
    return yaml.dump(told, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=1000)


def test_there_are_at_least_60_cases_and_each_says_what_it_is_about():
    said = [_read(path)[0]["says"] for path in CASES]
    assert len(set(said)) == len(said) >= 60


def test_json_tells_the_same_problems_with_their_places(folder):
    shutil.copytree(HERE / "base", folder)
    _write(folder, {"conf/model/buyer.yaml": ["params:", "prams:"]})
    code, out, _ = _run(folder, ["plan", "--json"], alone=False)
    [problem] = json.loads(out)["diagnostics"]
    assert code == 1
    assert (problem["origin"]["file"], problem["origin"]["line"], problem["origin"]["column"]) == ("conf/model/buyer.yaml", 5, 1)
