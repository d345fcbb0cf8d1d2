"""The door to code: the project's modules below src/, and the programs that it allows."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from mlops.core.errors import Refused
from mlops.core.settings import Allow
from mlops.core.worlds import Place, Request
from mlops.world import code
from mlops.world.code import ProjectCode
from mlops.world.doors import Doors


class Listener:
    """Keeps what a step says."""

    last = None

    def __init__(self):
        self.said = []

    def progress(self, message, _done=None):
        """Keep it."""
        self.said.append(message)

    def checkpoint(self, data):
        """Nothing does."""


@pytest.fixture
def project(tmp_path):
    """A project with a package of its own, and Python as it was before."""
    path, modules = list(sys.path), set(sys.modules)
    write(tmp_path, "src/fraud/__init__.py", "")
    write(
        tmp_path,
        "src/fraud/train.py",
        "from fraud import tables\nfrom .deep.er import ONE\ndef fit():\n    return tables.N + ONE\n",
    )
    write(tmp_path, "src/fraud/tables.py", "N = 1\n")
    write(tmp_path, "src/fraud/deep/__init__.py", "")
    write(tmp_path, "src/fraud/deep/er.py", "def lazily():\n    import alone\nONE = 1\n")
    write(tmp_path, "src/alone.py", "import json, numpy\n")
    write(tmp_path, "src/other.py", "def fit():\n    return 0\n")
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(root, path, text):
    """Write a file of the project."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def doors(root, *, commands=False):
    """Open the project's code."""
    listener = Listener()
    return ProjectCode(root, Allow(commands=commands), listener), listener


def observed(root, entry="fraud.train:fit"):
    """Ask as planning does."""
    (answer,) = Doors(Place(str(root), "demo", "dev", Allow())).observe([Request("code", {"entry": entry})])
    return answer


def test_an_entry_is_made_of_what_it_imports(project):
    """An entry is made of all that it imports below src/: relative, absolute, inside functions, with the packages above."""
    found = code.sources(project).closure("fraud.train:fit")
    assert list(found) == [
        "alone.py",
        "fraud/__init__.py",
        "fraud/deep/__init__.py",
        "fraud/deep/er.py",
        "fraud/tables.py",
        "fraud/train.py",
    ]


def test_a_change_of_what_it_imports_changes_the_digest_and_nothing_else_does(project):
    """The digest follows the contents of the import closure only."""
    before = observed(project).value
    write(project, "src/other.py", "def fit():\n    return 1\n")
    assert observed(project).value == before
    write(project, "src/alone.py", "import json\n")
    assert observed(project).value != before
    write(project, "src/alone.py", "import json, numpy\n")
    assert observed(project).value == before


@pytest.mark.parametrize(
    ("entry", "message", "hint"),
    [
        ("froud.train:fit", "there is no module froud.train in src/", "did you mean 'fraud.train'?"),
        ("fraud.train:fitt", "src/fraud/train.py has no function 'fitt'", "did you mean 'fit'?"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(project, entry, message, hint):
    """A module or a function that is not there is an answer with the nearest that is."""
    answer = observed(project, entry)
    assert isinstance(answer, Refused)
    assert (answer.message, answer.hint) == (message, hint)


def test_a_syntax_error_names_file_and_line(project):
    """A file that is no Python is named with the line."""
    write(project, "src/fraud/tables.py", "N = 1\ndef broken(:\n")
    assert observed(project).message == "src/fraud/tables.py:2 is no Python: invalid syntax"


def test_a_warm_process_loads_what_the_files_say_now(project):
    """What was imported before does not answer once a file of the closure has changed, even within a second."""
    door, _ = doors(project)
    assert door.load("fraud.train:fit")() == 2
    write(project, "src/fraud/tables.py", "N = 5\n")
    assert door.load("fraud.train:fit")() == 6
    assert not list(project.rglob("__pycache__"))


def test_projects_with_modules_of_one_name_do_not_mix(project, tmp_path_factory):
    """Two projects in one process each get their own module."""
    another = tmp_path_factory.mktemp("another")
    write(another, "src/other.py", "def fit():\n    return 9\n")
    assert doors(project)[0].load("other:fit")() == 0
    assert doors(another)[0].load("other:fit")() == 9
    assert doors(project)[0].load("other:fit")() == 0


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "import nowhere\ndef fit(): ...\n",
            "late:fit cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
            "install the package that has 'nowhere'",
        ),
        ("def fit(): ...\n1 / 0\n", "late:fit cannot be imported: ZeroDivisionError: division by zero", "mend the module"),
        ("import sys\nfit = 3\nsys.exit(4)\n", "late:fit cannot be imported: SystemExit: 4", "mend the module"),
    ],
)
def test_a_module_that_fails_says_where(project, text, message, hint):
    """A module that cannot be imported is refused with the lines of the project that led there."""
    write(project, "src/late.py", text)
    with pytest.raises(Refused) as caught:
        doors(project)[0].load("late:fit")
    first, *trace = caught.value.message.split("\n")
    assert (first, caught.value.hint) == (message, hint)
    assert trace
    assert all(line.startswith("  src/late.py:") for line in trace)


def test_a_module_may_not_hide_an_installed_one(project):
    """A project's module that would take an installed one's place is refused."""
    write(project, "src/numpy.py", "def fit(): ...\n")
    with pytest.raises(Refused, match="src/ has a module 'numpy', which hides the installed one"):
        doors(project)[0].load("numpy:fit")


def test_a_bundle_is_enough_to_import_the_entry(project, tmp_path_factory):
    """The bundle holds the import closure, at its paths."""
    folder = tmp_path_factory.mktemp("bundle")
    doors(project)[0].bundle("fraud.train:fit", folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    assert files == sorted(code.sources(project).closure("fraud.train:fit"))


def test_commands_need_permission(project):
    """No program is started where the project does not allow it."""
    with pytest.raises(Refused) as caught:
        doors(project)[0].command([sys.executable, "-c", "open('was-here', 'w')"], project, {})
    assert "allow: {commands: true}" in caught.value.hint
    assert not (project / "was-here").exists()


def test_a_command_gets_its_environment_and_no_secret_and_its_lines_are_progress(project, monkeypatch):
    """A command sees what it is told, not the secrets of the process; what it prints is progress."""
    monkeypatch.setenv("MLOPS_SECRET_DATABASE", "hidden")
    door, listener = doors(project, commands=True)
    script = "import os; print(os.environ['MLOPS_SEED'], os.getcwd()); print([n for n in os.environ if 'SECRET' in n])"
    door.command(["python", "-c", script], project, {"MLOPS_SEED": "7"})
    assert listener.said == [f"7 {project}", "[]"]


def test_a_command_is_no_shell(project):
    """Arguments reach the program as they are written."""
    door, listener = doors(project, commands=True)
    door.command(["python", "-c", "import sys; print(sys.argv[1:])", "$HOME; echo *", "a b"], project, {})
    assert listener.said == ["['$HOME; echo *', 'a b']"]


def test_a_command_that_fails_is_refused_with_its_last_words(project):
    """The message has the exit code and the last lines of stderr."""
    script = "import sys; print('out'); [print('line', n, file=sys.stderr) for n in range(40)]; sys.exit(3)"
    door, _ = doors(project, commands=True)
    with pytest.raises(Refused) as caught:
        door.command(["python", "-c", script], project, {})
    first, *last = caught.value.message.split("\n")
    assert first == "the command python ended with exit code 3"
    assert last == [f"  line {number}" for number in range(25, 40)]


def test_a_report_hears_one_line_at_a_time(project):
    """Lines of stdout and stderr come from two streams and never at once."""
    door, listener = doors(project, commands=True)
    speaking = []

    def progress(message, _done=None):
        assert not speaking
        speaking.append(message)
        time.sleep(0.001)
        listener.said.append(speaking.pop())

    listener.progress = progress
    script = "import sys; [print(n, file=stream, flush=True) for n in range(100) for stream in (sys.stdout, sys.stderr)]"
    door.command(["python", "-c", script], project, {})
    assert sorted(map(int, listener.said)) == sorted([*range(100), *range(100)])


def test_a_program_that_is_not_there_is_refused(project):
    """A missing program is named."""
    with pytest.raises(Refused, match="there is no program 'no-such-program'"):
        doors(project, commands=True)[0].command(["no-such-program"], project, {})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child die with its parent")
def test_a_command_dies_with_the_process_that_started_it(project):
    """A kill -9 of a worker leaves no program behind."""
    import subprocess

    body = (
        "import sys\nfrom pathlib import Path\nfrom mlops.core.settings import Allow\nfrom mlops.world.code import ProjectCode\n"
        "from mlops.world.doors import Silence\n"
        "root = Path(sys.argv[1])\n"
        "ProjectCode(root, Allow(commands=True), Silence()).command("
        "['python', '-c', 'import os, time; open(\"pid\", \"w\").write(str(os.getpid())); time.sleep(60)'], root, {})"
    )
    worker = subprocess.Popen([sys.executable, "-c", body, str(project)], cwd=Path(__file__).parents[2])
    pid = project / "pid"
    wait(lambda: pid.exists() and pid.read_text())
    worker.kill()
    worker.wait()
    wait(lambda: not runs(int(pid.read_text())))


def runs(pid):
    """Tell whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait(condition):
    """Wait for the condition, at most ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_files_are_laid_out_at_their_paths(project, tmp_path_factory):
    """Declared files and globs are copied to the paths that they have in the project."""
    folder = tmp_path_factory.mktemp("scratch")
    doors(project)[0].lay_out(["src/other.py", "src/fraud/t*.py"], folder)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["src/fraud/tables.py", "src/fraud/train.py", "src/other.py"]
    with pytest.raises(Refused, match=r"missing\.py does not exist"):
        doors(project)[0].lay_out(["missing.py"], folder)
    assert os.listdir(folder) == ["src"]  # noqa: PTH208 - names only
