"""TLS of the public listener, and of callers who must show a certificate (mTLS).

The files are loaded here once, in Python, because granian would end the process in Rust with a text that helps nobody. granian takes a key in
PKCS#8 only. A new certificate is taken at the next start.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mlops.serving.errors import ServingError

_PKCS8 = "-----BEGIN PRIVATE KEY-----"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Tls:
    """PEM files: the chain of certificates, its key, and the authorities whose certificates callers must show, if any."""

    certificate: Path
    key: Path
    client_authorities: Path | None


def read(certificate: Path, key: Path, client_authorities: Path | None) -> Tls:
    """Return the files once they have proved to be readable and to belong together; raise `ServingError` where not."""
    if _PKCS8 not in _text(key):
        msg = f"{key} is no unencrypted PKCS#8 key in PEM (make one of it: openssl pkcs8 -topk8 -nocrypt -in {key.name})"
        raise ServingError(msg)
    for path in (certificate, client_authorities):
        if path and _CERTIFICATE not in _text(path):
            msg = f"{path} holds no certificate in PEM"
            raise ServingError(msg)
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        found.load_cert_chain(certificate, key)
        if client_authorities:
            found.load_verify_locations(client_authorities)
    except ssl.SSLError as error:
        files = ", ".join(map(str, filter(None, (certificate, key, client_authorities))))
        msg = f"{files} cannot be used together for TLS: {error.reason or error}"
        raise ServingError(msg) from error
    return Tls(certificate, key, client_authorities)


def _text(path: Path) -> str:
    try:
        return path.read_text("latin-1")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ServingError(msg) from error
