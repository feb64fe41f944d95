"""
Advisory locks: how several processes share one database without doing a thing twice.

A lock is named by the schema that the tables are in and by what it is for. One that a connection
took goes with the connection, so a process that dies blocks nobody.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg

from clew.errors import StoreUnavailable
from clew.store.postgres import connect
from clew.store.postgres.connect import Connection

PARTS = 1_000
"""So many processes may write to one store at once."""

_NAME = "hashtextextended(current_schema() || %(purpose)s, 0)"
_LOCK = f"SELECT pg_advisory_lock({_NAME})".encode()
_UNLOCK = f"SELECT pg_advisory_unlock({_NAME})".encode()
_TRY = f"SELECT pg_try_advisory_lock({_NAME})".encode()
_LOCK_UNTIL_COMMIT = f"SELECT pg_advisory_xact_lock({_NAME})".encode()


def lock(connection: Connection, purpose: str) -> None:
    """Wait for a lock, and hold it until `unlock` or the connection's end."""
    connection.execute(_LOCK, {"purpose": purpose})


def unlock(connection: Connection, purpose: str) -> None:
    """Give a lock back."""
    connection.execute(_UNLOCK, {"purpose": purpose})


def try_lock(connection: Connection, purpose: str) -> bool:
    """Take a lock if nobody has it; hold it until the connection's end."""
    row = connection.execute(_TRY, {"purpose": purpose}).fetchone()
    return row is not None and row[0] is True


def let_go(connection: Connection | None) -> None:
    """Give all locks of *connection* back and close it: the server sees the end of a connection a little later."""
    if connection is not None:
        with suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock_all()", prepare=False)
        connection.close()


def lock_until_commit(connection: Connection, purpose: str) -> None:
    """Wait for a lock, and hold it to the end of the transaction."""
    connection.execute(_LOCK_UNTIL_COMMIT, {"purpose": purpose})


def take_part(connection: Connection) -> int:
    """
    Take a part of the counts that no other process has, the lowest that is free.

    Raises:
        StoreUnavailable: more processes write than there are parts.
    """
    for part in range(PARTS):
        if try_lock(connection, f"part {part}"):
            return part
    raise StoreUnavailable(f"{PARTS} processes write to this store already; stop some")


class Leader:
    """Says whether this process is the one that learns. It stays so until it closes, or loses its connection."""

    def __init__(self, info: str, place: str) -> None:
        self._info = info
        self._place = place
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._leads = False
        self._closed = False

    def leads(self) -> bool:
        """Take the lead if nobody has it."""
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store {self._place} is closed")
            if self._connection is None:
                self._connection = connect.open_connection(self._info, to_write=True)
                self._leads = False
            try:
                if self._leads:
                    self._connection.execute("SELECT 1", prepare=False)
                else:
                    self._leads = try_lock(self._connection, "learn")
            except psycopg.Error:
                self._forget()
                raise
            return self._leads

    def close(self) -> None:
        """Let another process lead. Idempotent."""
        with self._lock:
            self._closed = True
            self._forget()

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        self._leads = False
        let_go(connection)
