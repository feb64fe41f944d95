"""Where a ClickHouse store is, read from its URL. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from clew.errors import ConfigError

SETTING = "store"

_FORM = "it looks like clickhouse://user:password@host:8123/database?cluster=name"
_PORT, _TLS_PORT = 8123, 8443
_is_name = re.compile(r"[A-Za-z0-9_]\w{0,99}", re.ASCII).fullmatch


class Target(NamedTuple):
    """What a URL says."""

    hosts: tuple[tuple[str, int], ...]
    """Name and HTTP port of each server; the first that answers is asked, all of them hold tables."""
    user: str
    password: str
    database: str
    secure: bool
    cluster: str
    """Empty: the tables are of one server."""
    replicated: bool
    keep_days: int | None
    """After so many days without asking, ClickHouse drops a day of traces."""


def read_target(url: str) -> Target:
    """
    Read a store's URL.

    Raises:
        ConfigError: it cannot be read; says why, without its password.
    """
    parts = urlsplit(url)
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - {"secure", "cluster", "replicated", "keep_days"})
    if unknown:
        raise ConfigError(SETTING, f"this URL has an unknown option {unknown[0][:40]!r}; {_FORM}")
    secure = _is_on(options, "secure")
    database = unquote(parts.path.strip("/")) or "default"
    cluster = options.get("cluster", "")
    for what, name in (("database", database), ("cluster", cluster or "none")):
        if not _is_name(name):
            raise ConfigError(SETTING, f"{name[:100]!r} is no name of a {what}; letters, digits and _ make one")
    return Target(
        hosts=tuple(_host(place, _TLS_PORT if secure else _PORT) for place in places.split(",")),
        user=unquote(user) or "default",
        password=unquote(password),
        database=database,
        secure=secure,
        cluster=cluster,
        replicated=_is_on(options, "replicated"),
        keep_days=_days(options.get("keep_days")),
    )


def _host(place: str, port: int) -> tuple[str, int]:
    host, colon, given = place.rpartition(":")
    if not colon or given.endswith("]"):
        host, given = place, str(port)
    if not host or not given.isdigit():
        raise ConfigError(SETTING, f"this URL names no host, or a port that is none; {_FORM}")
    return host, int(given)


def _is_on(options: dict[str, str], name: str) -> bool:
    value = options.get(name, "0")
    if value not in ("0", "1"):
        raise ConfigError(SETTING, f"{name} is 0 or 1, not {value[:40]!r}")
    return value == "1"


def _days(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or not 1 <= int(value) <= 36_500:
        raise ConfigError(SETTING, f"keep_days is a number of days from 1 to 36500, not {value[:40]!r}")
    return int(value)
