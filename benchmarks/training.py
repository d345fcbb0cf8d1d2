"""What mlops adds to a training run: the same rows and estimator by a plain script and by `mlops apply`, cold processes.

The plain script reads the CSV, splits, fits, scores and saves with joblib. Ours does that, checks every cell, keeps
data and model by content, writes skops instead of pickle, and records all of it. `make bench` prints the table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".benchmarks" / "training"
MLOPS = Path(sys.executable).with_name("mlops")
ESTIMATORS = {
    "HistGradientBoosting": ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": 100}),
    "RandomForest of 300": ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 300}),
}
COLUMNS = ["seniority", "time", "age", "expenses", "amount", "price"]
PLAIN = """
import importlib, json, sys, time
started = time.perf_counter()
import joblib, pandas
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
path, params, columns = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
module, _, name = path.rpartition(".")
frame = pandas.read_csv("data/credit.csv")
train, test = train_test_split(frame, test_size=0.2, stratify=frame["status"], random_state=7)
model = getattr(importlib.import_module(module), name)(random_state=7, **params)
begun = time.perf_counter()
model.fit(train[columns], train["status"])
fitted = time.perf_counter() - begun
roc_auc_score(test["status"] == "good", model.predict_proba(test[columns])[:, 1])
joblib.dump(model, "model.joblib")
print(json.dumps({"fit": fitted}))
"""


def timed(command: list[str | Path], folder: Path) -> tuple[float, str]:
    """Return wall seconds and what was printed; one thread, as the model's spec declares."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def plain(folder: Path, estimator: str, params: dict[str, int]) -> tuple[float, float]:
    """Return the whole seconds of the plain script and those of its fit."""
    words = [sys.executable, "-c", PLAIN, estimator, json.dumps(params), json.dumps(COLUMNS)]
    total, out = timed(words, folder)
    return total, json.loads(out)["fit"]


def ours(folder: Path, estimator: str, params: dict[str, int]) -> tuple[float, float, float]:
    """Return the whole seconds of apply, those of the fit step, and those of the estimator's own fit."""
    shutil.rmtree(folder / ".mlops", ignore_errors=True)
    spec = {
        "dataset": "dataset.credit",
        "label": "status",
        "estimator": estimator,
        "params": params,
        "features": COLUMNS,
        "seed": 7,
    }
    (folder / "conf" / "model" / "credit.yaml").write_text(json.dumps(spec))
    total, _ = timed([MLOPS, "apply", "--yes", "model.credit"], folder)
    log = max((folder / ".mlops" / "logs").glob("*.jsonl"))
    ends = [json.loads(line) for line in log.read_text().splitlines()]
    (fit,) = [one for one in ends if one["event"] == "step-ended" and one["step"] == "model.credit/fit"]
    return total, fit["seconds"], fit["facts"]["fit_seconds"]


def main() -> None:
    """Measure and print."""
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "credit", WORK, ignore=shutil.ignore_patterns(".mlops"))
    print(f"{'seconds, best of 3':<24}{'plain':>8}{'its fit':>9}{'apply':>8}{'fit step':>10}{'its fit':>9}{'added':>8}")
    for name, (estimator, params) in ESTIMATORS.items():
        script = min(plain(WORK, estimator, params) for _ in range(3))
        apply = min(ours(WORK, estimator, params) for _ in range(3))
        row = [*script, *apply, apply[0] - script[0]]
        print(f"{name:<24}" + "".join(f"{value:>{width}.2f}" for value, width in zip(row, (8, 9, 8, 10, 9, 8), strict=True)))


if __name__ == "__main__":
    main()
