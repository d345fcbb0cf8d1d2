"""The arguments of the replica program: what it serves, where it listens, how it is held to limits, how it ends."""

import argparse
from pathlib import Path

from mlops.serving.limits import Limits
from mlops.serving.names import NAME


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Return what a command line says, by default the process's own; leave with 2 where options do not go together."""
    made = _parser()
    options = made.parse_args(arguments)
    if bool(options.tls_cert) != bool(options.tls_key) or (options.tls_client_ca and not options.tls_cert):
        made.error("--tls-cert and --tls-key go together, and --tls-client-ca needs both")
    if options.workers > 1 and (options.private_uds or options.private_bind):
        made.error("a private socket is one worker's: it does not go with --workers")
    if options.workers > 1 and options.model_control == "explicit":
        made.error("models are loaded and unloaded in one worker alone: --model-control explicit does not go with --workers")
    if not options.payload_log and (options.payload_drop or options.payload_hash or options.payload_key_file):
        made.error("--payload-drop, --payload-hash and --payload-key-file go with --payload-log")
    return options


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="mlops-serve", description="Serve models by the Open Inference Protocol V2.")
    _add_models(made)
    _add_listeners(made)
    _add_end(made)
    _add_limits(made)
    _add_access(made)
    _add_observing(made)
    return made


def _add_models(made: argparse.ArgumentParser) -> None:
    source = made.add_mutually_exclusive_group()
    source.add_argument("folder", nargs="?", type=Path, metavar="MODEL_DIR", help="the model folder")
    source.add_argument("--model", type=Path, metavar="DIR", help="the same by name")
    source.add_argument(
        "--repository", type=Path, metavar="DIR", help="serve every model folder DIR/NAME/VERSION, several names and versions"
    )
    made.add_argument(
        "--model-control",
        choices=("none", "explicit"),
        default="none",
        help="whether callers may load and unload models of the repository (default: none)",
    )
    made.add_argument("--name", type=_name, help="the only model's name in paths (default: the folder's)")
    made.add_argument("--version", type=_name, default="1", help="its version in paths, metrics and x-mlops-version (default: 1)")
    made.add_argument("--track", type=_name, default="stable", help="a label on every metric, for instance stable or canary")


def _add_listeners(made: argparse.ArgumentParser) -> None:
    address = made.add_mutually_exclusive_group()
    address.add_argument(
        "--bind", type=_address, default=("127.0.0.1", 8080), metavar="HOST:PORT", help="where to listen; port 0 takes a free one"
    )
    address.add_argument("--fd", type=int, metavar="N", help="an inherited listening socket, shared with other replicas")
    made.add_argument("--grpc", type=_address, metavar="HOST:PORT", help="listen for gRPC as well (needs the extra grpc)")
    own = made.add_mutually_exclusive_group()
    own.add_argument("--private-uds", type=Path, metavar="PATH", help="a unix socket on which this replica alone answers")
    own.add_argument("--private-bind", type=_address, metavar="HOST:PORT", help="the same on a port")


def _add_access(made: argparse.ArgumentParser) -> None:
    access = made.add_argument_group("access to the public socket")
    access.add_argument(
        "--token-file",
        type=Path,
        metavar="PATH",
        help="bearer tokens, one a line, of which callers must send one; not for health and /metrics",
    )
    access.add_argument("--tls-cert", type=Path, metavar="PATH", help="serve TLS with this certificate and its chain, PEM")
    access.add_argument("--tls-key", type=Path, metavar="PATH", help="its key, PEM, PKCS#8")
    access.add_argument(
        "--tls-client-ca", type=Path, metavar="PATH", help="callers must show a certificate of these authorities, PEM"
    )


def _add_observing(made: argparse.ArgumentParser) -> None:
    seen = made.add_argument_group("what is logged of requests")
    seen.add_argument(
        "--log-rate", type=_share, default=0.0, metavar="SHARE", help="of requests that get a log line (default: 0)"
    )
    seen.add_argument(
        "--payload-log", metavar="WHERE", help="log requests and answers as CloudEvents: to a file, to http://…, or to - (stdout)"
    )
    seen.add_argument(
        "--payload-rate", type=_share, default=1.0, metavar="SHARE", help="of answered requests that are logged so (default: 1)"
    )
    for option, words in (("--payload-drop", "leave this column out"), ("--payload-hash", "hash this column under the key")):
        seen.add_argument(option, action="append", default=[], metavar="COLUMN", help=f"{words}; may be given several times")
    seen.add_argument(
        "--payload-key-file", type=Path, metavar="PATH", help="the key for hashing (or in the variable MLOPS_PAYLOAD_KEY)"
    )


def _add_limits(made: argparse.ArgumentParser) -> None:
    limits = made.add_argument_group("limits")
    for option, kind, default, unit, words in (
        ("--max-body", _count, Limits.max_body, "BYTES", "longest request body"),
        ("--max-rows", _count, Limits.max_rows, "ROWS", "most rows of one request"),
        ("--body-timeout", _seconds, Limits.body_seconds, "SECONDS", "time for the body of a request to come"),
        ("--max-batch-rows", _count, Limits.batch_rows, "ROWS", "most rows that a slow model is asked at once; 1: no batching"),
        ("--max-queue-rows", _count, Limits.queue_rows, "ROWS", "most rows that wait for a slow model, then 503"),
        ("--deadline", _seconds, Limits.deadline, "SECONDS", "longest wait for a slow model, then 503"),
    ):
        limits.add_argument(option, type=kind, default=default, metavar=unit, help=f"{words} (default: {default})")


def _add_end(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--workers",
        type=_count,
        default=1,
        metavar="N",
        help="processes that share the work, each with its own model (default: 1)",
    )
    made.add_argument(
        "--drain", type=float, default=0.5, metavar="SECONDS", help="time between SIGTERM and the stop (default: 0.5)"
    )
    made.add_argument(
        "--grace", type=float, default=30.0, metavar="SECONDS", help="time for requests in flight after that (default: 30)"
    )
    made.add_argument("--die-with-parent", type=int, metavar="PID", help="stop as on SIGTERM once PID is no longer the parent")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is no whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        msg = f"{text!r} is no share from 0 to 1"
        raise argparse.ArgumentTypeError(msg)
    return share


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        msg = f"{text!r} is no number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def _name(text: str) -> str:
    """Return a text that stands in a path and in a header as it is."""
    if not NAME.fullmatch(text):
        msg = f"{text!r} is not made of letters, digits and any of . _ - : + @"
        raise argparse.ArgumentTypeError(msg)
    return text


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        msg = f"{text!r} is not HOST:PORT"
        raise argparse.ArgumentTypeError(msg)
    return host.strip("[]"), int(port)
