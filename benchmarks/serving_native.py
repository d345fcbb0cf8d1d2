"""Requests per second of a model that does not convert, with and without batching, beside FastAPI by hand: one row of 30 columns as JSON.

B = random forest of 100, asked through scikit-learn. Each server has a core to itself and wrk the other; rounds alternate and medians are
told. `python benchmarks/serving_native.py [ROUNDS]`; FastAPI is measured where it and uvicorn are installed.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
from typing import TYPE_CHECKING

import serving

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def commands(folder: Path) -> dict[str, list[str | Path]]:
    """Return how each server is started."""
    ours = ["-m", "mlops.serving", "--name", "credit", "--drain", "0", "--bind", f"127.0.0.1:{serving.PORT}", folder]
    found: dict[str, list[str | Path]] = {"batching": ours, "no batching": [*ours, "--max-batch-rows", "1"]}
    if importlib.util.find_spec("fastapi") and importlib.util.find_spec("uvicorn"):
        found["FastAPI by hand"] = ["serving_by_hand.py", folder, str(serving.PORT)]
    return found


def measure(command: list[str | Path]) -> tuple[float, float, float]:
    """Return requests per second and p99 in ms at 32 connections, and p50 in ms at 1."""
    server, _ = serving.start(command)
    try:
        serving.load(32, 1)
        rate, _, p99 = serving.load(32)
        _, p50, _ = serving.load(1, 2)
        return rate, p99, p50
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Measure and print."""
    folder = serving.make_folders()["B native"]
    rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands(folder)}
    for _ in range(ROUNDS):
        for name, command in commands(folder).items():
            rounds[name].append(measure(command))
    print(f"{'median of ' + str(ROUNDS):<18}{'req/s @32':>10}{'ratio':>7}{'p99 ms':>9}{'p50 ms @1':>11}{'ratio':>7}")
    for name, found in rounds.items():
        rate, p99, p50 = (statistics.median(column) for column in zip(*found, strict=True))
        pairs = list(zip(found, rounds["no batching"], strict=True))
        faster, sooner = (statistics.median(one[index] / other[index] for one, other in pairs) for index in (0, 2))
        print(f"{name:<18}{rate:>10.0f}{faster:>7.1f}{p99:>9.1f}{p50:>11.2f}{sooner:>7.2f}")


if __name__ == "__main__":
    main()
