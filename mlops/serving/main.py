"""The command line of a replica: `python -m mlops.serving` and, once installed, `mlops-serve`.

One process, one worker. It reads its arguments, opens the sockets, pins the threads of numeric libraries before they are imported, and hands
over to `replicas.run`. Whatever is wrong with what it was given is one line on stderr and exit code 1.
"""

import argparse
import json
import os
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mlops.serving.errors import ServingError

if TYPE_CHECKING:
    from mlops.serving.replicas import Replica

# One row is never worth a thread, and replicas share the cores; read once, when the libraries are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MEBIBYTE = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9._:+@-]+")


def main(arguments: list[str] | None = None) -> int:
    """Serve a model until told to stop; return the exit code: 0 after SIGTERM, 1 for what cannot be served, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    warnings.showwarning = _log_warning
    try:
        from mlops.serving.replicas import run

        return run(_replica(options))
    except ServingError as error:
        sys.stderr.write(f"mlops-serve: {' '.join(str(error).split())}\n")  # one line, whatever a library says
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlops-serve", description="Serve one model by the Open Inference Protocol V2.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="MODEL_DIR", help="the model folder")
    parser.add_argument("--model", type=Path, metavar="DIR", help="the same by name")
    parser.add_argument("--name", type=_name, help="the model's name in paths (default: the folder's)")
    parser.add_argument(
        "--version", type=_name, default="1", help="the version in paths, metrics and x-mlops-version (default: 1)"
    )
    parser.add_argument("--track", type=_name, default="stable", help="a label on every metric, for instance stable or canary")
    address = parser.add_mutually_exclusive_group()
    address.add_argument(
        "--bind", type=_address, default=("127.0.0.1", 8080), metavar="HOST:PORT", help="where to listen; port 0 takes a free one"
    )
    address.add_argument("--fd", type=int, metavar="N", help="an inherited listening socket, shared with other replicas")
    own = parser.add_mutually_exclusive_group()
    own.add_argument("--private-uds", type=Path, metavar="PATH", help="a unix socket on which this replica alone answers")
    own.add_argument("--private-bind", type=_address, metavar="HOST:PORT", help="the same on a port")
    parser.add_argument(
        "--drain", type=float, default=0.5, metavar="SECONDS", help="time between SIGTERM and the stop (default: 0.5)"
    )
    parser.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="time for requests in flight after that (default: 30)"
    )
    parser.add_argument(
        "--max-body", type=int, default=16 * _MEBIBYTE, metavar="BYTES", help="longest request body (default: 16 MiB)"
    )
    parser.add_argument("--die-with-parent", type=int, metavar="PID", help="stop as on SIGTERM once PID is no longer the parent")
    return parser


def _name(text: str) -> str:
    """Return a text that stands in a path and in a header as it is."""
    if not _NAME.fullmatch(text):
        msg = f"{text!r} is not made of letters, digits and any of . _ - : + @"
        raise argparse.ArgumentTypeError(msg)
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        msg = f"{text!r} is not HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    return host.strip("[]"), int(port)


def _replica(options: argparse.Namespace) -> "Replica":
    """Open what the options name; raise `ServingError` for what cannot be opened."""
    from mlops.serving import folders, listeners
    from mlops.serving.replicas import Replica

    folder = options.model or options.folder
    if folder is None:
        msg = "no model folder was given"
        raise ServingError(msg)
    folders.read(folder)  # before any socket is opened
    name = options.name or folder.resolve().name
    if not _NAME.fullmatch(name):
        msg = f"the folder's name {name!r} cannot name the model; give --name"
        raise ServingError(msg)
    private = None
    if options.private_uds:
        private = listeners.bind_uds(options.private_uds)
    elif options.private_bind:
        private = listeners.bind_tcp(*options.private_bind)
    return Replica(
        folder=folder,
        name=name,
        version=options.version,
        track=options.track,
        public=listeners.bind_tcp(*options.bind) if options.fd is None else listeners.inherit(options.fd),
        private=private,
        is_shared=options.fd is not None,
        drain=options.drain,
        grace=options.grace,
        max_body=options.max_body,
        parent=options.die_with_parent,
    )


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a Python warning as a log line, for instance scikit-learn's about a model of another version."""
    del line
    fields = {
        "level": "warning",
        "event": "warning",
        "category": category.__name__,
        "message": str(message),
        "at": f"{filename}:{lineno}",
    }
    (file or sys.stderr).write(json.dumps(fields) + "\n")
