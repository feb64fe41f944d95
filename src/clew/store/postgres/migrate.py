"""
Bring a schema to what this Clew knows.

Migrations are numbered files; `clew_schema` says which ran. Each runs in one transaction with its
number, under a lock, so that one that is killed starts again, none runs twice, and of several
servers that start at once the others wait.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

from clew.errors import ConfigError, SchemaTooNew, StoreUnavailable
from clew.store.postgres import locks
from clew.store.postgres.connect import LOCK_TIMEOUT_MS, SETTING, Connection

_FILE = re.compile(r"(\d{4})_\w+\.sql")

_OURS = ("projects", "traces", "trace_spans", "trace_metrics", "scores", "keys", "facts", "graph_nodes", "graph_edges")
"""If one of these is there without `clew_schema`, it is somebody else's."""

_WHERE = """
SELECT current_schema(), current_setting('server_encoding'), to_regclass('clew_schema') IS NOT NULL,
       (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
         WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relname = ANY(%(ours)s))
"""


class Migration(NamedTuple):
    """One step from a schema to the next."""

    number: int
    sql: str


def migrations() -> list[Migration]:
    """Every migration that ships with this Clew, in order."""
    folder = files("clew.store.postgres").joinpath("migrations")
    found = [
        Migration(int(match.group(1)), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    return sorted(found)


def check(connection: Connection, place: str, *, known: int) -> int:
    """
    Give the schema's number, 0 for an empty one. Reads only.

    Raises:
        SchemaTooNew: it is over *known*.
        StoreUnavailable: tables of another program have our names.
        ConfigError: the schema named in the URL is not there, or the database cannot hold every character.
    """
    row = connection.execute(_WHERE, {"ours": list(_OURS)}, prepare=False).fetchone()
    assert row is not None
    schema, encoding, is_ours, strangers = row
    if schema is None:
        raise ConfigError(SETTING, f"the search_path of {place} names no schema that is there; CREATE SCHEMA it")
    if encoding != "UTF8":
        raise ConfigError(SETTING, f"{place} is encoded in {encoding}; make a database WITH ENCODING 'UTF8'")
    if not is_ours and strangers:
        raise StoreUnavailable(
            f"{place} has tables of another program ({strangers}); name another database, "
            "or a schema of its own: ?options=-csearch_path%3Dclew"
        )
    found = _done(connection) if is_ours else 0
    if found > known:
        raise SchemaTooNew(found=found, known=known)
    return found


def _done(connection: Connection) -> int:
    row = connection.execute("SELECT coalesce(max(number), 0) FROM clew_schema", prepare=False).fetchone()
    return int(row[0]) if row else 0


def migrate(connection: Connection, steps: list[Migration]) -> None:
    """Run those of *steps* that the schema has not seen, each in its own transaction."""
    if _is_made(connection) and _done(connection) >= steps[-1].number:
        return
    # Another server may be making the same, which is worth waiting for.
    connection.execute("SET lock_timeout = 0", prepare=False)
    locks.lock(connection, "migrate")
    try:
        for step in steps[_done(connection) if _is_made(connection) else 0 :]:
            with connection.transaction():
                connection.execute(step.sql.encode(), prepare=False)
                connection.execute("INSERT INTO clew_schema (number) VALUES (%s)", (step.number,), prepare=False)
    finally:
        if not connection.broken:
            locks.unlock(connection, "migrate")
            connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode(), prepare=False)


def _is_made(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('clew_schema') IS NOT NULL", prepare=False).fetchone()
    return row is not None and row[0] is True
