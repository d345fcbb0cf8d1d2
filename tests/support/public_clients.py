"""The clients that Triton and KServe publish, unchanged, in an environment of their own: they pin protobuf and pandas below ours.

Made once with pip and kept in the user's cache. `CLIENT_PROGRAM` runs in it, asks a server everything, and prints what it was told as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PACKAGES = ("tritonclient[http,grpc]==2.73.0", "kserve==0.21.0")
FOLDER = Path.home() / ".cache" / "mlops-tests" / f"clients-2.73.0-0.21.0-py{sys.version_info.major}.{sys.version_info.minor}"
CLIENT_PROGRAM = Path(__file__).with_name("client_program.py")


def ask_all(clients: str, http: str, grpc: str, name: str, rows: list[list[float]]) -> dict[str, dict[str, object]]:
    """Return what the clients of a publisher, triton or kserve, were told by a server about its model `name` and `rows`."""
    question = json.dumps({"http": http, "grpc": grpc, "name": name, "rows": rows})
    done = subprocess.run(
        [_python(), CLIENT_PROGRAM, clients], input=question, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _python() -> str:
    """Return the interpreter that has the clients; where they cannot be installed the test is skipped, but fails in CI."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / "made").is_file():
            _make()
    return str(FOLDER / "bin" / "python")


def _make() -> None:
    venv.create(FOLDER, with_pip=True, clear=True)
    pip = [FOLDER / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        (FOLDER / "made").touch()
        return
    message = f"the public clients cannot be installed: {done.stderr.strip().splitlines()[-1]}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
