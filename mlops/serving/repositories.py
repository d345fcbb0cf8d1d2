"""The models of one server: which there are, which are loaded, and how one takes another's place while requests run.

`replicas` loads all of them before it is ready; `controlling` loads and unloads by request. A request holds the `Served` that was published
when it began, so nothing that happens to a version meanwhile is noticed: what was replaced or unloaded is let go once nobody holds it.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.serving.answers import Refusal
from mlops.serving.counts import Counts
from mlops.serving.errors import FolderError
from mlops.serving.layouts import Layout, by_age, fingerprint
from mlops.serving.limits import Limits
from mlops.serving.logs import Log
from mlops.serving.models import Served, open_model

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL = 0.01  # seconds between looks whether a version that was taken back still answers somebody


class State(StrEnum):
    """What the model repository extension says of a version."""

    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"


class Version:
    """One version of a model: where it lies, how it is, what was counted, and while it is loaded what answers."""

    def __init__(self, name: str, version: str, folder: Path) -> None:
        """Begin unavailable."""
        self.name = name
        self.version = version
        self.folder = folder
        self.state = State.UNAVAILABLE
        self.reason = "not loaded"
        self.counts = Counts()
        self.served: Served | None = None
        self.leaving: list[Served] = []  # taken back, and still held by requests
        self.files: frozenset[tuple[str, int, int]] = frozenset()

    @property
    def in_progress(self) -> int:
        """How many requests to infer are not answered yet."""
        return sum(each.in_progress for each in (self.served, *self.leaving) if each)


class Repository:
    """The versions that a layout finds, and the way to load and unload them; for the event loop's thread alone."""

    def __init__(self, layout: Layout, log: Log, limits: Limits) -> None:
        """Know what there is, and load nothing."""
        self._layout = layout
        self._log = log
        self._limits = limits
        # Told of the loaded versions of a model, the latest last, when they change.
        self.on_change: Callable[[str, list[Served]], None] = lambda _name, _served: None
        # One at a time: the project's own code is imported by changing what is global to the process.
        self._thread = ThreadPoolExecutor(1, "load")
        self._changing = asyncio.Lock()
        self._leavings: set[asyncio.Task[None]] = set()
        self._models: dict[str, dict[str, Version]] = {}
        self._take(layout())

    def versions(self, name: str | None = None) -> list[Version]:
        """Return the versions of one model or of all, the latest of a model last; none where there is no such model."""
        models = [name] if name is not None else sorted(self._models)
        return [
            each for model in models for _, each in sorted(self._models.get(model, {}).items(), key=lambda item: by_age(item[0]))
        ]

    @property
    def names(self) -> list[str]:
        """The models that there are, loaded or not."""
        return sorted(self._models)

    def loaded(self) -> dict[str, list[Served]]:
        """Return what answers, by the names of the models, the latest version of each last."""
        models = {name: [each.served for each in self.versions(name) if each.served] for name in self.names}
        return {name: versions for name, versions in models.items() if versions}

    def find(self, name: str, version: str = "") -> Served:
        """Return what answers for a version of a model, or for its latest that is loaded; raise `Refusal` where nothing does."""
        known = self.versions(name)
        if not known:
            raise self._unknown(name)
        wanted = [each for each in known if version in ("", each.version)]
        if not wanted:
            has = ", ".join(repr(each.version) for each in known)
            raise Refusal(404, f"there is no version {version!r} of model {name!r}; this server has {has}")
        loaded = [each.served for each in wanted if each.served]
        if loaded:
            return loaded[-1]
        if any(each.state is State.LOADING for each in wanted):
            raise Refusal(503, f"model {name!r} is being loaded", ("retry-after", "1"))
        raise Refusal(404, f"model {name!r} is not loaded: {wanted[-1].reason}")

    def _unknown(self, name: str) -> Refusal:
        return Refusal(404, f"there is no model {name!r}; this server has {', '.join(map(repr, self.names)) or 'none'}")

    async def look(self) -> None:
        """Take note of versions that came or went since the last time; nothing is loaded or unloaded."""
        self._take(await asyncio.to_thread(self._layout))  # not in the thread that loads: the index is answered meanwhile

    async def load_all(self) -> None:
        """Load every version of every model; raise `FolderError` for the first model that fails."""
        for each in self.versions():
            each.state, each.reason = State.LOADING, "loading"
        for name in self.names:
            await self.load(name)

    async def load(self, name: str) -> None:
        """Load every version of a model that is not loaded as it lies there, and unload those that are gone.

        What serves goes on serving until its successor has answered its own example, and where that fails.

        Raises:
            Refusal: the repository has no such model.
            FolderError: versions could not be loaded; the others are.
        """
        async with self._changing:
            await self.look()
            if not any(each.folder.is_dir() for each in self.versions(name)):
                raise self._unknown(name)
            faults = [fault for each in self.versions(name) if (fault := await self._update(each))]
        if faults:
            raise FolderError("; ".join(faults))

    async def unload(self, name: str) -> None:
        """Take a model back: no request begins with it any more, those that hold it are finished.

        Raises:
            Refusal: the repository has no such model.
        """
        async with self._changing:
            if name not in self._models:
                raise self._unknown(name)
            for each in self.versions(name):
                self._exchange(each, None)

    def _take(self, found: dict[str, dict[str, Path]]) -> None:
        for name, folders in found.items():
            known = self._models.setdefault(name, {})
            for version, folder in folders.items():
                known.setdefault(version, Version(name, version, folder))
        for name, known in list(self._models.items()):
            for version, each in list(known.items()):
                if version not in found.get(name, {}) and each.state is State.UNAVAILABLE:
                    del known[version]
            if not known:
                del self._models[name]

    async def _update(self, version: Version) -> str | None:
        """Load, replace or take back one version as its folder says; return what is wrong if that failed."""
        if not version.folder.is_dir():
            self._exchange(version, None)
            return None
        if version.served is None:
            version.state, version.reason = State.LOADING, "loading"
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._thread, _open, version, self._limits)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the version must not be said to be loading for ever
            self._log.failed("load failed", error, model=version.name, version=version.version)
            if version.served is None:
                version.state, version.reason = State.UNAVAILABLE, str(error)
            return str(error)
        if loaded is not None:
            served, version.files = loaded
            version.state, version.reason = State.READY, ""
            self._exchange(version, served)
            self._log.write("info", "loaded", model=version.name, version=version.version)
            if served.has_old_graph:
                msg = "the graph is of an older format, so scikit-learn answers, and slower: pack the model anew"
                self._log.write("warning", "graph left alone", model=version.name, version=version.version, message=msg)
        return None

    def _exchange(self, version: Version, successor: Served | None) -> None:
        """Let requests begin with `successor` from now on, and let go what answered before once its last request is answered."""
        leaving, version.served = version.served, successor
        self.on_change(version.name, self.loaded().get(version.name, []))
        if leaving is None:
            return
        if successor is None:
            version.state, version.reason = State.UNLOADING, "unloading"
        version.leaving.append(leaving)
        task = asyncio.get_running_loop().create_task(self._let_go(version, leaving))
        self._leavings.add(task)
        task.add_done_callback(self._leavings.discard)

    async def _let_go(self, version: Version, leaving: Served) -> None:
        while leaving.in_progress:  # noqa: ASYNC110 - an event would have to be looked after by every request
            await asyncio.sleep(_INTERVAL)
        leaving.close()
        version.leaving.remove(leaving)
        if version.state is State.UNLOADING and not version.leaving:
            version.state, version.reason = State.UNAVAILABLE, "unloaded"
            self._log.write("info", "unloaded", model=version.name, version=version.version)


def _open(version: Version, limits: Limits) -> tuple[Served, frozenset[tuple[str, int, int]]] | None:
    """Return what is loaded and of which files, or None where it is loaded already; runs in the thread that loads."""
    files = fingerprint(version.folder)
    if version.served is not None and files == version.files:
        return None
    return open_model(version.folder, version.name, version.version, version.counts, limits), files
