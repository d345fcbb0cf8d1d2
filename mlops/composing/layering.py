"""Layering: the door of Hydra. Files and overrides become one tree whose interpolations are not resolved yet.

Hydra's public `compose` reads the files itself, adds a tree of its own (launchers, logging, output folders: 80 ms) and keeps
process-wide singletons. Composing has read the files already and wants no such tree, so it calls the two halves that
`compose` is made of: the defaults list and the merge. The version of Hydra is pinned for that reason, and a
property test holds the result equal to `compose`.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException

from mlops.composing.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.core.object_type import ObjectType
    from hydra.core.override_parser.types import Override

    from mlops.composing.reading import Document

FAILURES = (HydraException, OmegaConfBaseException, ValueError, TypeError, AssertionError, OSError, RecursionError)
"""What Hydra and OmegaConf raise for a user's mistake; its own assertions are among them."""

_lock = threading.RLock()


@contextmanager
def isolated() -> Iterator[None]:
    """Run Hydra and OmegaConf with singletons of our own and without their warnings; one thread at a time."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        singletons, resolvers = Singleton._instances, BaseContainer._resolvers  # noqa: SLF001 - Hydra has no other way to put them back
        Singleton._instances = {}  # noqa: SLF001 - as above
        BaseContainer._resolvers = dict(resolvers)  # noqa: SLF001 - as above
        version.setbase("1.3")
        try:
            yield
        finally:
            Singleton._instances, BaseContainer._resolvers = singletons, resolvers  # noqa: SLF001 - as above


@dataclass(frozen=True, slots=True)
class Layers:
    """The composed tree, and where it came from."""

    tree: DictConfig
    parts: tuple[tuple[str, str], ...]  # (option, package) in the order of merging; a later one wins
    choices: Mapping[str, str | None]


class Files(ConfigRepository):
    """Hydra's view of the documents that were read: options by `group/name`."""

    def __init__(self, documents: Mapping[str, Document], root: Any, groups: Mapping[str, Sequence[str]]) -> None:
        self._documents = documents
        self._root = root  # takes the place of config.yaml
        self._groups = groups
        self._loaded: dict[str, ConfigResult] = {}

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return the option with its defaults list taken out, or None."""
        if config_path not in self._documents:
            return None
        if config_path not in self._loaded:
            document = self._documents[config_path]
            data = self._root if config_path == ROOT else document.data
            header = ConfigSource._get_header_dict(document.header or "")  # noqa: SLF001 - the one reader of headers
            result = ConfigResult("mlops", "conf", OmegaConf.create(data or {}), header)
            result.defaults_list = self._create_defaults_list(
                config_path, self._extract_defaults_list(config_path, result.config)
            )
            self._loaded[config_path] = result
        return self._loaded[config_path]

    def group_exists(self, config_path: str) -> bool:
        """Tell whether conf/ has the folder."""
        return config_path in self._groups

    def config_exists(self, config_path: str) -> bool:
        """Tell whether conf/ has the file."""
        return config_path in self._documents

    def get_group_options(self, group_name: str, results_filter: ObjectType | None = None) -> list[str]:  # noqa: ARG002 - Hydra's signature
        """Return the names of the group's files."""
        return list(self._groups.get(group_name, ()))

    def get_sources(self) -> list[ConfigSource]:
        """Return nothing: only Hydra's messages read it."""
        return []

    def get_schema_source(self) -> ConfigSource:
        """Say that there are no schemas: kinds have specs."""
        raise ConfigLoadError

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Do nothing: the documents are here."""


def layer(files: Files, overrides: Sequence[Override]) -> tuple[Layers, list[Override]]:
    """Merge what the defaults list names; return the layers and the overrides that are still to be set in the tree.

    Raises:
        HydraException, OmegaConfBaseException: the defaults list cannot be followed or merged.
    """
    found = create_defaults_list(files, ROOT, list(overrides), prepend_hydra=False, skip_missing=False)
    loader = ConfigLoaderImpl(ConfigSearchPathImpl())
    tree = loader._compose_config_from_defaults_list(found.defaults, files)  # noqa: SLF001 - see the module's docstring
    OmegaConf.set_struct(tree, True)  # noqa: FBT003 - OmegaConf's signature
    parts = tuple((part.config_path or "", part.package or "") for part in found.defaults)
    return Layers(tree, parts, dict(found.overrides.known_choices)), found.config_overrides


def put(override: Override, tree: DictConfig) -> None:
    """Set one override in the tree.

    Raises:
        HydraException, OmegaConfBaseException: it does not fit.
    """
    ConfigLoaderImpl._apply_overrides_to_config([override], tree)  # noqa: SLF001 - see the module's docstring
