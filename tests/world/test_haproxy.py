"""HAProxy's language: what is written into its files, said on its socket, and read from its answers; without any HAProxy."""

import pytest

from mlops.core.errors import Refused
from mlops.core.fronts import Front, Traffic
from mlops.world import haproxy

FRONT = Front("rollout.credit", "haproxy:2.6", "127.0.0.1", 8080, "credit", {"stable": ("credit-1:8080",), "candidate": ()})
STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 exporter 1 s1 172.18.0.2 2 0 1 1 2 15 3 2 6 0 0 0 - 8080 - 0 0 - - 0
3 stable 1 s1 172.18.0.2 2 0 1 1 2 15 3 2 6 0 0 0 credit-1 8080 - 0 0 - - 0
3 stable 2 s2 0.0.0.0 0 5 1 1 2 1 0 0 14 0 0 0 - 80 - 0 0 - - 0
4 candidate 1 s1 172.18.0.4 2 76 1 1 1 15 3 2 6 0 0 0 credit-2 8080 - 0 0 - - 0
4 candidate 2 s2 172.18.0.5 0 68 1 1 1 8 2 0 6 0 0 0 credit-3 8080 - 0 0 - - 0
4 candidate 3 s3 172.18.0.6 2 68 1 1 1 8 2 1 6 0 0 0 credit-4 8080 - 0 0 - - 0
"""


def test_places_tell_who_is_well_and_who_drains():
    """As HAProxy 2.6.12 answered; 76 is drain, 68 none, and a health of 1 is a server that no check has passed yet."""
    found = {(place.track, place.name): place for place in haproxy.places(STATES)}
    assert found.keys() == {("stable", "s1"), ("stable", "s2"), ("candidate", "s1"), ("candidate", "s2"), ("candidate", "s3")}
    assert (found["stable", "s1"].server, found["stable", "s1"].is_well) == ("credit-1:8080", True)
    assert found["stable", "s2"].is_free
    assert (found["candidate", "s1"].is_draining, found["candidate", "s1"].is_well) == (True, True)
    assert [found["candidate", name].is_well for name in ("s2", "s3")] == [False, False]
    assert haproxy.places("nonsense") == []


def test_a_server_that_enters_gets_no_request_before_its_check_passed():
    place = haproxy.Place("candidate", "s3", "-:80", is_free=True, is_draining=False, is_well=False)
    assert list(haproxy.enter(place, "credit-9:8081")) == [
        "set server candidate/s3 addr 0.0.0.0 port 8081",
        "set server candidate/s3 fqdn credit-9",
        "enable health candidate/s3",
        "set server candidate/s3 state drain",
    ]


def test_a_server_that_comes_back_to_its_place_is_renamed_twice_or_its_name_would_never_be_resolved():
    """Measured with HAProxy 2.6.12: after `addr` a name that is told again is not resolved, and the server stays at 0.0.0.0."""
    place = haproxy.Place("stable", "s2", "credit-2:8080", is_free=True, is_draining=False, is_well=False)
    told = list(haproxy.enter(place, "credit-2:8080"))
    assert [line for line in told if "fqdn" in line] == [
        "set server stable/s2 fqdn nobody.invalid",
        "set server stable/s2 fqdn credit-2",
    ]
    assert "addr 0.0.0.0" in told[1]


@pytest.mark.parametrize("text", ["a b", "a;quit", "a\nb", "", "-x", 'a"', "a{b}"])
def test_nothing_but_plain_words_gets_into_files_and_onto_the_socket(text):
    with pytest.raises(Refused, match="cannot be told to a proxy"):
        list(haproxy.enter(haproxy.Place("stable", "s1", "-:80", is_free=True, is_draining=False, is_well=False), f"{text}:80"))
    headers = (("x-canary", text),)
    front = Front("rollout.credit", "haproxy:2.6", "127.0.0.1", 8080, "credit", {}, headers=headers)
    with pytest.raises(Refused, match="cannot be told to a proxy"):
        haproxy.config(front, {})


def test_only_servers_change_without_a_reload():
    before = haproxy.config(FRONT, {("stable", "s1"): "credit-1:8080"})
    after = haproxy.config(FRONT, {("stable", "s7"): "credit-9:8080", ("candidate", "s1"): "credit-2:8080"})
    assert before != after
    assert haproxy.static(before) == haproxy.static(after)
    sticky = Front("rollout.credit", "haproxy:2.6", "127.0.0.1", 8080, "credit", {}, sticky="x-user")
    assert haproxy.static(haproxy.config(sticky, {})) != haproxy.static(before)


def test_the_map_has_the_weight_and_the_open_route():
    headers = (("X-Canary", "always"), ("x-user", "7"))
    front = Front("rollout.credit", "", "", 1, "credit", {}, weight=1234, headers=headers, header=headers[0])
    values = haproxy.routes(front)
    assert values == {"weight": 1234, "x-canary=always": 1, "x-user=7": 0}
    assert haproxy.map_text(values) == "weight 1234\nx-canary=always 1\nx-user=7 0\n"
    answer = "0x55d0 weight 1234\n0x55d1 x-canary=always 1\n0x55d2 x-user=7 0\n"
    assert haproxy.map_values(answer) == values
    assert haproxy.header_of(values) == ("x-canary", "always")
    assert haproxy.header_of({"weight": 5, "x-user=7": 0}) is None


def test_traffic_is_the_backends_own():
    stat = "# pxname,svname,req_tot,hrsp_5xx,rtime,scur,qcur\nstable,s1,7,1,3,2,1\nstable,BACKEND,9,2,1500,2,\ncandidate,BACKEND,,,,,\n"
    rows = haproxy.table(stat)
    assert haproxy.traffic(rows) == {"stable": Traffic(9, 2, 1.5), "candidate": Traffic()}
    place = haproxy.Place("stable", "s1", "credit-1:8080", is_free=False, is_draining=True, is_well=True)
    assert haproxy.in_flight(rows, place) == 3
