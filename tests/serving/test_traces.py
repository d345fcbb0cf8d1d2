"""The W3C's trace context and request ids: read, held to the rules, passed on."""

import re

import pytest

from mlops.serving import traces

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_trace_is_passed_on_with_a_span_of_our_own():
    """The trace id, the flags and the state stay; the parent of what follows is this request."""
    call = traces.read({"traceparent": PARENT, "tracestate": "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"})
    headers = dict(call.headers())
    found = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"])
    assert found[1] != "b7ad6b7169203331"
    assert headers["tracestate"] == "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    assert call.fields() == {"trace_id": TRACE, "span_id": found[1], "parent_id": "b7ad6b7169203331"}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT.replace("00-", "ff-", 1),
        PARENT + "-more",
        PARENT + "0",
        PARENT[:-1],
        PARENT.replace("-", "_"),
        PARENT + "\n",
    ],
)
def test_a_traceparent_that_is_not_valid_is_taken_for_none(parent):
    """Nothing of it is passed on, neither in the answer nor in the log."""
    assert traces.read({"traceparent": parent, "tracestate": "a=b"}).headers() == ()


def test_a_later_version_is_read_as_far_as_it_is_known():
    """A higher version may say more behind the flags; what is passed on is version 00."""
    call = traces.read({"traceparent": f"01-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"})
    assert dict(call.headers())["traceparent"].startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a=1",
        "a=1,b=2",
        "fw529a3039@dt=FfAl",
        "a=1,,b=2",
        "a = no",
        "a=x y",
        "A=1",
        "a",
        ",".join(f"k{n}=1" for n in range(33)),
    ],
)
def test_only_a_valid_tracestate_is_passed_on(state):
    """One member that is none, or more than 32, and the state is left out; the trace stays."""
    is_valid = state in ("a=1", "a=1,b=2", "fw529a3039@dt=FfAl", "a=1,,b=2", "a=x y")
    headers = dict(traces.read({"traceparent": PARENT, "tracestate": state}).headers())
    assert "traceparent" in headers
    assert headers.get("tracestate") == (state if is_valid else None)


@pytest.mark.parametrize(("given", "kept"), [("abc-1", "abc-1"), ("", ""), ("a b", ""), ("x" * 129, ""), ("ä", "")])
def test_a_request_id_is_echoed_where_it_is_a_word(given, kept):
    """An id that could break a log line or a header is taken for none."""
    call = traces.read({"x-request-id": given})
    assert dict(call.headers()).get("x-request-id", "") == kept


def test_a_request_without_an_id_gets_one_where_it_is_needed():
    """The caller's header wins over the body's id, and that over a new one."""
    call = traces.read({"x-request-id": "mine"})
    assert traces.named(call, "body").id == "mine"
    nobody = traces.read({})
    assert traces.named(nobody, "body").id == "body"
    assert traces.named(nobody, None).id != traces.named(nobody, None).id
