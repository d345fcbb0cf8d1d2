"""Conversations: what is said to one running proxy, on its runtime socket and in its files; `proxies` says what, `haproxy` how."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlops.core.errors import Refused, Unavailable
from mlops.world import execs, haproxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from docker import DockerClient

    from mlops.world.haproxy import Place

_STARTED = 15.0  # seconds for a proxy to answer on its runtime socket
_POLL = 0.1
_MAP_BEGINS = "\nweight "  # no line of a configuration begins so
# Fixed programs, in bash because HAProxy's own image has nothing more; what changes comes in by argv and stdin.
_SAY = f'exec 3<>/dev/tcp/127.0.0.1/{haproxy.ADMIN} && IFS= read -r line && printf "%s\\n" "$line" >&3 && cat <&3'
_WRITE = 'set -e; umask 022; head -c "$1" > "$2.new"; sync "$2.new"; mv "$2.new" "$2"'
_PROBE = f'exec 3<>/dev/tcp/127.0.0.1/{haproxy.PORT}; head -c "$1" <&0 >&3 & cat <&3'
_READ = 'cat "$1" "$2"'
_CHECK = f"haproxy -c -q -f {haproxy.CONFIG}"
_REFUSALS = ("Unknown command", "No such server", "no resolution is configured", "Unknown map", "Permission denied", "failed")


class Conversation:
    """What is said to one running proxy."""

    def __init__(self, client: DockerClient, name: str) -> None:
        self._client = client
        self._name = name

    def say(self, commands: Iterable[str]) -> None:
        """Say commands, all in one line, as HAProxy takes them; nothing happens where there are none.

        Raises:
            Refused: it does not do one of them.
        """
        answer = self._ask(commands)
        if any(word in answer for word in _REFUSALS):
            message = f"the proxy {self._name} does not do what it is told: {' '.join(answer.split())[:200]}"
            raise Refused(message, f"is its image HAProxy 2.6 or newer? See docker logs {self._name}")

    def _ask(self, commands: Iterable[str]) -> str:
        line = "; ".join(commands)
        if not line:
            return ""
        return execs.run(self._client, self._name, ["bash", "-c", _SAY], line.encode() + b"\n").decode(errors="replace")

    def state(self) -> tuple[list[Place], dict[tuple[str, str], dict[str, str]], dict[str, int]]:
        """Return its places for servers, its statistics, and its map."""
        answer = self._ask(["show servers state", "show stat", f"show map {haproxy.MAP}"])
        states, _, rest = answer.partition("# pxname")
        stat, _, values = rest.partition("\n\n")
        return haproxy.places(states), haproxy.table(f"pxname{stat}"), haproxy.map_values(values)

    def probe(self, requests: bytes) -> str:
        """Send bytes to the public listener; return all that comes back until it closes the connection."""
        argv = ["bash", "-c", _PROBE, "probe", str(len(requests))]
        return execs.run(self._client, self._name, argv, requests).decode(errors="replace")

    def write(self, path: str, text: str) -> None:
        """Write a file, whole or not at all."""
        data = text.encode()
        execs.run(self._client, self._name, ["bash", "-c", _WRITE, "write", str(len(data)), path], data)

    def rewrite(self, config: str, routes: str) -> bool:
        """Write the files where they differ; tell whether it was reloaded, because the socket could not say what changed."""
        now = execs.run(self._client, self._name, ["bash", "-c", _READ, "read", haproxy.CONFIG, haproxy.MAP]).decode()
        if now == config + routes:
            return False
        self.write(haproxy.MAP, routes)
        self.write(haproxy.CONFIG, config)
        if haproxy.static(now.partition(_MAP_BEGINS)[0]) == haproxy.static(config):
            return False
        execs.run(self._client, self._name, ["bash", "-c", _CHECK])
        before = self._worker()
        self._client.api.kill(
            self._name, "SIGUSR2"
        )  # its master starts a new worker with the listening sockets, and ends the old one
        self._await(lambda: self._worker() not in ("", before))
        return True

    def drain(self, leaving: list[Place], seconds: float) -> None:
        """Give servers no new request, wait for what is in flight, and free their places."""
        if not leaving:
            return
        self.say(map(haproxy.leave, leaving))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _, rows, _ = self.state()
            if not any(haproxy.in_flight(rows, slot) for slot in leaving):
                break
            time.sleep(_POLL)
        self.say(map(haproxy.left, leaving))

    def await_answer(self) -> None:
        """Return once it answers on its runtime socket.

        Raises:
            Unavailable: it does not, with the last that it wrote.
        """
        self._await(lambda: self._worker() != "")

    def _worker(self) -> str:
        """Return the process of the worker that answers now; empty where none does."""
        try:
            return next((line for line in self._ask(["show info"]).splitlines() if line.startswith("Pid:")), "")
        except (Refused, Unavailable):
            return ""

    def _await(self, is_true: Callable[[], bool]) -> None:
        until = time.monotonic() + _STARTED
        while not is_true():
            if time.monotonic() > until:
                said = self._client.api.logs(self._name, tail=3).decode(errors="replace")
                message = f"the proxy {self._name} does not start: {' '.join(said.split()) or 'it wrote nothing'}"
                raise Unavailable(message, "does its image have HAProxy 2.6 or newer, and bash?")
            time.sleep(_POLL)
