"""
The database of a store: one connection that writes, behind a lock, a pool that reads, one that leads.

A connection that broke is thrown away, and the next use opens a new one: a server that is stopped
and comes back needs nobody's help. Of a write it is known that nothing stays of it unless it
committed; if the answer to COMMIT was lost, sending it again changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg import errors

from clew.errors import StoreUnavailable
from clew.store.postgres import connect, locks
from clew.store.postgres.connect import Connection
from clew.store.postgres.migrate import check, migrate, migrations
from clew.store.postgres.readers import ReaderPool
from clew.store.url import shown

T = TypeVar("T")

TRIES = 5
"""So often a transaction is run when another process's got in its way."""


class PostgresDatabase:
    """An open database. Any thread may write; they take turns."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        self._place = shown(url)
        self._info = connect.conninfo(url)
        self._read_only = read_only
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._part = 0
        """Of the counts that several processes add to, the part that is ours alone."""
        self._closed = False
        self._readers = ReaderPool(self._info, self._place)
        self._leader = locks.Leader(self._info, self._place)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with connect.translated(self._place, opening=True), self._lock:
            if not self._read_only:
                self._writer()
                return
            connection = connect.open_connection(self._info, to_write=False)
            with connection:
                known = migrations()[-1].number
                found = check(connection, self._place, known=known)
        if found == 0:
            raise StoreUnavailable(f"there is no Clew store in {self._place}; `clew serve --store` makes one")
        if found < known:
            raise StoreUnavailable(f"{self._place} is of an older Clew; open it once to write, to upgrade it")

    def close(self) -> None:
        """Let go of all connections. Idempotent."""
        self._readers.close()
        self._leader.close()
        with self._lock:
            self._closed = True
            self._forget()

    def _transact(self, work: Callable[[Connection], T], *, piped: bool = False) -> T:
        """
        Run *work* in a transaction, again if another process's got in its way.

        With *piped* nothing that it says waits for an answer, but where it reads one.
        """
        if self._read_only:
            raise StoreUnavailable(f"the store {self._place} was opened to read only")
        run = self._run_piped if piped and psycopg.Pipeline.is_supported() else self._run
        with self._lock, connect.translated(self._place):
            for left in reversed(range(TRIES)):
                try:
                    return run(work)
                except (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation):
                    if not left:
                        raise
        raise AssertionError("unreachable")

    def _run(self, work: Callable[[Connection], T]) -> T:
        connection = self._begun()
        with self._rolled_back(connection):
            done = work(connection)
            connection.execute("COMMIT", prepare=False)
        return done

    def _run_piped(self, work: Callable[[Connection], T]) -> T:
        is_new, is_over = self._connection is None, False
        connection = self._writer()
        try:
            with self._rolled_back(connection):
                self._before_writing(connection)
                with connection.pipeline():
                    connection.execute("BEGIN", prepare=False)
                    done = work(connection)
                    is_over = True
                    connection.execute("COMMIT", prepare=False)
                return done
        except connect.Broken:
            if is_new or is_over or not connection.closed:
                raise
        # It was lost while idle, which shows with the first answer.
        return self._run_piped(work)

    @contextmanager
    def _rolled_back(self, connection: Connection) -> Iterator[None]:
        """Leave nothing of a transaction that fails."""
        try:
            yield
        except BaseException as error:
            self._roll_back(connection)
            if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName, errors.DatatypeMismatch)):
                self._forget()
            raise

    def _begun(self) -> Connection:
        """The connection that writes, inside a transaction. One that was lost while idle is replaced."""
        try:
            return self._begin(self._writer())
        except connect.Broken:
            self._forget()
            return self._begin(self._writer())

    def _begin(self, connection: Connection) -> Connection:
        self._before_writing(connection)
        connection.execute("BEGIN", prepare=False)
        return connection

    def _writer(self) -> Connection:
        """The connection that writes; opened, checked and migrated if there is none."""
        if self._closed:
            raise StoreUnavailable(f"the store {self._place} is closed")
        if self._connection is None:
            connection = connect.open_connection(self._info, to_write=True)
            try:
                steps = migrations()
                check(connection, self._place, known=steps[-1].number)
                migrate(connection, steps)
                self._part = locks.take_part(connection)
                self._begin_writing(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _begin_writing(self, connection: Connection) -> None:
        """What else is to be done with a new connection."""

    def _before_writing(self, connection: Connection) -> None:
        """What else is to be done before a transaction."""

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            self._forget()

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        locks.let_go(connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Lend a connection on which everything is of one moment."""
        with connect.translated(self._place), self._readers.lend() as connection:
            yield connection

    def _leads(self) -> bool:
        """Say whether this process is the one that learns."""
        with connect.translated(self._place):
            return self._leader.leads()
