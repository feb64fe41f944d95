"""
A copy of a store's file while a server writes to it, by SQLite's own backup.

It copies one moment: a read transaction is held open meanwhile, so what is written during the copy
neither enters it nor makes it begin again. The copy is checked before it gets its name.

Source: SQLite documentation, "Using the SQLite Online Backup API"; backup.c, sqlite3_backup_step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from clew.errors import StoreUnavailable
from clew.store import sql
from clew.store.sqlite import connect
from clew.store.sqlite.migrate import check, migrations

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

STEP_PAGES = 500
"""Between two steps the progress is told, and an interruption is heard."""

_SIDE_FILES = ("", "-wal", "-shm", "-journal")


class Copied(NamedTuple):
    """What a copy holds."""

    traces: int
    spans: int
    scores: int
    bytes: int


def back_up(path: str, target: str, tell: Callable[[int, int], object]) -> Copied:
    """
    Copy the store in *path* to the new file *target*. *tell* is told of pages: done, and all.

    Raises:
        StoreUnavailable: the store cannot be read, or the copy not be written, or it is not whole;
            nothing is left of it.
    """
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise StoreUnavailable(f"cannot open {path}: it is not there")
    if os.path.lexists(target):
        raise StoreUnavailable(f"{target} is there already; name another file, or move it away")
    aside = f"{os.path.abspath(target)}.partial"
    _remove(aside)
    try:
        with connect.translated(path), closing(connect.open_reader(path)) as source:
            check(source, path, known=migrations()[-1].number)
            source.execute("BEGIN")
            expected = _counts(source)
            with connect.translated(target):
                _copy(source, aside, tell)
        with connect.translated(target):
            _verify(aside, expected)
        _put_in_place(aside, target)
    except OSError as error:
        raise StoreUnavailable(f"{target} cannot be written: {error.strerror or error}") from None
    finally:
        _remove(aside)
    return Copied(*expected, os.path.getsize(target))


def _copy(source: apsw.Connection, aside: str, tell: Callable[[int, int], object]) -> None:
    with closing(apsw.Connection(aside)) as copy:
        # It is read back whole before it counts, so a sync of each step would only cost.
        copy.execute("PRAGMA synchronous = OFF")
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(STEP_PAGES)
                tell(backup.page_count - backup.remaining, backup.page_count)


def _verify(aside: str, expected: tuple[int, int, int]) -> None:
    with closing(apsw.Connection(aside, flags=apsw.SQLITE_OPEN_READWRITE)) as copy:
        found = copy.pragma("integrity_check")
        if found != "ok":
            raise StoreUnavailable(
                f"the copy is damaged ({str(found)[:200]}); so may be the store: run the check on it"
            )
        counts = _counts(copy)
        if counts != expected:
            raise StoreUnavailable(f"the copy holds {counts} traces, spans and scores, the store held {expected}")
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _counts(connection: apsw.Connection) -> tuple[int, int, int]:
    traces, spans, _ = connection.execute(QUERIES["totals"]).get
    return traces, spans, connection.execute(QUERIES["score_count"]).get


def _put_in_place(aside: str, target: str) -> None:
    for place, flags in ((aside, os.O_RDONLY), (str(Path(aside).parent), os.O_RDONLY)):
        handle = os.open(place, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    # A link, and not a renaming: what came to lie there meanwhile is not overwritten.
    try:
        os.link(aside, target)
    except FileExistsError:
        raise StoreUnavailable(f"{target} is there already; name another file, or move it away") from None


def _remove(aside: str) -> None:
    for suffix in _SIDE_FILES:
        with suppress(OSError):
            os.unlink(aside + suffix)
