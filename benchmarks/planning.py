"""No-op plans, cold processes, resources in chains of 10: ours beside Snakemake and DVC, in one run on one machine.

`make bench` prints the tables. Peers come from pip into .benchmarks/peers; where that cannot be, their rows are left out.
Nothing fails by time.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".benchmarks"
LINKS = ROOT / "benchmarks" / "links"
MLOPS = Path(sys.executable).with_name("mlops")
CHAIN = 10


def measure(command: list[str | Path], folder: Path, repeats: int = 3, **environment: str) -> tuple[float, float]:
    """Return the best wall time in seconds and the peak resident memory in MB of a command."""
    best, peak = math.inf, 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        best, peak = min(best, time.perf_counter() - start), max(peak, usage.ru_maxrss / 1024)
        if process.returncode:
            message = f"{command} ended with {process.returncode}"
            raise SystemExit(message)
    return best, peak


def fresh(name: str) -> Path:
    """Return a new, empty folder of that name."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def links(size: int) -> Path:
    """Write a project of `size` links."""
    folder = fresh(f"links-{size}")
    (folder / "conf" / "link").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text("project: links\n")
    for index in range(size):
        after = f"after: link.l{index - 1}\n" if index % CHAIN else ""
        (folder / "conf" / "link" / f"l{index}.yaml").write_text(f"value: {index}\n{after}")
    return folder


def ours(sizes: list[int]) -> list[tuple[str, int, float, float]]:
    """Measure apply, no-op plan, no-op plan with nothing cached, and a plan with one change."""
    rows = []
    path = os.pathsep.join([str(LINKS), *filter(None, [os.environ.get("PYTHONPATH")])])
    for size in sizes:
        folder = links(size)
        rows.append(("mlops apply", size, *measure([MLOPS, "apply", "--yes"], folder, 1, PYTHONPATH=path)))
        rows.append(("mlops plan", size, *measure([MLOPS, "plan"], folder, PYTHONPATH=path)))
        changed = folder / "conf" / "link" / f"l{size // 2}.yaml"
        kept = changed.read_text()
        changed.write_text(kept.replace("value: ", "value: 1"))
        rows.append(("mlops plan, one changed", size, *measure([MLOPS, "plan"], folder, 1, PYTHONPATH=path)))
        changed.write_text(kept)
        shutil.rmtree(folder / ".mlops" / "cache")
        rows.append(("mlops plan, nothing cached", size, *measure([MLOPS, "plan"], folder, 1, PYTHONPATH=path)))
    return rows


def small() -> list[tuple[str, int, float, float]]:
    """Measure the help and the no-op plan of the reference project's six kinds of files."""
    folder = fresh("reference")
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "examples").mkdir()
    shutil.copytree(ROOT / "examples" / "credit", folder / "examples" / "credit", ignore=shutil.ignore_patterns(".mlops"))
    targets = ["dataset.credit", "model.credit", "test.credit", "test.data"]
    measure([MLOPS, "apply", "--yes", *targets], folder, 1)
    return [
        ("mlops --help", 0, *measure([MLOPS, "--help"], folder, 5)),
        ("mlops plan, data to tests", 4, *measure([MLOPS, "plan", *targets], folder, 5)),
    ]


def peers() -> Path | None:
    """Return the folder of the peers' programs, installed once, or None where they cannot be had."""
    programs = WORK / "peers" / "bin"
    if not (programs / "dvc").exists():
        subprocess.run([sys.executable, "-m", "venv", WORK / "peers"], check=True)
        install = [programs / "python", "-m", "pip", "install", "--quiet", "snakemake", "dvc"]
        if subprocess.run(install, check=False).returncode:
            return None
    return programs


def snakefile(size: int) -> str:
    """Return `size` rules of Snakemake that touch a file."""
    rules = []
    for index in range(size):
        before = f'    input: "f{index - 1}"\n' if index % CHAIN else ""
        rules.append(f'rule r{index}:\n{before}    output: "f{index}"\n    shell: "touch {{output}}"\n')
    wanted = ", ".join(f'"f{index}"' for index in range(CHAIN - 1, size, CHAIN))
    return f"rule all:\n    input: {wanted}\n" + "".join(rules)


def snakemake(size: int, programs: Path) -> tuple[str, int, float, float]:
    """Measure Snakemake's dry run of `size` rules whose outputs are up to date."""
    folder = fresh(f"snakemake-{size}")
    (folder / "Snakefile").write_text(snakefile(size))
    command = [programs / "snakemake", "--quiet", "all", "--cores", "1"]
    subprocess.run([*command, "--touch"], cwd=folder, check=False, capture_output=True)
    for index in range(size):
        (folder / f"f{index}").touch()
    return ("snakemake --dry-run", size, *measure([*command, "--dry-run"], folder, 1))


def dvc(size: int, programs: Path) -> tuple[str, int, float, float]:
    """Measure DVC's dry run of `size` stages. They have never run: DVC's own fastest case, since nothing is hashed."""
    folder = fresh(f"dvc-{size}")
    subprocess.run([programs / "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    stages = ["stages:\n"]
    for index in range(size):
        deps = f"    deps: [f{index - 1}]\n" if index % CHAIN else ""
        stages.append(f"  s{index}:\n    cmd: touch f{index}\n{deps}    outs: [f{index}]\n")
    (folder / "dvc.yaml").write_text("".join(stages))
    return ("dvc repro --dry", size, *measure([programs / "dvc", "repro", "--dry", "--quiet"], folder, 1))


def table(rows: list[tuple[str, int, float, float]]) -> None:
    """Print the rows, and the exponent by which each command grows."""
    print(f"{'command':<30}{'resources':>10}{'seconds':>10}{'MB':>8}")
    for name, size, seconds, memory in rows:
        print(f"{name:<30}{size:>10,}{seconds:>10.2f}{memory:>8.0f}")
    by_name: dict[str, list[tuple[int, float]]] = {}
    for name, size, seconds, _ in rows:
        by_name.setdefault(name, []).append((size, seconds))
    floor = min(seconds for name, _, seconds, _ in rows)
    print("\ngrowth exponent from the smallest to the largest, start of Python taken off")
    for name, points in by_name.items():
        (first, before), (last, after) = points[0], points[-1]
        if last > first > 0:
            base = min(floor, before / 2)
            print(f"{name:<30}{math.log((after - base) / (before - base)) / math.log(last / first):>10.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--no-peers", action="store_true")
    chosen = parser.parse_args()
    rows = [*small(), *ours(chosen.sizes)]
    programs = None if chosen.no_peers else peers()
    if programs is not None:
        rows += [snakemake(size, programs) for size in chosen.sizes if size <= 1000]
        rows += [dvc(size, programs) for size in chosen.sizes if size <= 1000]
    table(rows)


if __name__ == "__main__":
    main()
