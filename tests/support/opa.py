"""Open Policy Agent's program, built once from its Go module and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

VERSION = "v1.10.1"
FOLDER = Path.home() / ".cache" / "mlops-tests" / f"opa-{VERSION}"


def program() -> str:
    """Return the path of `opa`; where Go is missing the test is skipped, but fails in CI."""
    path = FOLDER / "opa"
    if not path.is_file():
        _build()
    return str(path)


def _build() -> None:
    go = shutil.which("go")
    if go is None:
        message = "Go is not installed: apt-get install golang"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    FOLDER.mkdir(parents=True, exist_ok=True)
    flags = {"GOBIN": str(FOLDER), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    command = [go, "install", "-trimpath", "-ldflags", "-s -w", f"github.com/open-policy-agent/opa@{VERSION}"]
    done = subprocess.run(command, env={**os.environ, **flags}, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
