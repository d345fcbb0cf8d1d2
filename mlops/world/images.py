"""The door to images: what an engine knows of a base, and how an image of ours gets into engines and registries.

`look → Assemble (no engine) → load → prove → push`. Layers that the engine has already are not sent again: `docker load` reads a
layer's file only where it does not know its chain id. An engine that wants them all (its containerd store does) gets them all.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.digests import PREFIX
from mlops.core.errors import Refused, Unavailable, WorldError
from mlops.core.settings import Engine
from mlops.core.worlds import Observation
from mlops.world import engines, trials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import IO

    from docker import DockerClient

    from mlops.core.images import Trial, Tried
    from mlops.core.worlds import World

_LOADED = re.compile(r"Loaded image ID: (\S+)")
_SECONDS = 900.0  # for what moves whole images
_CHUNK = 1 << 20
_BASE_NAME, _BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"
_OURS = "dev.mlops.model"  # the label that every image of ours has
_REFUSING = ("unauthorized", "denied", "no basic auth credentials", "authentication required")
_UNREACHED = ("connection refused", "no such host", "i/o timeout", "server misbehaving", "no route to host", "eof")


def observe(arguments: Mapping[str, Any], _world: World) -> Observation:
    """Answer `image` with the digest that the name stands for, on the engine or, where it is not there yet, in its registry.

    Raises:
        WorldError: there is no engine, or nobody knows the image.
    """
    name = arguments["name"]
    with engines.opened(Engine.model_validate(arguments["engine"])) as client:
        found = _find(client, name)
        if found is not None:
            return Observation(_digest(found, name), {"image": name})
        with _asking(name, is_known=False):
            return Observation(client.images.get_registry_data(name).id, {"image": name})


class EngineImages:
    """Images by Docker's SDK."""

    def look(self, engine: Engine, name: str) -> dict[str, Any]:
        """Return what must be known of an image to build upon it; see `core.images.Images`.

        Raises:
            WorldError: there is no engine or no such image, or it has no Python.
        """
        with engines.opened(engine) as client:
            attrs = _find(client, name) or _pulled(client, name)
            digest = _digest(attrs, name)
            config = attrs["Config"] or {}
            return {
                "name": name,
                "digest": digest,
                "reference": name if digest == attrs["Id"] else f"{_repository(name)}@{digest}",
                "platform": {
                    key: attrs[key.capitalize()] for key in ("os", "architecture", "variant") if attrs.get(key.capitalize())
                },
                "config": {key: config[key] for key in ("Env", "Labels", "StopSignal") if config.get(key)},
                "layers": attrs["RootFS"]["Layers"],
                **trials.probe(client, attrs["Id"], name),
            }

    def load(self, engine: Engine, folder: Path) -> str:
        """Bring an image that we made into the engine, as far as it is not there; return its id.

        Raises:
            WorldError: the engine says no, its disk is full, or it lacks the base and cannot pull it.
        """
        document = (folder / "config.json").read_bytes()
        image = PREFIX + hashlib.sha256(document).hexdigest()
        with engines.opened(engine) as client:
            if _find(client, image) is not None:
                return image
            client.api.timeout = _SECONDS
            with tempfile.TemporaryDirectory() as scratch:
                return _loaded(client, folder, json.loads(document), Path(scratch))

    def tag(self, engine: Engine, image: str, name: str) -> None:
        """Give the image `NAME:TAG`; raise Refused where another image that we did not make has it."""
        repository, _, tag = name.rpartition(":")
        with engines.opened(engine) as client:
            before = _find(client, name)
            if before is not None and before["Id"] != image and _OURS not in (before["Config"].get("Labels") or {}):
                message = f"the name {name} is in use by an image that mlops did not make"
                raise Refused(message, f"give that one another name: docker tag {name} NEW, then docker rmi {name}")
            client.api.tag(image, repository, tag)

    def remove(self, engine: Engine, image: str) -> None:
        """Remove an image by id, with its names; nothing happens where it is gone or in use."""
        from docker.errors import APIError

        with engines.opened(engine) as client, suppress(APIError):
            client.api.remove_image(image)

    def push(self, engine: Engine, image: str, repository: str, tag: str, auth: tuple[str, str] | None) -> str:
        """Push the image as REPOSITORY:TAG, with (user, password); return the digest by which the registry knows it.

        Raises:
            WorldError: the registry is not there, or refuses.
        """
        known = {"username": auth[0], "password": auth[1]} if auth is not None else None
        with engines.opened(engine) as client:
            client.api.timeout = _SECONDS
            client.api.tag(image, repository, tag)
            said = client.api.push(repository, tag, auth_config=known)
            with _asking(repository, is_known=auth is not None):
                return next(str(line["aux"]["Digest"]) for line in _heard(said) if "Digest" in line.get("aux", ()))

    def prove(self, engine: Engine, image: str, trial: Trial) -> Tried:
        """Start the image without network, root, or a disk that can be written, ask it, and remove the container.

        Raises:
            Refused: it ended, or was not ready in time; the message has what it wrote.
        """
        with engines.opened(engine) as client:
            return trials.prove(client, image, trial)


# -- what the engine has ---------------------------------------------------------------------------------------------------


def _find(client: DockerClient, name: str) -> dict[str, Any] | None:
    """Return what the engine says of an image; None where it has it not."""
    from docker.errors import ImageNotFound

    try:
        attrs: dict[str, Any] = client.api.inspect_image(_exact(name))
    except ImageNotFound:
        return None
    return attrs


def _pulled(client: DockerClient, name: str) -> dict[str, Any]:
    """Pull an image and return what the engine says of it."""
    exact = _exact(name)
    client.api.timeout = _SECONDS
    repository, version = _repository(exact), exact.removeprefix(_repository(exact))[1:]
    with _asking(name, is_known=False):
        _heard(client.api.pull(repository, version))
    attrs: dict[str, Any] = client.api.inspect_image(exact)
    return attrs


def _exact(name: str) -> str:
    """Return the name without its tag where it has a digest: the digest alone decides."""
    return f"{_repository(name)}@{name.partition('@')[2]}" if "@" in name else name


def _repository(name: str) -> str:
    """Return the name without tag and digest; a colon before a slash is that of a port."""
    plain = name.partition("@")[0]
    head, mark, tail = plain.rpartition(":")
    return head if mark and "/" not in tail else plain


def _digest(attrs: Mapping[str, Any], name: str) -> str:
    """Return the digest of an image in the registry that its name says, else its id."""
    known = dict(each.split("@", 1) for each in attrs.get("RepoDigests") or ())
    return str(known.get(_repository(name), attrs["Id"]))


# -- loading -----------------------------------------------------------------------------------------------------------------


def _loaded(client: DockerClient, folder: Path, document: Mapping[str, Any], scratch: Path) -> str:
    """Send as little as the engine takes; return the id by which it then knows the image."""
    from docker.errors import APIError

    refused: Exception | None = None
    for files in _sendings(client, folder, document, scratch):
        try:
            said = _checked(list(client.api.load_image(_archive(files))))  # to its end, else its connection stays open
        except (APIError, _Said) as error:
            refused = error
            if "no space left" in str(error):
                break
        else:
            return next(found[1] for line in said if (found := _LOADED.search(line.get("stream", ""))))
    if isinstance(refused, APIError):
        raise refused
    message = f"the engine does not take the image: {refused}"
    hint = "free some space there (docker system df); nothing is lost" if "no space left" in str(refused) else None
    raise Refused(message, hint) from refused


def _sendings(client: DockerClient, folder: Path, document: Mapping[str, Any], scratch: Path) -> Iterator[dict[str, Path]]:
    """Yield what may be enough: the model's layer; all layers of ours over a base that is there; the base's layers, too."""
    [listed] = json.loads((folder / "manifest.json").read_bytes())
    head = {name: folder / name for name in ("manifest.json", listed["Config"])}
    ours = {name: folder / name for name in listed["Layers"] if (folder / name).is_file()}
    yield head | dict(list(ours.items())[-1:])
    base = _base(client, document["config"]["Labels"])
    yield head | ours
    yield head | ours | dict(zip(listed["Layers"], _exported(client, base, scratch), strict=False))


def _base(client: DockerClient, labels: Mapping[str, str]) -> str:
    """Return the id of the base on the engine; it is pulled where it is not there."""
    name, digest = labels[_BASE_NAME], labels[_BASE_DIGEST]
    exact = f"{_repository(name)}@{digest}"
    found = _find(client, digest) or _find(client, exact) or _pulled(client, exact)
    return str(found["Id"])


def _exported(client: DockerClient, base: str, scratch: Path) -> Iterator[Path]:
    """Yield the layers of the base, lowest first, for an engine that takes whole images only."""
    whole = scratch / "base.tar"
    with whole.open("wb") as file:
        file.writelines(client.api.get_image(base))
    with tarfile.open(whole) as tar:
        [listed] = json.loads(_member(tar, "manifest.json").read())
        for number, name in enumerate(listed["Layers"]):
            layer = scratch / str(number)
            with layer.open("wb") as file:
                shutil.copyfileobj(_member(tar, name), file)
            yield layer


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        message = f"the engine exported an image without {name}"
        raise Refused(message)
    return found


def _archive(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a tar of the files, as `docker load` reads it, without writing it to a disk first."""
    for name, path in files.items():
        entry = tarfile.TarInfo(name)
        entry.size = path.stat().st_size
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


# -- registries --------------------------------------------------------------------------------------------------------------


class _Said(Exception):  # noqa: N818 - what an engine wrote into its stream, on its way to a WorldError
    """The words with which an engine ends a load, a pull or a push."""


def _heard(said: str) -> list[dict[str, Any]]:
    """Return the lines of an answer that was read whole: of a stream the SDK would leave the connection open."""
    return _checked([json.loads(line) for line in said.splitlines() if line.strip()])


def _checked(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for line in lines:
        if "error" in line:
            raise _Said(line["error"])
    return lines


@contextmanager
def _asking(name: str, *, is_known: bool) -> Iterator[None]:
    """Turn what an engine says of a registry into a WorldError; `is_known`: somebody has said who asks."""
    from docker.errors import APIError

    try:
        yield
    except (_Said, APIError) as error:
        raise _answered(str(getattr(error, "explanation", None) or error), name, is_known=is_known) from error


def _answered(said: str, name: str, *, is_known: bool) -> WorldError:
    words = said.lower()
    if any(sign in words for sign in _REFUSING):
        hint = (
            "check the user and the secret, and that this user may do so"
            if is_known
            else "say who asks: `registry: {auth: {username: …, secret: NAME}}`; for a base, docker login on the engine"
        )
        return Refused(f"the registry refuses {name}: {said}", hint)
    if "http response to https client" in words:
        hint = "give the registry a certificate, or list it under the engine's insecure-registries"
        return Refused(f"the registry of {name} has no TLS: {said}", hint)
    if any(sign in words for sign in _UNREACHED):
        return Unavailable(f"the registry of {name} does not answer: {said}", "try again, or check its name and port")
    if "no space left" in words:
        return Refused(f"the disk is full: {said}", "free some space there; nothing is lost")
    return Refused(f"{name} cannot be had: {said}", "check its name, tag and digest")
