"""
Words are put into their index aside, soon after the commit that brought them.

The database keeps new entries of such an index in a list, which every search reads, too, and sorts
them in when it is full: by default in the middle of whichever commit fills it, which then takes a
quarter of a second. So the list may grow (schema.sql), and a thread here has it sorted in meanwhile,
over a connection of its own. Nothing depends on it but time: where it fails, the list just fills up.
"""

from __future__ import annotations

import threading
import time

import psycopg

from clew.errors import ClewError
from clew.store.postgres import connect, partitions
from clew.store.postgres.connect import Connection
from clew.store.postgres.statements import Statements, load

QUERIES = load("queries.sql")

PAUSE_S = 0.5
"""Between two times: many commits' words are sorted in at once, and a list of so long is quickly read."""

AFTER_TROUBLE_S = 60.0
CLOSE_S = 5.0
"""A server that hangs does not keep a process from ending."""


class PendingWords:
    """Sorts in what commits bring. Any thread may `wake` it."""

    def __init__(self, info: str) -> None:
        self._info = info
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None

    def wake(self) -> None:
        """Say that there is something; it is done a little later."""
        self._woken.set()
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="clew-postgres-words", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop. Idempotent."""
        with self._lock:
            self._closed.set()
            self._woken.set()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(CLOSE_S)

    def _run(self) -> None:
        while self._woken.wait() and not self._closed.wait(PAUSE_S):
            self._woken.clear()
            try:
                self.clean()
            except (psycopg.Error, ClewError):
                # Of no harm: see above. It may be away, or the index another role's.
                self._forget()
                self._closed.wait(AFTER_TROUBLE_S)
        self._forget()

    def clean(self) -> int:
        """Sort in what lies in the lists of today and yesterday; gives how many pages that was."""
        if self._connection is None:
            self._connection = connect.open_connection(self._info, to_write=True)
        today = partitions.day_of(time.time_ns())
        tables = [
            partitions.name_of(table, day)
            for table in ("trace_text", "trace_text_blocks")
            for day in (today - 1, today)
        ]
        return int(Statements(self._connection, QUERIES).value("sort_words_in", tables=tables) or 0)

    def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
