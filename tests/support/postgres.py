"""A real PostgreSQL for the tests: started once a session from what apt installs, thrown away after it."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

USER, PASSWORD = "reader", "hunter2"
AUTH = ("--auth-local=trust", "--auth-host=scram-sha-256")


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None where they are not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@dataclass
class Server:
    """A server on a port of its own; its one user needs a password."""

    port: int
    folder: Path
    programs: Path
    numbers: itertools.count = field(default_factory=lambda: itertools.count(1))
    schemas: list[str] = field(default_factory=list)

    @property
    def user(self) -> str | None:
        """The user that the server's processes belong to: it refuses to run as root."""
        return "postgres" if os.geteuid() == 0 else None

    def url(self, options: str = "", password: str = PASSWORD) -> str:
        """Return a URL of its database."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/postgres{options}"

    def new(self, *, is_local: bool = False) -> str:
        """Return the URL of an empty schema of its own, through a socket of this machine that asks for no password."""
        name = f"state{next(self.numbers)}"
        self._execute(f"CREATE SCHEMA {name}")
        self.schemas.append(name)
        options = f"options=-csearch_path%3D{name}"
        if is_local:
            return f"postgresql://{USER}@/postgres?host={self.folder}&port={self.port}&{options}"
        return self.url(f"?{options}")

    def clear(self) -> None:
        """Drop all schemas that `new` made."""
        if self.schemas:
            self._execute(f"DROP SCHEMA {', '.join(self.schemas)} CASCADE")
            self.schemas.clear()

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("?options=-cclient_min_messages%3Dwarning"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start it, as after a crash too."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once, as a crash would; open connections break."""
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", "immediate", "stop")

    def initialise(self) -> None:
        """Write its empty database."""
        if self.user:
            shutil.chown(self.folder, self.user)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run("initdb", "-D", self.folder / "data", "-U", USER, f"--pwfile={password}", *AUTH)

    def _run(self, program: str, *words: object) -> None:
        command = [self.programs / program, *map(str, words)]
        subprocess.run(command, check=True, user=self.user, stdout=subprocess.DEVNULL, cwd=self.folder)


@contextmanager
def running():
    """Start a server and stop it; where PostgreSQL is missing, skip, or fail in CI."""
    found = programs()
    if found is None:
        message = "PostgreSQL is missing: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(port, Path(folder), found)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
