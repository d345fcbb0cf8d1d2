"""The door to software for images: wheels, which pip resolves and fetches, and the model server's own files.

pip runs as a program of its own, with the user's configuration of indexes and certificates; fetched wheels are kept by their hash in
`.mlops/cache/wheels`, so that an image can be made again without a network.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.core.digests import digest
from mlops.core.errors import Refused, Unavailable, WorldError
from mlops.core.images import Locked
from mlops.core.worlds import Observation
from mlops.world.failures import explaining
from mlops.world.packages import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops.core.images import Platform
    from mlops.core.worlds import World

_OWN = Path(__file__).parents[1]  # the package mlops, as it is installed here
_SECONDS = 900.0  # that pip may take
_MANYLINUX = {"x86_64": 5, "i686": 5}  # PEP 600: since which glibc 2.N wheels may be named so; 17 on other machines
_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_UNREACHED = ("Retrying (", "Connection to", "Failed to establish", "Max retries exceeded", "ReadTimeoutError", "SSLError")
_UNKNOWN = ("No matching distribution found", "Could not find a version", "No matching distribution")


def observe(_arguments: Mapping[str, Any], _world: World) -> Observation:
    """Answer `server` with the digest of the model server's files as they are installed here."""
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _server()}
    return Observation(digest(files), {"files": len(files)})


class PipSoftware:
    """Software by pip."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def resolve(self, names: Sequence[str], versions: Mapping[str, str], platform: Platform) -> list[Locked]:
        """Return what `names` need on the platform, sorted by name; `versions` are kept to by all of them.

        Raises:
            Refused: there is no such wheel for the platform.
            Unavailable: the package index does not answer.
        """
        with tempfile.TemporaryDirectory() as folder:
            constraints, report = Path(folder, "constraints.txt"), Path(folder, "report.json")
            constraints.write_text("".join(f"{name}=={versions[name]}\n" for name in sorted(set(versions) - set(names))))
            words = ["install", "--dry-run", "--ignore-installed", "--report", str(report), "--constraint", str(constraints)]
            _pip([*words, *_fitting(platform), *(f"{name}=={versions[name]}" for name in names)], platform)
            found = json.loads(report.read_bytes())["install"]
        return sorted((_locked(each) for each in found), key=lambda each: each.name)

    def fetch(self, locked: Sequence[Locked], platform: Platform) -> list[Path]:
        """Return the wheels, in order, each with the bytes that were locked; no network where they were fetched before."""
        missing = [each for each in locked if self._kept(each) is None]
        if missing:
            self._download(missing, platform)
        return [path for each in locked if (path := self._kept(each)) is not None]

    def server(self, folder: Path) -> None:
        """Copy the model server's source into `folder`, as `mlops/serving/…`."""
        for name, path in _server():
            target = folder / "mlops" / name
            with explaining(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def _kept(self, each: Locked) -> Path | None:
        """Return the wheel of these bytes; None where it is not here, or was changed."""
        for path in (self._cache / each.sha256).glob("*.whl"):
            if _sha256(path) == each.sha256:
                return path
        return None

    def _download(self, missing: Sequence[Locked], platform: Platform) -> None:
        """Fetch wheels and keep them; a crash leaves nothing under a final name.

        Raises:
            WorldError: one cannot be had, or has other bytes.
        """
        with explaining(self._cache):
            self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache) as folder:
            lock, target = Path(folder, "lock.txt"), Path(folder, "wheels")
            lock.write_text("".join(f"{each.name}=={each.version} --hash=sha256:{each.sha256}\n" for each in missing))
            words = ["download", "--no-deps", "--require-hashes", "--requirement", str(lock), "--dest", str(target)]
            _pip([*words, *_fitting(platform)], platform)
            for wheel in target.iterdir():
                place = self._cache / _sha256(wheel)
                with explaining(place):
                    place.mkdir(exist_ok=True)
                    wheel.replace(place / wheel.name)


def _server() -> Iterator[tuple[str, Path]]:
    """Yield (path below the package, file) of what an image gets of mlops."""
    yield "__init__.py", _OWN / "__init__.py"
    for path in sorted((_OWN / "serving").rglob("*.py")):
        yield path.relative_to(_OWN).as_posix(), path


def _locked(item: Mapping[str, Any]) -> Locked:
    """Return one line of pip's report (installation report, version 1)."""
    data = item["metadata"]
    return Locked(canonical(data["name"]), data["version"], item["download_info"]["archive_info"]["hashes"]["sha256"])


def _fitting(platform: Platform) -> list[str]:
    """Return pip's options that choose wheels, and nothing to be compiled, for the platform."""
    digits = platform.python.replace(".", "")
    words = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", platform.python]
    words += [word for abi in (f"cp{digits}", "abi3", "none") for word in ("--abi", abi)]
    return [*words, *(word for tag in _tags(platform) for word in ("--platform", tag))]


def _tags(platform: Platform) -> Iterator[str]:
    """Yield the platform's names, newest C library first, as PEP 600 and PEP 656 form them."""
    major, _, minor = platform.libc_version.partition(".")
    newest = int(minor.partition(".")[0] or 0)
    if platform.libc == "musl":
        yield from (f"musllinux_{major}_{each}_{platform.machine}" for each in range(newest, 0, -1))
    else:
        for each in range(newest, _MANYLINUX.get(platform.machine, 17) - 1, -1):
            yield f"manylinux_{major}_{each}_{platform.machine}"
            if each in _ALIASES:
                yield f"{_ALIASES[each]}_{platform.machine}"
    yield f"linux_{platform.machine}"


def _pip(words: Sequence[str], platform: Platform) -> None:
    """Run pip; raise the WorldError that says what went wrong."""
    argv = [sys.executable, "-m", "pip", words[0], "--quiet", "--no-input", "--disable-pip-version-check", *words[1:]]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603 - a list, no shell
    except subprocess.TimeoutExpired as error:
        message = f"pip did not end within {_SECONDS:.0f} s"
        raise Unavailable(message, "try again; is the package index slow?") from error
    if done.returncode:
        raise _failed(done.stderr, platform)


def _failed(said: str, platform: Platform) -> WorldError:
    """Return what pip's words mean."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("ERROR:")]
    last = (lines or said.strip().splitlines() or ["nothing was said"])[-1].removeprefix("ERROR:").strip()
    if any(sign in said for sign in _UNREACHED):
        return Unavailable(f"the package index does not answer: {last}", "try again, or check pip's index and the network")
    if "No module named pip" in said:
        return Refused("pip is not installed where mlops runs", "install it: python -m ensurepip")
    if "No space left on device" in said:
        return Refused("wheels cannot be fetched: the disk is full", "free some space; nothing is lost")
    if any(sign in said for sign in _UNKNOWN):
        where = f"Python {platform.python} on {platform.machine} with {platform.libc} {platform.libc_version}"
        hint = "take a base with another Python, or install a version here that has a wheel for it"
        return Refused(f"no wheel fits the base, which has {where}: {last}", hint)
    return Refused(f"pip cannot resolve what the model needs: {last}", "run pip with the same requirements to see more")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
