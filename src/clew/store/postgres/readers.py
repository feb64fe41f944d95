"""Lends connections to those who read; as many as read at once, and few are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from clew.errors import StoreUnavailable
from clew.store.postgres import connect
from clew.store.postgres.connect import Connection

KEPT = 8


class ReaderPool:
    """Connections that only read."""

    def __init__(self, info: str, place: str) -> None:
        self._info = info
        self._place = place
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection, inside one transaction: everything read is of one moment."""
        connection = self._begun()
        try:
            yield connection
            connection.execute("COMMIT", prepare=False)
        except psycopg.Error:
            connection.close()
            raise
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK", prepare=False)
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _begun(self) -> Connection:
        while (connection := self._take()) is not None:
            try:
                connection.execute("BEGIN", prepare=False)
            except connect.Broken:
                # The server was away meanwhile, and so are all that wait here.
                connection.close()
                continue
            return connection
        connection = connect.open_connection(self._info, to_write=False)
        connection.execute("BEGIN", prepare=False)
        return connection

    def _take(self) -> Connection | None:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store {self._place} is closed")
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if not self._closed and not connection.closed and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close every connection; one that is lent out is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
