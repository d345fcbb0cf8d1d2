"""Doors: the world of one step or one plan, with each door opened when it is first used; implements `core.worlds.World`."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.errors import WorldError
from mlops.world.clock import SystemClock
from mlops.world.failures import explaining

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from mlops.core import fronts, worlds
    from mlops.core.images import Images, Software, Templates
    from mlops.core.notices import Notice, Requests
    from mlops.core.worlds import Observation, Place, Report, Request

_ASK = {
    "bundled": ("mlops.world.tables", "observe_bundled"),
    "code": ("mlops.world.code", "observe"),
    "host": ("mlops.world.hosts", "observe"),
    "image": ("mlops.world.images", "observe"),
    "packages": ("mlops.world.packages", "observe"),
    "query": ("mlops.world.tables", "observe_query"),
    "server": ("mlops.world.software", "observe"),
}
"""Who answers which request, imported when it is first asked."""

STATE = ".mlops"  # everything that mlops keeps beside the user's files


class Silence:
    """The report of a world in which no step runs."""

    last = None

    def progress(self, message: str, done: float | None = None) -> None:
        """Say nothing."""

    def checkpoint(self, data: Mapping[str, Any]) -> None:
        """Keep nothing."""


class Deaf:
    """The requests of a world in which no step runs, or of one that nobody handed any."""

    def newest(self) -> int:
        """There are none."""
        return 0

    def since(self, _sequence: int) -> tuple[Notice, ...]:
        """There are none."""
        return ()

    def reject(self, reason: str) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Nothing is open."""


class Doors:
    """All doors of a project. As a context manager it removes the scratch folders that were handed out."""

    def __init__(self, place: Place, report: Report | None = None, requests: Callable[[], Requests] = Deaf) -> None:
        """Hand in what a step reports to, and what opens the requests that its delivery hears."""
        self.place = place
        self.root = Path(place.root)
        self.report: Report = report or Silence()
        self.clock = SystemClock()
        self._scratch: list[Path] = []
        self._open_requests = requests

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for folder in self._scratch:
            shutil.rmtree(folder, ignore_errors=True)
        self._scratch.clear()
        if "requests" in self.__dict__:
            self.requests.close()

    @cached_property
    def artifacts(self) -> worlds.Artifacts:
        """Content-addressed files and folders, in `.mlops/artifacts`."""
        from mlops.world.artifacts import LocalArtifacts

        return LocalArtifacts(self.root / STATE / "artifacts")

    @cached_property
    def tables(self) -> worlds.Tables:
        """Tables of rows."""
        from mlops.world.tables import PandasTables

        return PandasTables()

    @cached_property
    def processes(self) -> worlds.Processes:
        """Server replicas on this machine."""
        from mlops.world.processes import Supervisors

        return Supervisors(self.place)

    @cached_property
    def code(self) -> worlds.Code:
        """The project's own Python."""
        from mlops.world.code import ProjectCode

        return ProjectCode(self.root, self.place.allow, self.report)

    @cached_property
    def software(self) -> Software:
        """Wheels, and the model server."""
        from mlops.world.software import PipSoftware

        return PipSoftware(self.root / STATE / "cache" / "wheels")

    @cached_property
    def images(self) -> Images:
        """Images on engines and in registries."""
        from mlops.world.images import EngineImages

        return EngineImages()

    @cached_property
    def containers(self) -> fronts.Containers:
        """Server replicas in containers, on engines."""
        from mlops.world.containers import EngineContainers

        return EngineContainers(self.place)

    @cached_property
    def proxies(self) -> fronts.Proxies:
        """Proxies before them."""
        from mlops.world.proxies import EngineProxies

        return EngineProxies(self.place)

    @cached_property
    def web(self) -> fronts.Web:
        """What answers over HTTP elsewhere."""
        from mlops.world.web import UrlWeb

        return UrlWeb()

    @cached_property
    def templates(self) -> Templates:
        """Texts with places to fill in."""
        from mlops.world.templates import SandboxedTemplates

        return SandboxedTemplates()

    @cached_property
    def secrets(self) -> worlds.Secrets:
        """Secrets by name."""
        from mlops.world.secrets import EnvironmentSecrets

        return EnvironmentSecrets()

    @cached_property
    def requests(self) -> Requests:
        """What persons ask of a running delivery."""
        return self._open_requests()

    def scratch(self) -> Path:
        """Return a new, empty folder that is deleted after the step."""
        above = self.root / STATE / "scratch"
        with explaining(above):
            above.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=above))
        self._scratch.append(folder)
        return folder

    def observe(self, requests: Sequence[Request]) -> Iterator[Observation | Exception]:
        """Answer requests in order; a WorldError stands in the place of an answer that cannot be had."""
        asked: dict[str, list[Request]] = {}
        for request in requests:
            asked.setdefault(request.door, []).append(request)
        answers = {door: iter(self._answers(door, [one.arguments for one in some])) for door, some in asked.items()}
        return (next(answers[request.door]) for request in requests)

    def _answers(self, door: str, requests: Sequence[Mapping[str, Any]]) -> Iterable[Observation | Exception]:
        """Let one door answer; files are looked at together, in threads and with one look into their cache."""
        if door == "file":
            from mlops.world import files

            return files.observe_all(requests, self)
        module, name = _ASK[door]
        ask = getattr(importlib.import_module(module), name)
        return (self._answer(ask, request) for request in requests)

    def _answer(
        self, ask: Callable[[Mapping[str, Any], Doors], Observation], request: Mapping[str, Any]
    ) -> Observation | Exception:
        try:
            return ask(request, self)
        except WorldError as error:
            return error
