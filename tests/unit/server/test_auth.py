"""Who asks, and whether they may."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from clew.server.auth import (
    COOKIE,
    SESSION_S,
    Caller,
    Gate,
    Policy,
    Sessions,
    admit,
    hash_key,
    new_key,
    presented_key,
)
from clew.server.problem import Forbidden, Unauthenticated
from clew.store.protocol import KeyRecord


def request(method: str = "POST", *, peer: str = "127.0.0.1", **headers: str) -> Request:
    """Give a request with these headers; `_` in a name means `-`."""
    given = {"host": "127.0.0.1:4319"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": raw, "client": (peer, 5)})


def gate(keys: dict[str, KeyRecord] | None = None, *, admin_key: str = "", local: bool = True, now=lambda: 0.0) -> Gate:
    """Give a gate over a dict of keys."""
    return Gate((keys or {}).get, admin_key=admin_key, bound_to_loopback=local, now=now)


def record(scope: str, project: str = "default", key: str = "k") -> KeyRecord:
    """Give the record of a key."""
    return KeyRecord(key_hash=hash_key(key), scope=scope, project=project, label="", created_ns=0)


def test_keys_are_random_and_long():
    """256 bits need neither salt nor slow hashing."""
    assert new_key("read") != new_key("read")
    assert len(new_key("read")) >= len("clew_read_") + 43


def test_from_this_machine_spans_are_taken_without_a_key():
    """A newcomer's first trace needs no setup."""
    assert gate().claimed_hash(request(), Policy.INGEST) is None


@pytest.mark.parametrize("policy", [Policy.READ, Policy.ADMIN])
def test_reading_always_needs_a_key(policy):
    """Other users of this machine, and pages in its browser, are on loopback too."""
    with pytest.raises(Unauthenticated):
        gate().claimed_hash(request("GET"), policy)


@pytest.mark.parametrize(
    ("bound_to_loopback", "peer", "host"),
    [
        (False, "127.0.0.1", "127.0.0.1:4319"),
        (True, "10.0.0.9", "127.0.0.1:4319"),
        (True, "127.0.0.1", "traces.example.com"),
    ],
)
def test_only_what_is_local_in_every_way_goes_without_a_key(bound_to_loopback, peer, host):
    """A proxy on this machine makes the whole world look local, except in the Host header."""
    with pytest.raises(Unauthenticated):
        gate(local=bound_to_loopback).claimed_hash(request(peer=peer, host=host), Policy.INGEST)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_write_through_the_browser(headers):
    """The browser is on this machine as well, and needs no key either."""
    with pytest.raises(Forbidden):
        gate().claimed_hash(request(**headers), Policy.INGEST)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"x_api_key": "abc"}, "abc"),
        ({}, None),
        ({"authorization": "Basic abc"}, ""),
        ({"authorization": "abc"}, ""),
        ({"authorization": ""}, ""),
        ({"authorization": "Bearer " + "x" * 513}, ""),
        ({"x_api_key": "x" * 513}, ""),
        ({"x_api_key": ""}, ""),
    ],
)
def test_a_header_that_cannot_be_read_is_a_wrong_key_not_a_missing_one(headers, key):
    """Otherwise a typing mistake on loopback would silently write to the default project."""
    assert presented_key(request(**headers)) == key


def test_a_presented_key_is_looked_up_even_where_none_is_needed():
    """A wrong one is always 401, so that nobody believes theirs works."""
    assert gate().claimed_hash(request(authorization="Bearer wrong"), Policy.INGEST) == hash_key("wrong")
    assert gate().look_up(hash_key("wrong")) is None


def test_the_configured_admin_key_is_never_in_the_store():
    """Changing the variable revokes it."""
    found = gate(admin_key="sesame").look_up(hash_key("sesame"))

    assert found is not None
    assert (found.scope, found.project) == ("admin", "*")


def test_no_admin_key_configured_means_that_the_empty_key_opens_nothing():
    """An unset variable must not equal an empty header."""
    assert gate(admin_key="").look_up(hash_key("")) is None


def test_a_revoked_key_dies_within_seconds():
    """The gate remembers keys, but not for long."""
    keys, clock = {hash_key("k"): record("read")}, [0.0]
    door = gate(keys, now=lambda: clock[0])
    assert door.look_up(hash_key("k"))

    keys.clear()
    clock[0] = Gate.REMEMBER_S + 0.1

    assert door.look_up(hash_key("k")) is None


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        ("ingest", {Policy.INGEST, Policy.OPERATE}),
        ("read", {Policy.READ, Policy.OPERATE}),
        ("admin", {Policy.INGEST, Policy.OPERATE, Policy.READ, Policy.ADMIN}),
        ("invented", set()),
        ("", set()),
    ],
)
def test_a_scope_opens_its_own_doors_and_no_others(scope, opens):
    """The whole table of scopes and policies."""
    for policy in Policy:
        caller = Caller(scope, "p")
        if policy in opens:
            assert admit(caller, policy) is caller
        else:
            with pytest.raises(Forbidden):
                admit(caller, policy)


def test_policies_are_distinct():
    """Two policies with equal scopes would become one member of the enum."""
    assert len(Policy) == len(Policy.__members__) == 5


def test_a_key_stays_in_its_project():
    """The project comes from the credential; a parameter may only repeat it."""
    caller = Caller("read", "shop")

    assert caller.project_for(None) == caller.project_for("shop") == "shop"
    with pytest.raises(Forbidden):
        caller.project_for("other")
    assert Caller("admin", "*").project_for("other") == "other"
    assert Caller("admin", "*").project_for(None) == "default"


def test_a_session_is_good_until_it_expires():
    """A cookie that somebody kept is worth nothing later."""
    clock = [1_000.0]
    sessions = Sessions(now=lambda: clock[0])
    cookie = sessions.sign("abc")
    assert sessions.key_hash(cookie) == "abc"

    clock[0] += SESSION_S

    assert sessions.key_hash(cookie) is None


@pytest.mark.parametrize(
    "change", [lambda c: "x" + c, lambda c: c[:-1], lambda c: c + "0", lambda c: "", lambda c: "é.1.ü"]
)
def test_a_session_that_was_changed_is_none(change):
    """The signature covers all of it."""
    sessions = Sessions()

    assert sessions.key_hash(change(sessions.sign("abc"))) is None


def test_another_process_signs_otherwise():
    """The secret is never written down."""
    assert Sessions().key_hash(Sessions().sign("abc")) is None


def test_a_cookie_writes_only_for_its_own_origin():
    """CSRF: the browser adds the cookie whoever asks; the page adds an Origin that is ours."""
    door = gate({hash_key("k"): record("admin", "*")})
    cookie = f"{COOKIE}={door.sessions.sign(hash_key('k'))}"

    for headers in ({}, {"origin": "https://evil.example"}, {"sec_fetch_site": "same-site"}):
        with pytest.raises(Forbidden):
            door.claimed_hash(request(cookie=cookie, **headers), Policy.INGEST)
    same = request(cookie=cookie, origin="http://127.0.0.1:4319")
    assert door.claimed_hash(same, Policy.INGEST) == hash_key("k")
    assert door.claimed_hash(request("GET", cookie=cookie), Policy.READ) == hash_key("k")
