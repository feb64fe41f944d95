"""Under which names the server may be reached."""

from __future__ import annotations

import pytest

from clew.server.hosts import AllowedHosts, is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4319",
        "127.0.0.1",
        "localhost:4319",
        "LocalHost",
        "localhost.",
        "[::1]:4319",
        "127.9.9.9",
        "x.localhost",
    ],
)
def test_this_machine_is_always_ours(host):
    """Loopback names cannot be pointed elsewhere."""
    assert host in AllowedHosts("127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4319",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.7:4319",
        "",
        ":4319",
        "[::1",
        "[::1]x",
        "127.0.0.1:80:80",
        "localhost:\uff14\uff13",
        "127.0.0.1@evil.example",
    ],
)
def test_a_foreign_name_is_not(host):
    """It is what a browser sends after DNS rebinding."""
    assert host not in AllowedHosts("127.0.0.1")


def test_names_can_be_allowed():
    """Behind a proxy the server has a public name."""
    hosts = AllowedHosts("10.0.0.7", ["Traces.Example.com", ""])

    assert "traces.example.com:443" in hosts
    assert "10.0.0.7:4319" in hosts
    assert "10.0.0.8:4319" not in hosts
    assert "" not in hosts


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_bound_to_all_addresses_any_address_is_ours_but_no_name(bound):
    """An address cannot be re-pointed by whoever owns a name."""
    hosts = AllowedHosts(bound)

    assert "10.1.2.3:4319" in hosts
    assert "[fd00::1]:4319" in hosts
    assert "evil.example" not in hosts


def test_loopback_is_judged_by_address_not_by_looks():
    """A name may begin like an address."""
    assert is_loopback("::1")
    assert not is_loopback("127.0.0.1.example.com")
    assert not is_loopback("")
    assert not is_loopback("0.0.0.0")
