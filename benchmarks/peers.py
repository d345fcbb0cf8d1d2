"""The same trivial steps in chains of 10, applied anew by us and by each peer, side by side in one run on one machine.

    python benchmarks/peers.py                          1,000 steps each, DVC 100
    python benchmarks/peers.py --dvc 1000 --sqlmesh 0   how many steps a peer gets; 0 leaves it out

A step of ours and of Snakemake and DVC writes a few bytes to a file; one of dbt and SQLMesh makes a table of one row in
DuckDB. Peers come from pip, each into an environment of its own below ~/.cache, in the newest version that has wheels; a peer that
cannot be had is left out. Where a peer ran fewer steps than we did, its seconds are multiplied by the difference (`x`), which
flatters those that grow faster than their steps. Nothing fails by time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from applying import measure, ours
from planning import CHAIN, fresh, snakefile

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mlops-benchmarks"
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Peer:
    """A tool, what it is installed from, how a project of some size is written, and the words that apply it."""

    name: str
    packages: tuple[str, ...]
    write: Callable[[Path, int], None]
    words: tuple[str, ...]
    steps: int = 1000


def write_snakemake(folder: Path, size: int) -> None:
    (folder / "Snakefile").write_text(snakefile(size))


def write_dvc(folder: Path, size: int) -> None:
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = false\n")
    stages = ["stages:\n"]
    for index in range(size):
        deps = f"    deps: [f{index - 1}]\n" if index % CHAIN else ""
        stages.append(f"  s{index}:\n    cmd: echo {index} > f{index}\n{deps}    outs: [f{index}]\n")
    (folder / "dvc.yaml").write_text("".join(stages))


def query(index: int, before: str) -> str:
    """Return the SQL of one step."""
    return f"SELECT {index} AS value, value AS before FROM {before}" if index % CHAIN else f"SELECT {index} AS value"  # noqa: S608 - numbers


def write_dbt(folder: Path, size: int) -> None:
    (folder / "models").mkdir()
    (folder / "dbt_project.yml").write_text("name: links\nprofile: links\nmodels: {links: {+materialized: table}}\n")
    target = f"{{type: duckdb, path: links.duckdb, threads: {CORES}}}"
    (folder / "profiles.yml").write_text(f"links: {{target: dev, outputs: {{dev: {target}}}}}\n")
    for index in range(size):
        (folder / "models" / f"m{index}.sql").write_text(query(index, f"{{{{ ref('m{index - 1}') }}}}"))


def write_sqlmesh(folder: Path, size: int) -> None:
    (folder / "models").mkdir()
    (folder / "config.yaml").write_text(
        "gateways: {local: {connection: {type: duckdb, database: links.duckdb}}}\ndefault_gateway: local\n"
        "model_defaults: {dialect: duckdb, start: 2026-01-01}\n"
    )
    for index in range(size):
        text = f"MODEL (name links.m{index}, kind FULL);\n{query(index, f'links.m{index - 1}')}\n"
        (folder / "models" / f"m{index}.sql").write_text(text)


PEERS = (
    Peer("snakemake", ("snakemake",), write_snakemake, ("--quiet", "all", "--cores", str(CORES))),
    Peer("dvc", ("dvc",), write_dvc, ("repro", "--quiet"), steps=100),
    Peer("dbt", ("dbt-core", "dbt-duckdb"), write_dbt, ("--quiet", "run", "--profiles-dir", ".")),
    Peer("sqlmesh", ("sqlmesh",), write_sqlmesh, ("plan", "--auto-apply", "--no-prompts")),
)


def installed(peer: Peer) -> Path | None:
    """Return the peer's program, installed once, or None where it cannot be had."""
    folder = CACHE / peer.name
    program = folder / "bin" / peer.name
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--prefer-binary", "--only-binary", ":all:"]
        if subprocess.run([*install, *peer.packages], check=False).returncode:
            return None
    return program


def version(program: Path, peer: Peer) -> str:
    """Return the peer's version."""
    code = f"import importlib.metadata as m; print(m.version({peer.packages[0]!r}))"
    return subprocess.run([program.with_name("python"), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run(peer: Peer, size: int) -> tuple[str, int, float, float] | None:
    """Apply a new project of the peer's; None where the peer cannot be had."""
    program = installed(peer)
    if program is None:
        return None
    folder = fresh(f"peers-{peer.name}-{size}")
    peer.write(folder, size)
    quiet = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true"}
    return (f"{peer.name} {version(program, peer)}", size, *measure([program, *peer.words], folder, **quiet))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="how many we apply")
    for peer in PEERS:
        parser.add_argument(f"--{peer.name}", type=int, default=peer.steps, metavar="STEPS", help=f"default {peer.steps}")
    chosen = vars(parser.parse_args())
    rows = [ours(chosen["steps"], 3), *(run(peer, chosen[peer.name]) for peer in PEERS if chosen[peer.name])]
    seconds = rows[0][2]
    print(f"{'applied by':<22}{'steps':>8}{'seconds':>10}{'MB':>8}{f'for {rows[0][1]:,}':>12}{'ratio':>8}")
    for name, size, took, memory in filter(None, rows):
        scaled = took * rows[0][1] / size
        mark = "x" if size != rows[0][1] else " "
        print(f"{name:<22}{size:>8,}{took:>10.2f}{memory:>8.0f}{scaled:>11.1f}{mark}{scaled / seconds:>8.1f}")


if __name__ == "__main__":
    main()
