"""HAProxy's language: what `proxies` writes into its files and says on its runtime socket, and what the answers mean. Pure.

The configuration has a fixed number of places for servers in each track, and every name that the routing asks the map for. So all that a
delivery does (servers come and go, weights, routes by header) is said on the socket and needs no reload; and the same files, rewritten each
time, bring a proxy that was started anew to where it was. Servers are named and not numbered: Docker's DNS tells their addresses, and
HAProxy follows when a replica is started again with another one. Measured with HAProxy 2.6.12; its `doc/management.txt` and
`doc/configuration.txt` describe every word used here.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.errors import Refused
from mlops.core.fronts import TRACKS, Front, Track, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PORT = 8000  # where the proxy listens, inside its container
ADMIN = 9999  # its runtime socket, on the container's own loopback: nobody outside of it can connect
EXPORTER = 8404  # its metrics for Prometheus, for those in the project's network
FOLDER = "/etc/mlops-proxy/now"
CONFIG = f"{FOLDER}/haproxy.cfg"
MAP = f"{FOLDER}/routes.map"
NOTE = f"{FOLDER}/note.json"
PLACES = 130  # of each track: the most replicas that a spec may ask for, as many that are leaving, and some

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@=-]*")
_NOBODY = "nobody.invalid"  # a name that is never there (RFC 6761)
_MAINTAINED = 0x01  # SRV_ADMF_FMAINT of srv_admin_state: the place is free
_DRAINED = 0x08  # SRV_ADMF_FDRAIN: its server gets no new request
_UNRESOLVED = 0x20  # SRV_ADMF_RMAINT: Docker's DNS does not know the name (any more)
_RUNNING = 2  # SRV_ST_RUNNING of srv_op_state
_CHECKED = 2  # rise + fall - 1, where srv_check_health stands once a check has passed; a server that enters begins one below

_HEAD = f"""\
# written by mlops; what is changed here by hand is overwritten
global
  maxconn 4096
  stats socket ipv4@127.0.0.1:{ADMIN} level admin expose-fd listeners

resolvers docker
  nameserver engine 127.0.0.11:53
  resolve_retries 2
  timeout resolve 1s
  timeout retry 500ms
  hold valid 1s

defaults
  mode http
  maxconn 4096
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout queue 5s
  retries 3
  option redispatch 1
  option idle-close-on-response
  default-server check inter 500ms fastinter 200ms downinter 300ms fall 2 rise 1 resolvers docker init-addr none

frontend exporter
  bind :{EXPORTER}
  http-request use-service prometheus-exporter if {{ path /metrics }}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One place for a server, as the proxy has it."""

    track: Track
    name: str
    server: str  # HOST:PORT; of a free place, whatever it had last
    is_free: bool
    is_draining: bool
    is_well: bool  # it has passed its check since it has this place


def config(front: Front, places: Mapping[tuple[Track, str], str]) -> str:
    """Return the configuration; `places` says which server has which (track, place)."""
    tracks = "".join(_backend(front, track, places) for track in TRACKS)
    return f"{_HEAD}\n{_frontend(front)}{tracks}"


def static(text: str) -> str:
    """Return what of a configuration only a reload can change: all but the servers."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("  server "))


def _frontend(front: Front) -> str:
    chance = "http-request set-var(txn.chance) rand(10000)"
    sticky = f"http-request set-var(txn.chance) req.hdr({_safe(front.sticky)}),xxh32,mod(10000)" if front.sticky else ""
    lines = [
        f"bind :{PORT}",
        "http-request deny deny_status 404 if { path_beg /admin }",
        f"http-request set-var(txn.weight) str(weight),map_str_int({MAP},0)",
        f"{chance} {'if !{ req.hdr(' + front.sticky + ') -m found }' if front.sticky else ''}".rstrip(),
        f"{sticky} if {{ req.hdr({front.sticky}) -m found }}" if front.sticky else "",
        "http-request set-var(txn.rest) var(txn.chance),sub(txn.weight)",
    ]
    for name, value in front.headers:
        chosen = (
            f"{{ str({_route((name, value))}),map_str_int({MAP},0) eq 1 }} {{ req.hdr({_safe(name)}) -m str {_safe(value)} }}"
        )
        lines.append(f"use_backend candidate if {chosen} {{ nbsrv(candidate) gt 0 }}")
    lines += [
        "use_backend candidate if { var(txn.rest) -m int lt 0 } { nbsrv(candidate) gt 0 }",
        "default_backend stable",  # and where the candidate has nobody, it is asked in its place
    ]
    return "frontend public\n" + "".join(f"  {line}\n" for line in lines if line)


def _backend(front: Front, track: Track, places: Mapping[tuple[Track, str], str]) -> str:
    lines = [
        "option httpchk",
        f"http-check send meth GET uri /v2/models/{_safe(front.model)}/ready",
        "http-check expect status 200",
        f"http-response set-header x-mlops-track {track}",
    ]
    for number in range(1, PLACES + 1):
        server = places.get((track, f"s{number}"))
        lines.append(f"server s{number} {_safe(server)}" if server else f"server s{number} 0.0.0.0:80 disabled")
    return f"\nbackend {track}\n" + "".join(f"  {line}\n" for line in lines)


def routes(front: Front) -> dict[str, int]:
    """Return the map that the routing asks: the weight, and which route by header is open."""
    return {"weight": front.weight, **{_route(pair): int(pair == front.header) for pair in front.headers}}


def map_text(values: Mapping[str, int]) -> str:
    """Return the map as its file has it."""
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _route(header: tuple[str, str]) -> str:
    return f"{header[0].lower()}={header[1]}"


def _safe(text: str | None) -> str:
    """Return a word that means itself in a configuration and on the socket."""
    if text is None or not _SAFE.fullmatch(text):
        message = f"'{text}' cannot be told to a proxy"
        raise Refused(message, "use letters, digits and . _ : + @ = -, beginning with a letter or digit")
    return text


def header_of(values: Mapping[str, int]) -> tuple[str, str] | None:
    """Return the (name, value) of the route by header that is open in a map, or None."""
    for name, value in values.items():
        if value and "=" in name:
            before, _, after = name.partition("=")
            return before, after
    return None


# -- what is said ------------------------------------------------------------------------------------------------------


def enter(place: Place, server: str) -> Iterator[str]:
    """Yield the commands that give a free place to a server. It is checked and gets no request yet.

    HAProxy takes a server that leaves maintenance for well until a check says otherwise; one that drains gets no request meanwhile.
    It resolves no name after `addr` until it is told another name than it had: one that comes back to its place is renamed twice.
    """
    name = f"{place.track}/{place.name}"
    host, _, port = _safe(server).rpartition(":")
    if place.server.rpartition(":")[0] == host:
        yield f"set server {name} fqdn {_NOBODY}"
    yield f"set server {name} addr 0.0.0.0 port {port}"
    yield f"set server {name} fqdn {host}"
    yield f"enable health {name}"
    yield f"set server {name} state drain"


def take(place: Place) -> str:
    """Return the command after which a server that is well gets requests."""
    return f"set server {place.track}/{place.name} state ready"


def leave(place: Place) -> str:
    """Return the command after which a server gets no new request."""
    return f"set server {place.track}/{place.name} state drain"


def left(place: Place) -> str:
    """Return the command that frees the place."""
    return f"set server {place.track}/{place.name} state maint"


def route(values: Mapping[str, int]) -> Iterator[str]:
    """Yield the commands that change the map; each takes hold at once for the requests that follow."""
    for name, value in values.items():
        yield f"set map {MAP} {name} {value}"


# -- what is answered --------------------------------------------------------------------------------------------------


def places(states: str) -> list[Place]:
    """Return the places that an answer to `show servers state` tells (format version 1)."""
    lines = [line for line in states.splitlines() if line.strip()]
    head = next((number for number, line in enumerate(lines) if line.startswith("# be_id")), None)
    if head is None:
        return []
    names = lines[head].removeprefix("# ").split()
    found = []
    for line in lines[head + 1 :]:
        row = dict(zip(names, line.split(), strict=False))
        if row.get("be_name") in TRACKS:
            found.append(_place(row))
    return found


def _place(row: Mapping[str, str]) -> Place:
    admin = int(row["srv_admin_state"])
    track: Track = "stable" if row["be_name"] == "stable" else "candidate"
    is_well = int(row["srv_op_state"]) == _RUNNING and int(row["srv_check_health"]) >= _CHECKED and not admin & _UNRESOLVED
    is_free = bool(admin & _MAINTAINED) or row["srv_fqdn"] == "-"
    return Place(track, row["srv_name"], f"{row['srv_fqdn']}:{row['srv_port']}", is_free, bool(admin & _DRAINED), is_well)


def table(stat: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of an answer to `show stat` by (proxy, server)."""
    text = stat.strip().removeprefix("# ")
    return {(row["pxname"], row["svname"]): row for row in csv.DictReader(text.splitlines())} if text else {}


def traffic(rows: Mapping[tuple[str, str], Mapping[str, str]]) -> dict[Track, Traffic]:
    """Return what each track was asked: failed are its answers from 500 on, which include those that the proxy gave in its place."""
    found: dict[Track, Traffic] = {}
    for track in TRACKS:
        row = rows.get((track, "BACKEND"))
        if row is not None:
            found[track] = Traffic(_number(row["req_tot"]), _number(row["hrsp_5xx"]), _number(row["rtime"]) / 1000)
    return found


def in_flight(rows: Mapping[tuple[str, str], Mapping[str, str]], place: Place) -> int:
    """Return how many requests a server has not answered yet."""
    row = rows.get((place.track, place.name), {})
    return _number(row.get("scur", "")) + _number(row.get("qcur", ""))


def map_values(answer: str) -> dict[str, int]:
    """Return what an answer to `show map` has; a line is `ID NAME VALUE`."""
    rows = [line.split() for line in answer.splitlines() if line.startswith("0x")]
    return {row[1]: int(row[2]) for row in rows if len(row) == 3 and row[2].isdecimal()}  # noqa: PLR2004 - those three


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
