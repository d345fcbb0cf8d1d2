"""`python -m mlops.serving.probing PORT`: leaves with 0 while the replica on this machine is ready; an image's health check.

Imports nothing else of the server: an engine runs it every few seconds.
"""

import sys
from http.client import HTTPConnection, HTTPException

_SECONDS = 2.0
_OK = 200


def main(arguments: list[str]) -> int:
    """Ask the replica on the port that the one argument names whether it is ready; return 0 if it is, else 1."""
    connection = HTTPConnection("127.0.0.1", int(arguments[0]), timeout=_SECONDS)
    try:
        connection.request("GET", "/v2/health/ready")
        return 0 if connection.getresponse().status == _OK else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
