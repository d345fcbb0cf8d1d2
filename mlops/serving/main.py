"""The command line of a replica: `python -m mlops.serving` and, once installed, `mlops-serve`.

It reads its arguments, pins the threads of numeric libraries before they are imported, opens the sockets, and hands over to `replicas.run`,
in this process or in several that `crews` forks. Whatever is wrong with what it was given is one line on stderr and exit code 1.
"""

import argparse
import json
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mlops.serving.errors import ServingError
from mlops.serving.names import NAME
from mlops.serving.options import parsed

if TYPE_CHECKING:
    from mlops.serving.layouts import Layout
    from mlops.serving.payloads import Wanted
    from mlops.serving.replicas import Replica

# One row is never worth a thread, and replicas share the cores; read once, when the libraries are loaded.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: list[str] | None = None) -> int:
    """Serve a model until told to stop; return the exit code: 0 after SIGTERM, 1 for what cannot be served, 2 for wrong usage."""
    options = parsed(arguments)
    for name in _THREADS:
        os.environ.setdefault(name, "1")
    warnings.showwarning = _log_warning
    try:
        replica = _replica(options)
    except ServingError as error:
        return _say(error)
    return _serve(replica) if options.workers == 1 else _serve_with(replica, options.workers)


def _serve(replica: "Replica") -> int:
    from mlops.serving.replicas import run

    try:
        return run(replica)
    except ServingError as error:
        return _say(error)


def _serve_with(replica: "Replica", workers: int) -> int:
    """Serve with several processes, which share the public socket."""
    from mlops.serving.boards import Board, Seat
    from mlops.serving.crews import Crew
    from mlops.serving.logs import Log

    board, crew = Board(workers), os.getpid()

    def serve(number: int) -> int:
        return _serve(replace(replica, is_shared=True, parent=crew, seat=Seat(board, number)))

    return Crew(serve, Log({"track": replica.track})).run(workers, replica.parent)


def _say(error: ServingError) -> int:
    """Tell what cannot be served; return the exit code."""
    sys.stderr.write(f"mlops-serve: {' '.join(str(error).split())}\n")  # one line, whatever a library says
    return 1


def _replica(options: argparse.Namespace) -> "Replica":
    """Open what the options name; raise `ServingError` for what cannot be opened."""
    from mlops.serving import guards, listeners, tls
    from mlops.serving.limits import Limits
    from mlops.serving.replicas import Replica

    name, version, layout = _repository(options.repository) if options.repository else _only_model(options)
    private = None
    if options.private_uds:
        private = listeners.bind_uds(options.private_uds)
    elif options.private_bind:
        private = listeners.bind_tcp(*options.private_bind)
    return Replica(
        layout=layout,
        name=name,
        version=version,
        is_controlled=options.model_control == "explicit",
        track=options.track,
        public=listeners.bind_tcp(*options.bind) if options.fd is None else listeners.inherit(options.fd),
        private=private,
        is_shared=options.fd is not None,
        grpc=options.grpc,
        drain=options.drain,
        grace=options.grace,
        limits=Limits(
            max_body=options.max_body,
            max_rows=options.max_rows,
            body_seconds=options.body_timeout,
            batch_rows=options.max_batch_rows,
            queue_rows=options.max_queue_rows,
            deadline=options.deadline,
        ),
        parent=options.die_with_parent,
        tokens=guards.read_tokens(options.token_file) if options.token_file else None,
        log_share=options.log_rate,
        payloads=_payloads(options) if options.payload_log else None,
        tls=tls.read(options.tls_cert, options.tls_key, options.tls_client_ca) if options.tls_cert else None,
    )


def _payloads(options: argparse.Namespace) -> "Wanted":
    from mlops.serving import payloads

    hashed = frozenset(options.payload_hash)
    key = payloads.read_key(options.payload_key_file) if hashed else b""
    return payloads.Wanted(
        options.payload_log, options.payload_rate, payloads.Privacy(frozenset(options.payload_drop), hashed, key)
    )


def _only_model(options: argparse.Namespace) -> tuple[str, str, "Layout"]:
    """Return name, version and layout of the one folder that is served; it is read before any socket is opened."""
    from mlops.serving import folders, layouts

    folder = options.model or options.folder
    if folder is None:
        msg = "no model folder was given"
        raise ServingError(msg)
    folders.read(folder)
    name = options.name or folder.resolve().name
    if not NAME.fullmatch(name):
        msg = f"the folder's name {name!r} cannot name the model; give --name"
        raise ServingError(msg)
    return name, options.version, layouts.one_model(folder, name, options.version)


def _repository(root: Path) -> tuple[None, None, "Layout"]:
    from mlops.serving import layouts

    return None, None, layouts.repository(root)


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
