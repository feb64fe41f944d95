"""What of a server's settings the promises of a store stand on."""

from __future__ import annotations

from typing import NamedTuple

from clew.store.postgres import connect
from clew.store.url import shown

CONNECTIONS_OF_A_SERVER = 10
"""One writes, one learns, and as many read as questions are answered at once."""

_NEEDED = ("fsync", "full_page_writes")
_ASK = """
SELECT ARRAY(SELECT name FROM pg_settings WHERE name = ANY(%(needed)s) AND setting = 'off' ORDER BY name),
       current_setting('max_connections')::integer,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


class Health(NamedTuple):
    """What was found."""

    not_durable: list[str]
    """Settings that are off, without which a power failure takes what was acknowledged."""
    max_connections: int
    connections_left: int


def examine(url: str) -> Health:
    """
    Ask the server at *url*.

    Raises:
        StoreUnavailable, ConfigError: it cannot be asked.
    """
    with (
        connect.translated(shown(url), opening=True),
        connect.open_connection(connect.conninfo(url), to_write=False) as connection,
    ):
        row = connection.execute(_ASK.encode(), {"needed": list(_NEEDED)}).fetchone()
    assert row is not None
    not_durable, most, used = row
    return Health(not_durable, most, most - used)
