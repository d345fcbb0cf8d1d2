"""What names one request: its own id, and its place in a distributed trace; read from the headers and passed on.

Source: W3C Trace Context. A `traceparent` that is not valid is taken for none, as the recommendation asks; this server then begins no trace
of its own. `inferring` reads it for each request; answers, payload log, request log and mirror carry it on.
"""

import re
from os import urandom
from typing import NamedTuple
from uuid import uuid4

from mlops.serving.answers import Headers

ID = "x-request-id"
PARENT = "traceparent"
STATE = "tracestate"

# version, trace, parent, flags; versions after 00 may say more behind it.
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_MEMBER = re.compile(rf"[ \t]*(?:{_KEY}=[ -+\--<>-~]{{0,255}}[!-+\--<>-~])?[ \t]*")
_MOST_MEMBERS = 32
_NAMED = re.compile(r"[!-~]{1,128}")  # of an id: printable, without spaces


class Trace(NamedTuple):
    """A trace, the caller's span in it, and the span that is this request."""

    trace: str
    parent: str
    span: str
    flags: str
    state: str

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what is passed on: this request's span as the parent."""
        parent = (PARENT, f"00-{self.trace}-{self.span}-{self.flags}")
        return (parent, (STATE, self.state)) if self.state else (parent,)

    def fields(self) -> dict[str, str]:
        """Return the fields of a log line."""
        return {"trace_id": self.trace, "span_id": self.span, "parent_id": self.parent}


class Call(NamedTuple):
    """The names of one request: the caller's id, empty where there is none, and the trace."""

    id: str
    trace: Trace | None

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what stands in the answer."""
        own = ((ID, self.id),) if self.id else ()
        return (*own, *self.trace.headers()) if self.trace else own

    def fields(self) -> dict[str, str]:
        """Return the fields of a log line."""
        return {**({"request_id": self.id} if self.id else {}), **(self.trace.fields() if self.trace else {})}


UNNAMED = Call("", None)


def read(headers: Headers) -> Call:
    """Return what the headers say; what is not valid in them is taken for absent."""
    own, parent = headers.get(ID), headers.get(PARENT)
    if own is None and parent is None:
        return UNNAMED
    found = own if own is not None and _NAMED.fullmatch(own) else ""
    return Call(found, None if parent is None else _trace(parent, headers.get(STATE)))


def named(call: Call, other: str | None) -> Call:
    """Return the call with an id in any case: its own, else `other`, such as the id in a body, else a new one."""
    return call if call.id else call._replace(id=other or uuid4().hex)


def _trace(parent: str, state: str | None) -> Trace | None:
    found = _PARENT.fullmatch(parent)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return Trace(found[2], found[3], urandom(8).hex(), found[4], _valid(state or ""))


def _valid(state: str) -> str:
    """Return a tracestate as it is, or nothing where one of its members is none."""
    members = state.split(",")
    return state if len(members) <= _MOST_MEMBERS and all(map(_MEMBER.fullmatch, members)) else ""
