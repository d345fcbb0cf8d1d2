"""A replica of the standard library alone, with the flags and the manners of `python -m mlops.serving`, for tests of the supervisor.

The model folder may hold a file `fault`: `crash` (ends with a line on stderr), `never` (is never ready) or `slow` (ready after 0.4 s).
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
for flag in ("--model", "--name", "--version", "--private-uds", "--fd", "--drain", "--grace"):
    parser.add_argument(flag, required=True)
options = parser.parse_args()
fault = Path(options.model, "fault").read_text() if Path(options.model, "fault").exists() else ""
state = {"ready": False, "draining": False}


class Answers(BaseHTTPRequestHandler):
    """Answers every GET with the version; health with 200 or 503."""

    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self):
        is_well = state["ready"] and not state["draining"]
        body = b"{}"
        self.send_response(200 if is_well or "health" not in self.path else 503)
        self.send_header("x-mlops-version", options.version)
        self.send_header("Content-Length", str(len(body)))
        if state["draining"]:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "peer"


class Server(ThreadingHTTPServer):
    """Serves a socket that listens already; an accept that a sibling won is no error."""

    daemon_threads = True

    def __init__(self, listening):
        HTTPServer.__init__(self, ("", 0), Answers, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


def stop(*_):
    """Drain: accept no more, close each connection with its next answer; then leave."""
    state["draining"] = True
    for server in servers:
        server.shutdown()
    time.sleep(float(options.drain))
    os._exit(0)


sys.stderr.write("starting\n")
servers = []
signal.signal(signal.SIGTERM, stop)
private = socket.socket(socket.AF_UNIX)
private.bind(options.private_uds)
private.listen()
Server(private)
if fault == "crash":
    sys.exit("ValueError: the model is broken")
while fault == "never":
    time.sleep(1)
time.sleep(0.4 if fault == "slow" else 0)
public = socket.socket(fileno=int(options.fd))
public.settimeout(0)
servers.append(Server(public))
state["ready"] = True
while True:
    signal.pause()
