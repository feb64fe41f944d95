"""
Bring a file to the schema that this Clew knows.

Migrations are numbered files; `PRAGMA user_version` says which was the last. Each runs in one
transaction with its number, so that one that is killed starts again and none runs twice.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import apsw

from clew.errors import SchemaTooNew, StoreUnavailable
from clew.store.sqlite.connect import APPLICATION_ID

_FILE = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """One step from a schema to the next."""

    number: int
    sql: str


def migrations() -> list[Migration]:
    """Every migration that ships with this Clew, in order."""
    folder = files("clew.store.sqlite").joinpath("migrations")
    found = [
        Migration(int(match.group(1)), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := _FILE.fullmatch(entry.name))
    ]
    return sorted(found)


def check(connection: apsw.Connection, path: str, *, known: int) -> int:
    """
    Give the file's schema number, 0 for an empty file. Reads only.

    Raises:
        SchemaTooNew: it is over *known*.
        StoreUnavailable: the file belongs to another program.
    """
    found = int(connection.pragma("user_version"))
    owner = int(connection.pragma("application_id"))
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != APPLICATION_ID and (owner or found or tables):
        raise StoreUnavailable(f"{path} is an SQLite file of another program, not a Clew store; name another")
    if found > known:
        raise SchemaTooNew(found=found, known=known)
    return found


def migrate(connection: apsw.Connection, steps: list[Migration]) -> None:
    """Run those of *steps* that the file has not seen, each in its own transaction."""
    done = int(connection.pragma("user_version"))
    for step in steps[done:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked inside the transaction: another process may have done it meanwhile.
            if int(connection.pragma("user_version")) < step.number:
                connection.execute(step.sql)
                connection.execute(f"PRAGMA user_version = {step.number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
