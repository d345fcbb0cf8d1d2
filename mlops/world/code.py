"""The door to code: the project's own Python below `src/`, and the programs that the project allows.

A worker is warm: what one step imported from `src/` must not answer for the next one, once the files have changed.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections import deque
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING, Any

from mlops.core.digests import digest
from mlops.core.errors import Refused, Unavailable
from mlops.core.worlds import Observation
from mlops.world import places
from mlops.world.failures import explaining
from mlops.world.imports import Module, Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlops.core.settings import Allow
    from mlops.core.worlds import Report, World

_LINES = 15  # of a failed command's last words
_loaded: dict[str, str] = {}  # module names of this process that came from a `src/`, with the digest of each
_sources: dict[Path, Sources] = {}


def observe(arguments: Mapping[str, Any], world: World) -> Observation:
    """Answer `entry` (module:function) with the digest of the files that it is made of.

    Raises:
        Refused: there is no such function, or one of the files is no Python.
    """
    modules = sources(world.root).closure(arguments["entry"])
    return Observation(digest({path: module.digest for path, module in modules.items()}), {"files": len(modules)})


def sources(root: Path) -> Sources:
    """Return the modules of the project at `root`; one reader for the life of the process, which remembers what it parsed."""
    return _sources.setdefault(root, Sources(root / "src"))


class ProjectCode:
    """The code of the project at `root`, and commands if `allow` has them; implements `core.worlds.Code`."""

    def __init__(self, root: Path, allow: Allow, report: Report) -> None:
        self._root, self._allow, self._report = root, allow, report
        self._speaking = Lock()  # a report takes one message at a time; two threads listen to a command

    def load(self, entry: str) -> Any:
        """Import `module:function` as its files are now and return the function.

        Raises:
            Refused: it is not there, or importing it fails.
        """
        modules = sources(self._root).closure(entry)
        name, _, function = entry.partition(":")
        _refuse_hiding(name)
        _forget_stale(modules)
        sys.path[:] = [str(self._root / "src"), *_foreign_path()]  # stays: functions import when they run, too
        importlib.invalidate_caches()
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a cache is stale after an edit within a second
        try:
            found = getattr(importlib.import_module(name), function)
        except (Exception, SystemExit) as error:  # the project's code may raise anything
            raise _unimportable(entry, error, self._root) from error
        finally:
            sys.dont_write_bytecode = writes
            _loaded.update({module.name: module.digest for module in modules.values()})
        if not callable(found):
            message = f"{entry} is no function but a {type(found).__name__}"
            raise Refused(message, "name a function")
        return found

    def bundle(self, entry: str, folder: Path) -> None:
        """Copy the files that `module:function` is made of into `folder`."""
        for path, module in sources(self._root).closure(entry).items():
            with explaining(folder / path):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(module.path, folder / path)

    def lay_out(self, paths: Sequence[str], folder: Path) -> None:
        """Copy files of the project into `folder`, to the paths that they have in the project; a path may be a glob.

        Raises:
            Refused: nothing has such a path.
        """
        for path in paths:
            for place in places.find(path, str(self._root)):  # as the door `file` does, which observes the same paths
                places.look(place)
                target = folder / place.name
                with explaining(place.name):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(place.path, target)

    def command(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Run an argv list (never a shell) in `folder`; its lines become progress.

        `python` is the one that runs mlops. Secrets of the environment are not handed on. The program dies with this process.

        Raises:
            Refused: commands are not allowed, there is no such program, or it fails; the message has its last words.
        """
        self._refuse_commands()
        last: deque[str] = deque(maxlen=_LINES)
        with _start(argv, folder, environment) as child:
            listener = Thread(target=self._listen, args=(child.stderr, last), daemon=True)
            listener.start()
            try:
                self._listen(child.stdout, None)
                code = child.wait()
            except BaseException:
                _kill(child)
                raise
            listener.join()
        if code != 0:
            how = f"ended with exit code {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"
            message = "\n".join([f"the command {argv[0]} {how}", *(f"  {line}" for line in last)])
            raise Refused(message, "mend the program; it runs in a folder that holds the spec's `files` and nothing else")

    def answer(self, argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> str:
        """Run an argv list (never a shell) in the project's folder, at most `seconds`, and return what it writes to stdout.

        Raises:
            Refused: commands are not allowed, there is no such program, or it fails.
            Unavailable: it did not end in time, and was killed.
        """
        self._refuse_commands()
        with _start(argv, self._root, environment) as child:
            try:
                output, problems = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                _kill(child)
                message = f"the command {argv[0]} did not end within {seconds:g} s"
                raise Unavailable(message) from error
            except BaseException:
                _kill(child)
                raise
        if child.returncode != 0:
            said = (problems or output).strip().splitlines()
            message = f"the command {argv[0]} ended with exit code {child.returncode}{f': {said[-1]}' if said else ''}"
            raise Refused(message)
        return output

    def _refuse_commands(self) -> None:
        if not self._allow.commands:
            message = "the project does not allow commands"
            raise Refused(message, "in conf/config.yaml itself: `allow: {commands: true}`")

    def _listen(self, stream: IO[str] | None, last: deque[str] | None) -> None:
        for line in stream or ():
            text = line.rstrip()
            if text:
                with self._speaking:
                    self._report.progress(text)
                if last is not None:
                    last.append(text)


def _start(argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)])
    own |= {"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", **environment}
    program = shutil.which(argv[0], path=path) or (str(folder / argv[0]) if (folder / argv[0]).is_file() else None)
    if program is None:
        message = f"there is no program '{argv[0]}'"
        raise Refused(message, "install it, or list it under `files` and give its path")
    with explaining(program):
        return subprocess.Popen(  # noqa: S603 - an argv list that the project allows
            [program, *argv[1:]],
            cwd=folder,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_dying_with_parent(),  # noqa: PLW1509 - one system call
        )


def _dying_with_parent() -> Callable[[], object] | None:
    """Return what asks Linux, in the child, to kill it when the thread that started it ends; elsewhere nothing is asked.

    All is looked up before the fork: the child of a process with threads may do no more than a system call.
    """
    if sys.platform != "linux":
        return None
    pr_set_pdeathsig = 1
    return partial(ctypes.CDLL(None).prctl, pr_set_pdeathsig, signal.SIGKILL)


def _kill(child: subprocess.Popen[str]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.wait()


def _foreign_path() -> list[str]:
    """Return where Python looks for modules, without any project's `src/`."""
    own = {str(each.folder) for each in _sources.values()}
    return [path for path in sys.path if path not in own]


def _refuse_hiding(name: str) -> None:
    """Refuse a module of the project that takes the place of an installed one, which this process may be using."""
    top = name.partition(".")[0]
    hidden = PathFinder.find_spec(top, _foreign_path())
    if hidden is not None and hidden.origin is not None:
        message = f"src/ has a module '{top}', which hides the installed one, {hidden.origin}"
        raise Refused(message, "rename the project's module")


def _forget_stale(modules: Mapping[str, Module]) -> None:
    """Drop every module that came from a `src/`, if one of those that are wanted now was another one then."""
    wanted = {module.name: module.digest for module in modules.values()}
    if any(name in sys.modules and _loaded.get(name) != found for name, found in wanted.items()):
        for name in [*_loaded, *wanted]:
            sys.modules.pop(name, None)
        _loaded.clear()


def _unimportable(entry: str, error: BaseException, root: Path) -> Refused:
    places = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(root / "src")]
    trace = [f"  {Path(each.filename).relative_to(root)}:{each.lineno}: {each.line}" for each in places]
    message = "\n".join([f"{entry} cannot be imported: {type(error).__name__}: {error}", *trace])
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    return Refused(message, f"install the package that has '{absent}'" if absent else "mend the module")
