"""Which path leads where: the paths of the server, which stay, and those of its models, which come and go with their versions."""

from mlops.serving.answers import Refusal
from mlops.serving.controlling import Controlling
from mlops.serving.exchanges import Route, Routes
from mlops.serving.models import Served
from mlops.serving.offering import Offering
from mlops.serving.repositories import Repository

_INVOCATIONS = "/invocations"  # MLflow's path names no model: it leads to the only one


class Routing:
    """The table of all paths; a request costs one look into it."""

    def __init__(self, fixed: Routes, offering: Offering, repository: Repository, controlling: Controlling) -> None:
        """Begin with the paths of the server, and follow the repository."""
        self._controlling = controlling
        self._fixed = fixed
        self._offering = offering
        self._repository = repository
        self._models: dict[str, list[Served]] = {}
        self._routes = fixed
        repository.on_change = self._publish

    def find(self, method: str, path: str) -> Route:
        """Return what answers; raise `Refusal` for a path that is not routed or takes another method."""
        found = self._routes.get(path) or self._routes.get(path.rstrip("/")) or self._controlling.route(path)
        if found is None:
            raise self._unknown(path)
        if method not in found.methods:
            raise Refusal(405, f"{path} takes {found.methods[0]}, not {method}", ("allow", ", ".join(found.methods)))
        return found

    def _publish(self, name: str, loaded: list[Served]) -> None:
        """Let the paths of a model lead to the versions that are loaded now, all at once."""
        self._models[name] = loaded
        routes = dict(self._fixed)
        for model, versions in self._models.items():
            routes |= self._offering.routes(model, versions)
        if len(self._repository.names) == 1 and loaded:
            routes[_INVOCATIONS] = self._offering.invocations(loaded[-1])
        self._routes = routes

    def _unknown(self, path: str) -> Refusal:
        """Return the refusal of a path that is not routed, saying which part of it is unknown."""
        name, version = _named(path)
        if path.rstrip("/") == _INVOCATIONS:
            names = self._repository.names
            if len(names) != 1:
                return Refusal(404, f"{_INVOCATIONS} names no model, and this server has {len(names)}: ask by another protocol")
            name = names[0]
        if name:
            try:
                self._repository.find(name, version)
            except Refusal as refusal:
                return refusal
        return Refusal(404, f"there is nothing at {path}")


def _named(path: str) -> tuple[str, str]:
    """Return the model and the version that a path names, each "" where it names none."""
    protocol, models, name, versions, version = [*path.strip("/").split("/"), "", "", "", "", ""][:5]
    if models != "models" or protocol not in ("v1", "v2"):
        return "", ""
    if protocol == "v1":
        name = name.removesuffix(":predict")
    return name, version if versions == "versions" else ""
