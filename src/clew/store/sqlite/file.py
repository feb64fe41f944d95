"""
The file of a store: one connection that writes, behind a lock, and a pool that reads.

When a write fails for what happened to the file or the disk, its connection is thrown away and the
next write opens a new one: nothing has to be restarted once the disk has space again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import apsw

from clew.errors import StoreUnavailable
from clew.store.sqlite import connect
from clew.store.sqlite.migrate import check, migrate, migrations

T = TypeVar("T")


class SqliteFile:
    """An open file. Any thread may write; they take turns."""

    def __init__(self, path: str, *, read_only: bool) -> None:
        self._path = os.path.abspath(path)
        self._read_only = read_only
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._file: connect.FileIdentity | None = None
        self._closed = False
        self._readers = connect.ReaderPool(self._path)
        if read_only:
            self._check_readable()
        else:
            with self._lock, connect.translated(self._path):
                self._writer()

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._readers.close()
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            self._let_go()
        if connection is not None:
            connection.close(True)

    def _let_go(self) -> None:
        """What else is to be closed, while nobody writes."""

    def _transact(self, work: Callable[[apsw.Connection], T]) -> T:
        with self._transaction() as connection:
            done = work(connection)
            connection.execute("COMMIT")
            return done

    @contextmanager
    def _exclusively(self) -> Iterator[apsw.Connection]:
        """The connection that writes, outside a transaction."""
        if self._read_only:
            raise StoreUnavailable(f"the store {self._path} was opened to read only")
        with self._lock, connect.translated(self._path):
            connection = self._writer()
            with self._forgotten_when_broken(connection):
                yield connection

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        """A transaction that the block commits; rolled back if it raises."""
        if self._read_only:
            raise StoreUnavailable(f"the store {self._path} was opened to read only")
        with self._lock, connect.translated(self._path):
            connection = self._writer()
            with self._forgotten_when_broken(connection):
                connection.execute("BEGIN IMMEDIATE")
                yield connection

    def _writer(self) -> apsw.Connection:
        """The connection that writes; opened, checked and migrated if there is none."""
        if self._closed:
            raise StoreUnavailable(f"the store {self._path} is closed")
        if self._connection is not None and self._file != connect.identity(self._path):
            # What is written to a file that was deleted would be acknowledged and lost.
            connection, self._connection = self._connection, None
            connect.abandon(connection)
        if self._connection is None:
            connection = connect.open_writer(self._path)
            try:
                steps = migrations()
                check(connection, self._path, known=steps[-1].number)
                connect.prepare_writer(connection)
                migrate(connection, steps)
            except BaseException:
                connection.close(True)
                raise
            self._connection, self._file = connection, connect.identity(self._path)
        return self._connection

    @contextmanager
    def _forgotten_when_broken(self, connection: apsw.Connection) -> Iterator[None]:
        try:
            yield
        except (apsw.BusyError, apsw.LockedError):
            _roll_back(connection)
            raise
        except apsw.Error:
            _roll_back(connection)
            self._connection = None
            connect.abandon(connection)
            raise
        except BaseException:
            _roll_back(connection)
            raise

    def _check_readable(self) -> None:
        if not os.path.isfile(self._path):
            raise StoreUnavailable(f"cannot open {self._path}: it is not there")
        with self._readers.lend() as connection:
            known = migrations()[-1].number
            if check(connection, self._path, known=known) < known:
                raise StoreUnavailable(f"{self._path} is of an older Clew; open it once to write, to upgrade it")


def _roll_back(connection: apsw.Connection) -> None:
    # After some errors SQLite has rolled back by itself.
    if connection.in_transaction:
        connection.execute("ROLLBACK")
