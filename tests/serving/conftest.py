"""Model folders and real replicas on loopback for the tests of serving."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mlops.serving import folders, protocols, sklearn_files
from mlops.serving.signatures import Column, Output, Signature

import open_inference

ROOT = Path(__file__).resolve().parents[2]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = str(path)

    def connect(self):
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


@dataclass
class Reply:
    """What the server answered."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        """The body, decoded."""
        return json.loads(self.body)


def ask(connection, method, path, body=None, headers=None):
    """Send one request on an open connection."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    connection.request(
        method, path, body, {"content-type": "application/json", **(headers or {})} if body is not None else headers or {}
    )
    answer = connection.getresponse()
    reply = Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    if reply.body and reply.headers.get("content-type") == "application/json":
        open_inference.check(method, path, reply.status, "application/json", reply.json)
    return reply


@dataclass
class Running:
    """A replica process and how to reach it."""

    process: subprocess.Popen
    log_path: Path
    private: Path
    address: tuple = ()

    def lines(self):
        """Return the log so far."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, event, seconds=60):
        """Return the first log line of `event`, as soon as it is there."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [line for line in self.lines() if line["event"] == event]
            if found:
                return found[0]
            assert self.process.poll() is None, self.log_path.read_text()
            time.sleep(0.02)
        raise AssertionError(self.log_path.read_text())

    def ask(self, method, path, body=None, headers=None):
        """Send one request to the public address on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        try:
            return ask(connection, method, path, body, headers)
        except ConnectionRefusedError:
            code = self.process.poll()
            pytest.fail(f"the replica is gone, exit code {code}; its log:\n{self.log_path.read_text()}")
        finally:
            connection.close()

    def ask_private(self, path, method="GET", body=None):
        """Send one request to this replica's own socket."""
        connection = UnixConnection(self.private)
        try:
            return ask(connection, method, path, body)
        finally:
            connection.close()

    def stop(self):
        """Send SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def environment():
    """Return the environment in which a replica finds this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def command(folder, *options):
    """Return the argv of a replica, of a repository where there is no folder."""
    only = ["--model", str(folder), "--name", "credit"] if folder else []
    return [sys.executable, "-m", "mlops.serving", *only, *map(str, options)]


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """Give the function that starts replicas; all of them are stopped in the end."""
    running = []

    def begin(folder, *options, ready=True, address=None, private=True, **popen):
        place = tmp_path_factory.mktemp("replica")
        own = ["--private-uds", place / "p.sock"] if private else []
        if "--die-with-parent" not in options:
            own += ["--die-with-parent", os.getpid()]
        if "--fd" not in options and "--bind" not in options:
            options = (*options, "--bind", "127.0.0.1:0")
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(command(folder, *own, *options), stderr=log, cwd=ROOT, env=environment(), **popen)
        replica = Running(process, place / "log", place / "p.sock")
        running.append(replica)
        host, _, port = replica.wait_for("ready" if ready else "starting")["address"].rpartition(":")
        replica.address = address or (host, int(port))
        return replica

    yield begin
    for replica in running:
        with contextlib.suppress(ProcessLookupError):
            replica.process.kill()
        replica.process.wait()


def write_sklearn(folder, estimator, signature, example, **fields):
    """Write a model folder with skops."""
    folder.mkdir(parents=True, exist_ok=True)
    trusted = sklearn_files.dump_sklearn(estimator, folder / "model.skops")
    manifest = folders.Manifest(signature=signature, flavor="sklearn", file="model.skops", trusted=tuple(trusted), **fields)
    folders.write(folder, manifest, example)
    return folder


@pytest.fixture(scope="session")
def write_folder():
    """Give the function that writes a skops model folder."""
    return write_sklearn


@pytest.fixture(scope="session")
def cancer():
    """Thirty numeric columns, two classes, a fitted scaler and logistic regression."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    signature = Signature(
        inputs=tuple(Column(str(name), "FP64") for name in data.feature_names),
        outputs=(Output("predict", "INT64", (-1,), (0, 1)), Output("predict_proba", "FP64", (-1, 2), (0, 1))),
    )
    return data.data, estimator, signature


@pytest.fixture(scope="session")
def array_folder(cancer, tmp_path_factory):
    """A model folder of layout array."""
    matrix, estimator, signature = cancer
    folder = tmp_path_factory.mktemp("models") / "cancer"
    return write_sklearn(folder, estimator, signature, protocols.matrix_body(matrix[:1]), layout="array")


def mixed_columns(rows, seed=0):
    """Columns of each kind, with gaps: amount (float), age (int), housing (text with missing), owner (bool)."""
    random = np.random.default_rng(seed)
    amount = random.normal(100, 30, rows)
    amount[random.random(rows) < 0.1] = np.nan
    housing = random.choice(np.array(["own", "rent", "free"], object), rows)
    housing[random.random(rows) < 0.1] = None
    return {
        "amount": amount,
        "age": random.integers(18, 90, rows),
        "housing": housing,
        "owner": random.random(rows) < 0.5,
    }


MIXED = Signature(
    inputs=(
        Column("amount", "FP64", nullable=True),
        Column("age", "INT64", min=18, max=120),
        Column("housing", "BYTES", nullable=True, values=("own", "rent", "free")),
        Column("owner", "BOOL"),
    ),
    outputs=(Output("predict", "BYTES", (-1,), ("bad", "good")), Output("predict_proba", "FP64", (-1, 2), ("bad", "good"))),
)


def mixed_frame(columns):
    """Return the mixed columns as the table a model is trained on."""
    import pandas as pd

    return pd.DataFrame({**columns, "housing": pd.Series(columns["housing"], dtype="str")})


def mixed_labels(columns):
    """Return a label that hangs on amount and age."""
    return np.where(np.nan_to_num(columns["amount"], nan=50.0) + columns["age"] > 140, "good", "bad").astype(object)


def mixed_pipeline():
    """Return an unfitted pipeline that selects the mixed columns by name."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["amount", "age"]),
            (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), ["housing"]),
            ("passthrough", ["owner"]),
        ),
        LogisticRegression(),
    )


@dataclass
class Mixed:
    """The mixed table, and how to make models of it."""

    signature = MIXED
    columns = staticmethod(mixed_columns)
    frame = staticmethod(mixed_frame)
    labels = staticmethod(mixed_labels)
    pipeline = staticmethod(mixed_pipeline)


@pytest.fixture(scope="session")
def mixed():
    """Give the mixed table."""
    return Mixed()


@pytest.fixture(scope="session")
def frame_folder(tmp_path_factory):
    """A model folder of layout frame, with its fitted pipeline."""
    columns = mixed_columns(400)
    estimator = mixed_pipeline().fit(mixed_frame(columns), mixed_labels(columns))
    example = protocols.request_body(MIXED, {name: array[:2] for name, array in columns.items()})
    folder = tmp_path_factory.mktemp("models") / "mixed"
    return write_sklearn(folder, estimator, MIXED, example, layout="frame"), estimator


@pytest.fixture(scope="session")
def python_folder(tmp_path_factory):
    """A folder of the project's own code: adds up, fails on demand and sleeps on demand."""
    folder = tmp_path_factory.mktemp("models") / "python"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "adding.py").write_text(
        "import time\n"
        "class Model:\n"
        "    def predict(self, columns):\n"
        "        if (columns['a'] < 0).any():\n"
        "            raise ValueError('negative')\n"
        "        time.sleep(float(columns['a'].max()) if columns['a'].max() < 5 else 0)\n"
        "        return {'sum': columns['a'] + columns['b']}\n"
        "def load(folder):\n"
        "    return Model()\n"
    )
    signature = Signature(inputs=(Column("a", "FP64"), Column("b", "INT64")), outputs=(Output("sum", "FP64", (-1,)),))
    example = protocols.request_body(signature, {"a": np.array([9.0]), "b": np.array([2])})
    folders.write(folder, folders.Manifest(signature=signature, flavor="python", layout="columns", entry="adding:load"), example)
    return folder


def write_adding(root, version, plus, name="adding"):
    """Write root/name/version: a model that adds `plus`, and sleeps for as many seconds as its input says, below 5."""
    folder = root / name / version
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "adding_one.py").write_text(
        "import time\n"
        "class Model:\n"
        "    def predict(self, columns):\n"
        "        time.sleep(float(columns['a'].max()) if columns['a'].max() < 5 else 0)\n"
        f"        return {{'sum': columns['a'] + {plus}}}\n"
        "def load(folder):\n"
        "    return Model()\n"
    )
    signature = Signature(inputs=(Column("a", "FP64"),), outputs=(Output("sum", "FP64", (-1,)),))
    example = protocols.request_body(signature, {"a": np.array([9.0])})
    manifest = folders.Manifest(signature=signature, flavor="python", layout="columns", entry="adding_one:load")
    folders.write(folder, manifest, example)
    return folder


@pytest.fixture(scope="session")
def write_version():
    """Give the function that writes a version of a model into a repository."""
    return write_adding


@pytest.fixture(scope="session")
def start_repository(start):
    """Give the function that starts a replica of a repository."""

    def begin(root, *options, **popen):
        return start(None, "--repository", root, *options, **popen)

    return begin


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """An authority, and certificates of it for the server and for a client, as openssl makes them."""
    place = tmp_path_factory.mktemp("keys")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=authority",
        "-days",
        "2",
    )
    (place / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            f"{name}.pem",
            "-days",
            "2",
            "-extfile",
            "names",
        )
    return place


@pytest.fixture(scope="session")
def shared_socket():
    """Make listening sockets as a supervisor would."""
    opened = []

    def make():
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(512)
        opened.append(listening)
        return listening

    yield make
    for listening in opened:
        listening.close()


@pytest.fixture(scope="session")
def program():
    """Run the replica program to its end; return (exit code, stderr)."""

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "mlops.serving", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=ROOT,
            env=environment(),
            check=False,
        )
        return done.returncode, done.stderr

    return run


@pytest.fixture(scope="session")
def send():
    """Give the function that sends on an open connection."""
    return ask
