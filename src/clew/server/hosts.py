"""
Under which names the server may be reached.

A page on some other site can point its own name at this machine (DNS rebinding), and then the
browser sees no other site at all. But the Host header still holds that name. An address instead
of a name is safe: nobody can re-point it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable


def is_loopback(host: str) -> bool:
    """Whether *host* (a name or an address, no port) always means this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def host_name(header: str) -> str:
    """Give the name or address in a Host header: lower case, no port, no brackets; "" if malformed."""
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and _is_port(rest) else ""
    name, colon, port = text.partition(":")
    return name.rstrip(".") if _is_port(colon + port) else ""


class AllowedHosts:
    """The names that are ours: loopback, the bound address, and those that were configured."""

    def __init__(self, bound: str, more: Iterable[str] = ()) -> None:
        self._names = {bound.lower(), *(name.strip().lower() for name in more if name.strip())}
        address = _address(bound)
        # Bound to one address, only that one is ours; bound to all, any address might be.
        self._any_address = address is not None and address.is_unspecified

    def __contains__(self, header: object) -> bool:
        """Whether a Host header with this value is meant for us."""
        name = host_name(header) if isinstance(header, str) else ""
        if not name:
            return False
        return is_loopback(name) or name in self._names or (self._any_address and _address(name) is not None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_port(text: str) -> bool:
    return text == "" or re.fullmatch(":[0-9]{1,5}", text) is not None
