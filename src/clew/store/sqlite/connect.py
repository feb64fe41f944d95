"""
Open the file, and say in words what went wrong with it.

One connection writes, behind a lock; reading connections are read-only and lent from a pool.
apsw lets go of Python's lock around each step of SQLite, and taking it back may cost 5 ms while
another thread computes. So writes bind many rows a statement and reads answer in one row of JSON.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from clew.errors import ClewError, StoreBusy, StoreUnavailable

APPLICATION_ID = 0x436C6577
"""In the header of every Clew store: "Clew"."""

BUSY_TIMEOUT_MS = 5_000
_PAGE_BYTES = 4_096
"""A commit of a hundred traces changes a hundred pages of the index by id, wherever they lie, so small ones write
faster. A trace's chunk, the bulk of the file, mostly fits into one."""
_READER_MMAP_BYTES = 1 << 30

_BUSY = (apsw.BusyError, apsw.LockedError)
_DAMAGED = (apsw.CorruptError, apsw.NotADBError, apsw.ConstraintError)
"""What Clew writes keeps every constraint, unless what it read before was spoilt."""
_REFUSED = (apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError, apsw.AuthError)


def open_writer(path: str) -> apsw.Connection:
    """Open *path* to write, and make the file if it is not there."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(path, flags=flags, statementcachesize=256)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Until the schema is known to be ours, closing must not write to the file.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def prepare_writer(connection: apsw.Connection) -> None:
    """Set what makes a commit durable. After the file is known to be ours, before there are tables."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    if not connection.pragma("page_count"):
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -64000")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def open_reader(path: str) -> apsw.Connection:
    """Open *path* to read only. It must be there."""
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=64)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    try:
        connection.execute(f"PRAGMA mmap_size = {_READER_MMAP_BYTES}")
        # Only the first read opens the side files; whether they can be made is to be known here.
        connection.pragma("schema_version")
    except apsw.Error:
        connection.close(True)
        raise
    return connection


def open_still(path: str) -> apsw.Connection:
    """Open *path*, which nobody writes, where not even SQLite's side files can be made."""
    uri = Path(path).absolute().as_uri() + "?immutable=1"
    return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


FileIdentity = tuple[int, int]


def identity(path: str) -> FileIdentity | None:
    """Say which file *path* names now; None if none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def abandon(connection: apsw.Connection) -> None:
    """
    Close a connection to a file that is no longer there, or no longer well.

    Closing the last connection would otherwise remove the side files of whatever lies there now.
    """
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.close(True)


class ReaderPool:
    """Lends read-only connections to threads; as many as read at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[apsw.Connection] = []
        self._file: FileIdentity | None = None
        self._closed = False

    @contextmanager
    def lend(self) -> Iterator[apsw.Connection]:
        """Lend a connection, inside one transaction: everything read is of one moment."""
        with translated(self._path):
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except apsw.Error:
                connection.close(True)
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                self._give_back(connection)
                raise
            self._give_back(connection)

    def _take(self) -> apsw.Connection:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store {self._path} is closed")
            now = identity(self._path)
            if now != self._file:
                # Another file lies there than the one that these were reading.
                self._file = now
                while self._idle:
                    self._idle.pop().close()
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _open(self) -> apsw.Connection:
        try:
            return open_reader(self._path)
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            if not os.path.exists(self._path) or os.path.exists(self._path + "-wal"):
                raise
            return open_still(self._path)

    def _give_back(self, connection: apsw.Connection) -> None:
        with self._lock:
            if not self._closed:
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


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours, in words that say what to do."""
    try:
        yield
    except apsw.Error as error:
        raise explain(error, path) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        # SQLite gives whatever lies in a page whose bytes were spoilt and whose shape was not.
        raise _damaged(error, path) from error


def explain(error: apsw.Error, path: str) -> ClewError:
    """Give the error that Clew raises for SQLite's *error*."""
    if isinstance(error, _BUSY):
        return StoreBusy(f"another process is writing to {path}; nothing was written, try again")
    if isinstance(error, apsw.FullError):
        return StoreUnavailable(f"no space is left for {path}; nothing was written, free some and try again")
    # Of a table that is STRICT no column holds bytes that should hold a text, unless they were spoilt.
    if isinstance(error, _DAMAGED) or "JSON cannot hold BLOB" in str(error):
        return _damaged(error, path)
    if isinstance(error, _REFUSED):
        return StoreUnavailable(_why_refused(error, path))
    if isinstance(error, apsw.IOError):
        return StoreUnavailable(f"the disk failed on {path} ({error}); nothing was written")
    return StoreUnavailable(f"SQLite failed on {path}: {error}")


def _damaged(error: Exception, path: str) -> StoreUnavailable:
    return StoreUnavailable(f"{path} is damaged or not an SQLite file ({error}); restore it or name another store")


def _why_refused(error: apsw.Error, path: str) -> str:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return f"cannot open {path}: there is no directory {folder}; make it or name another store"
    if os.path.isdir(path):
        return f"cannot open {path}: it is a directory; name a file"
    if not os.path.exists(path):
        return f"cannot open {path}: it is not there and cannot be made ({error}); check who may write to {folder}"
    return f"cannot open {path} to write ({error}); check who may write to it and to {folder}"
