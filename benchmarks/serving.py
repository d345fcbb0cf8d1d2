"""Requests per second of a replica beside the practical ceiling (`serving_ceiling`), one row of 30 columns as JSON, load from wrk.

Each server has a core to itself and wrk the other; rounds alternate and medians are told, because the machine is shared. Ours answers the
V2 route with validation, metrics and logging on. A = scaler and logistic regression, B = random forest of 100. Beside that are told, of
A, 32 rows at once: ours as binary tensors, the ceiling's as JSON. `python benchmarks/serving.py [ROUNDS]` takes 40 s a round.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".benchmarks" / "serving"
PORT = 18790
ROUNDS, SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5, 3
ROWS = 32  # of the requests that are asked in binary
POST = 'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.body = io.open(%r, "rb"):read("*a")\n'
BINARY = 'wrk.headers["content-type"] = "application/octet-stream"\nwrk.headers["inference-header-content-length"] = "%d"\n'
MANY = {"A ceiling": "json", "A onnx": "binary"}  # who is asked many rows, and how
PATH = "/v2/models/credit/infer"


def make_folders() -> dict[str, Path]:
    """Write the model folders of A and B and the body; return the folders: each with a graph, and B without one as well."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mlops.serving import folders, onnx_files, predictors, protocols, sklearn_files
    from mlops.serving.signatures import Column, Output, Signature

    data = load_breast_cancer()
    signature = Signature(
        inputs=tuple(Column(str(name), "FP64") for name in data.feature_names),
        outputs=(Output("predict", "INT64", (-1,), (0, 1)), Output("predict_proba", "FP64", (-1, 2), (0, 1))),
    )
    shutil.rmtree(WORK, ignore_errors=True)
    made = {}
    models = {"A": make_pipeline(StandardScaler(), LogisticRegression()), "B": RandomForestClassifier(100, random_state=0)}
    for name, model in models.items():
        model.fit(data.data, data.target)
        for kind in ("onnx", "native"):
            folder = made[f"{name} {kind}"] = WORK / name / kind
            folder.mkdir(parents=True)
            trusted = tuple(sklearn_files.dump_sklearn(model, folder / "model.skops"))
            fields = {"flavor": "sklearn", "layout": "array", "file": "model.skops", "trusted": trusted}
            manifest = folders.Manifest(signature=signature, **fields)
            if kind == "onnx":
                ask = predictors.SklearnPredictor(manifest, model).predict
                rows = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
                graph = onnx_files.convert(model, manifest, ask, rows, folder / onnx_files.FILE)
                manifest = folders.Manifest(signature=signature, onnx=graph, **fields)
            folders.write(folder, manifest, protocols.matrix_body(data.data[:1]))
    rows = data.data[:ROWS]
    raw = {"name": "input", "shape": list(rows.shape), "datatype": "FP64", "parameters": {"binary_data_size": rows.nbytes}}
    head = json.dumps({"inputs": [raw], "parameters": {"binary_data_output": True}}).encode()
    _write_post("one", json.dumps(protocols.matrix_body(data.data[:1])).encode())
    _write_post("json", json.dumps(protocols.matrix_body(rows)).encode())
    _write_post("binary", head + rows.tobytes(), BINARY % len(head))
    return made


def _write_post(name: str, body: bytes, headers: str = "") -> None:
    """Write a body and the script by which wrk sends it."""
    (WORK / name).write_bytes(body)
    (WORK / f"{name}.lua").write_text(POST % str(WORK / name) + headers)


def start(command: list[str | Path]) -> tuple[subprocess.Popen[bytes], float]:
    """Start a server on the first core; return it and the seconds until it answered."""
    begun = time.perf_counter()
    log = (WORK / "log").open("ab")
    server = subprocess.Popen(["taskset", "-c", "0", sys.executable, *command], cwd=ROOT / "benchmarks", stderr=log, stdout=log)
    body = (WORK / "one").read_bytes()
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
            connection.request("POST", PATH, body, {"content-type": "application/json"})
            if connection.getresponse().status == 200:
                return server, time.perf_counter() - begun
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)


def load(connections: int, seconds: int = SECONDS, post: str = "one") -> tuple[float, float, float]:
    """Return requests per second, p50 and p99 in ms, of what `post` names."""
    command = [
        "taskset",
        "-c",
        "1",
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        str(WORK / f"{post}.lua"),
    ]
    out = subprocess.run([*command, f"http://127.0.0.1:{PORT}{PATH}"], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(out)
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    times = [float(n) * units[unit] for n, unit in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)\b", out)]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), times[0], times[1]


def memory(pid: int) -> float:
    """Return the resident MB of a process, or of its only child where it is a supervisor."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rss = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{children[0] if children else pid}/status").read_text())
    return int(rss[1]) / 1024


def measure(command: list[str | Path], post: str) -> tuple[float, ...]:
    """Return req/s and p99 at 32 connections, p50 at 1, seconds to the first answer, MB, and req/s of 32 rows as `post` if it is named."""
    server, ready = start(command)
    try:
        load(32, 1)
        rate, _, p99 = load(32)
        _, p50, _ = load(1, 1)
        size = memory(server.pid)
        return rate, p99, p50, ready, size, load(32, 2, post)[0] if post else 0.0
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Measure and print."""
    made = make_folders()
    served = ["-m", "mlops.serving", "--name", "credit", "--drain", "0", "--bind", f"127.0.0.1:{PORT}"]
    commands: dict[str, list[str | Path]] = {}
    for name in "AB":
        commands[f"{name} ceiling"] = ["serving_ceiling.py", made[f"{name} onnx"] / "model.onnx", str(PORT)]
        commands[f"{name} onnx"] = [*served, made[f"{name} onnx"]]
        commands[f"{name} native"] = [*served, made[f"{name} native"]]
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            rounds[name].append(measure(command, MANY.get(name, "")))
    print(
        f"{'median of ' + str(ROUNDS):<14}{'req/s':>9}{'ratio':>7}{'p99 ms':>8}{'ratio':>7}{'p50@1 ms':>10}{'ready s':>9}{'MB':>6}"
    )
    for name, found in rounds.items():
        rate, p99, p50, ready, size, _ = (statistics.median(column) for column in zip(*found, strict=True))
        bare = rounds[f"{name[0]} ceiling"]
        ratios = [
            statistics.median(one[index] / other[index] for one, other in zip(found, bare, strict=True)) for index in (0, 1)
        ]
        print(f"{name:<14}{rate:>9.0f}{ratios[0]:>7.2f}{p99:>8.2f}{ratios[1]:>7.2f}{p50:>10.3f}{ready:>9.2f}{size:>6.0f}")
    many = {name: statistics.median(one[-1] for one in rounds[name]) for name in MANY}
    pairs = zip(rounds["A onnx"], rounds["A ceiling"], strict=True)
    ratio = statistics.median(one[-1] / other[-1] for one, other in pairs)
    print(f"{ROWS} rows: {many['A onnx']:.0f} req/s in binary, ceiling {many['A ceiling']:.0f} as JSON, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
