"""Who may ask, and how much: tokens, TLS, client certificates, limits of size and time, and a replica that may write nowhere."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlops.serving.errors import ServingError
from mlops.serving.guards import Tokens, read_tokens
from mlops.serving.protocols import matrix_body

INFER = "/v2/models/credit/infer"
TOKEN, OTHER = "t" * 32, "s" * 32
PROBES = ("/livez", "/readyz", "/startupz", "/ping", "/health", "/metrics", "/v2/health/live", "/v2/health/ready", "/readyz/")


@pytest.fixture(scope="module")
def guarded(start, array_folder, tmp_path_factory):
    """A replica that asks for one of two tokens."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    tokens.write_text(f"# since June\n{TOKEN}\n\n{OTHER}\n")
    return start(array_folder, "--token-file", tokens)


def test_only_who_has_a_token_is_answered(guarded, cancer):
    """Any of the tokens will do; without one, or with another, the answer is 401 and says what is expected."""
    body = matrix_body(cancer[0][:1])
    for value in (f"Bearer {TOKEN}", f"bearer {OTHER}", f"Bearer  {TOKEN}"):
        assert guarded.ask("POST", INFER, body, {"authorization": value}).status == 200
    bare = guarded.ask("POST", INFER, body)
    assert (bare.status, bare.headers["www-authenticate"]) == (401, 'Bearer realm="mlops"')
    assert bare.json == {"error": "a token is needed: send the header `Authorization: Bearer TOKEN`"}
    for value in (f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}"):
        wrong = guarded.ask("POST", INFER, body, {"authorization": value})
        assert (wrong.status, wrong.headers["www-authenticate"]) == (401, 'Bearer realm="mlops", error="invalid_token"')
        assert TOKEN not in wrong.body.decode()


def test_probes_and_scrapers_need_no_token(guarded):
    """Health and metrics are answered to anybody; metadata and unknown paths are not; the private socket has no guard."""
    assert {path: guarded.ask("GET", path).status for path in PROBES} == dict.fromkeys(PROBES, 200)
    for path in ("/", "/v2/models", "/metricsx", "/v2/repository/index", "/livez/../v2", "/docs"):
        assert guarded.ask("GET", path).status == 401, path
    assert guarded.ask_private("/v2/models/credit").status == 200


def test_tokens_are_compared_whole():
    """A prefix, another case and a non-ASCII value are no token."""
    tokens = Tokens([TOKEN])
    assert tokens.allow(f"Bearer {TOKEN}")
    assert not any(
        tokens.allow(value) for value in (None, "", "Bearer", f"Bearer {TOKEN.upper()}", f"Bearer {TOKEN}é", "Bearer é")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no token in"),
        (b"# nothing\n\n", "there is no token in"),
        (b"short\n", ":1: a token has at least 16 characters"),
        (TOKEN.encode() + b"\nwith blank in the middle\n", ":2: a token has at least 16 characters and no blanks"),
        ("ö".encode() * 20, "are not plain ASCII"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_of_tokens_that_is_none_is_refused(tmp_path, content, message):
    """Each fault names the file, and the line where there is one; no token is repeated."""
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ServingError, match=re.escape(str(path))) as caught:
        read_tokens(path)
    assert message in str(caught.value)


def _trusting(keys, *, with_certificate=False):
    context = ssl.create_default_context(cafile=keys / "ca.pem")
    if with_certificate:
        context.load_cert_chain(keys / "client.pem", keys / "client.key")
    return context


def _ask_over_tls(server, context, body):
    connection = http.client.HTTPSConnection(*server.address, timeout=10, context=context)
    try:
        connection.request("POST", INFER, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_tls_is_spoken_on_the_public_socket(start, array_folder, keys, cancer):
    """Who trusts the authority is answered; plain HTTP is not; the private socket stays plain."""
    server = start(array_folder, "--tls-cert", keys / "server.pem", "--tls-key", keys / "server.key")
    body = matrix_body(cancer[0][:1])
    assert _ask_over_tls(server, _trusting(keys), body) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        _ask_over_tls(server, ssl.create_default_context(), body)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.ask("GET", "/livez")
    assert server.ask_private("/readyz").status == 200
    assert server.stop() == 0


def test_callers_must_show_a_certificate_where_authorities_are_named(start, array_folder, keys, cancer):
    """With `--tls-client-ca` only a caller with a certificate of that authority is answered."""
    server = start(
        array_folder, "--tls-cert", keys / "server.pem", "--tls-key", keys / "server.key", "--tls-client-ca", keys / "ca.pem"
    )
    body = matrix_body(cancer[0][:1])
    assert _ask_over_tls(server, _trusting(keys, with_certificate=True), body) == 200
    with pytest.raises((ssl.SSLError, http.client.HTTPException, ConnectionError)):
        _ask_over_tls(server, _trusting(keys), body)


def test_what_cannot_be_used_for_tls_is_one_line(program, array_folder, keys, tmp_path):
    """A missing file, a key of another certificate, a key in the old form, no certificate: each is named."""
    old = tmp_path / "old.key"
    subprocess.run(["openssl", "ec", "-in", keys / "server.key", "-out", old], check=True, capture_output=True)
    cases = [
        (keys / "server.pem", tmp_path / "none", None, "cannot be read: No such file or directory"),
        (keys / "server.pem", keys / "client.key", None, "cannot be used together for TLS: KEY_VALUES_MISMATCH"),
        (keys / "server.pem", old, None, "is no unencrypted PKCS#8 key in PEM"),
        (keys / "server.key", keys / "server.key", None, "holds no certificate in PEM"),
        (keys / "server.pem", keys / "server.key", keys / "ca.key", "holds no certificate in PEM"),
    ]
    for certificate, key, authorities, message in cases:
        options = ["--tls-cert", certificate, "--tls-key", key, *(["--tls-client-ca", authorities] if authorities else [])]
        code, text = program(array_folder, "--bind", "127.0.0.1:0", *options)
        assert (code, len(text.splitlines())) == (1, 1), text
        assert message in text
    code, text = program(array_folder, "--tls-cert", keys / "server.pem")
    assert (code, "--tls-cert and --tls-key go together" in text) == (2, True)


@pytest.fixture(scope="module")
def limited(start, array_folder):
    """A replica with short patience."""
    return start(array_folder, "--max-rows", "10", "--body-timeout", "0.5", "--max-body", "100000")


def _raw(server, *pieces, pause=0.0):
    """Send pieces as they are; return all that comes back until the server closes, and the seconds that took."""
    begun = time.monotonic()
    with socket.create_connection(server.address, timeout=50) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while more := connection.recv(65536):
                got += more
    return got, time.monotonic() - begun


def test_a_request_has_so_many_rows_at_most(limited, cancer):
    """One row more is a 413 that says how many are taken."""
    assert limited.ask("POST", INFER, matrix_body(cancer[0][:10])).status == 200
    refused = limited.ask("POST", INFER, matrix_body(cancer[0][:11]))
    assert (refused.status, refused.json) == (413, {"error": "the request has 11 rows, and at most 10 are taken at once"})


def test_a_body_that_does_not_come_is_not_waited_for(limited):
    """A caller that sends half a body, or one byte at a time, is answered 408 and sent away."""
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    for pieces in (
        [head + b"content-length: 100\r\n\r\n{"],
        [head + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"],
        [head + b"content-length: 100\r\n\r\n", *[b" "] * 10],
    ):
        got, seconds = _raw(limited, *pieces, pause=0.1)
        assert b"408 Request Timeout" in got
        assert b"the body did not come within 0.5 s" in got
        assert seconds < 5


def test_a_head_is_held_to_a_size_and_a_number_of_headers(limited):
    """100 headers are taken, more are refused, and so is a head that is much longer than 64 KiB or a path that is."""
    line = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    few, many = (b"".join(b"x-%d: 1\r\n" % number for number in range(count)) for count in (90, 150))
    assert b"200 OK" in _raw(limited, line + few + b"\r\n")[0]
    assert b"431" in _raw(limited, line + many + b"\r\n")[0]
    assert b"431" in _raw(limited, line + b"x: " + b"a" * 300_000 + b"\r\n\r\n")[0]
    assert b"414" in _raw(limited, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")[0]


@pytest.mark.soak
def test_a_head_that_does_not_come_is_not_waited_for(limited):
    """Slow heads, and kept connections that ask nothing, are closed after 30 seconds; others are answered meanwhile."""
    found = {}

    def slowly(name, *pieces):
        found[name] = _raw(limited, *pieces)[1]

    threads = [
        threading.Thread(target=slowly, args=("half", b"GET /livez HTTP/1.1\r\nx: ")),
        threading.Thread(target=slowly, args=("nothing",)),
        threading.Thread(target=slowly, args=("kept", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")),
    ]
    for thread in threads:
        thread.start()
    assert limited.ask("GET", "/livez").status == 200
    for thread in threads:
        thread.join()
    assert all(25 < seconds < 45 for seconds in found.values()), found


READ_ONLY = """
set -e
mount --make-rprivate /
awk '{print $5}' /proc/self/mountinfo | sort -r | while read place; do
  case "$place" in /proc*|/sys*|/dev*) ;; *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;; esac
done
! touch "$1/probe" 2>/dev/null
shift
exec setpriv --reuid 54321 --regid 54321 --clear-groups --no-new-privs "$@"
"""


def test_any_user_serves_on_a_read_only_root(array_folder, tmp_path, cancer, request):
    """Nothing is written: no home, no temporary files, no byte code; with one worker and with two."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs root, unshare and setpriv")
    folder = Path(tempfile.mkdtemp(prefix="mlops-read-only-"))  # pytest closes its own folders to other users
    request.addfinalizer(lambda: shutil.rmtree(folder))
    shutil.copytree(array_folder, folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    log = tmp_path / "log"
    serve = [sys.executable, "-m", "mlops.serving", folder, "--name", "credit", "--bind", "127.0.0.1:0", "--drain", "0"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    for workers in ("1", "2"):
        with log.open("wb") as errors:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", tmp_path, *serve, "--workers", workers],
                stderr=errors,
                env=environment,
                cwd="/",
            )
        try:
            address = _ready(process, log)
            connection = http.client.HTTPConnection(*address, timeout=10)
            connection.request("POST", INFER, json.dumps(matrix_body(cancer[0][:1])), {"content-type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            process.terminate()
            assert process.wait(20) == 0, log.read_text()


def _ready(process, log):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for line in log.read_text().splitlines():
            if '"ready"' in line:
                host, _, port = json.loads(line)["address"].rpartition(":")
                return host, int(port)
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
