"""Applies of trivial steps in chains of 10, cold processes, as they grow; `peers.py` has the same beside other tools.

Every begin of ours is durable before its act, and every end before what follows from it; both in groups of what is ready
together. Memory is the whole tree of processes, sampled. `make bench` prints the table. Nothing fails by time.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import threading
import time
from pathlib import Path

from planning import LINKS, MLOPS, links, table

SAMPLE = 0.1  # seconds between looks at the memory
Row = tuple[str, int, float, float]


def tree(root: int) -> list[int]:
    """Return the process and all that descend from it, now."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def proportional(pid: int) -> float:
    """Return the process's memory in MB, what is shared divided among those who share it (PSS)."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def measure(command: list[str | Path], folder: Path, **environment: str) -> tuple[float, float]:
    """Return the wall time in seconds of a command, and the most memory in MB that it and its children were seen to hold."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process:
        peak, is_over = 0.0, threading.Event()

        def look() -> None:
            nonlocal peak
            while not is_over.wait(SAMPLE):
                peak = max(peak, sum(map(proportional, tree(process.pid))))

        looker = threading.Thread(target=look)
        looker.start()
        process.wait()
        seconds = time.perf_counter() - start
        is_over.set()
        looker.join()
    if process.returncode:
        message = f"{command} ended with {process.returncode}"
        raise SystemExit(message)
    return seconds, peak


def ours(size: int, repeats: int) -> Row:
    """Apply a new project of `size` links; the best of some."""
    best, peak = math.inf, 0.0
    for _ in range(repeats):
        seconds, memory = measure([MLOPS, "apply", "--yes"], links(size), PYTHONPATH=_path())
        best, peak = min(best, seconds), max(peak, memory)
    return ("mlops apply", size, best, peak)


def _path() -> str:
    return os.pathsep.join(filter(None, [str(LINKS), os.environ.get("PYTHONPATH")]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 10000])
    sizes = parser.parse_args().sizes
    table([ours(size, 3 if size <= 1000 else 1) for size in sizes])


if __name__ == "__main__":
    main()
