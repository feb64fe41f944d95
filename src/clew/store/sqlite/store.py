"""The SQLite store: traces, latencies, keys; the execution graph lies in `graph_store`, the file in `file`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import apsw
import msgspec

from clew.errors import BadFilter
from clew.model import Batch
from clew.store import sql
from clew.store.check import check_batch
from clew.store.chunks import ChunkCoder
from clew.store.latencies import Asked, LatencyReader, Tallied
from clew.store.protocol import KeyRecord, Meanwhile, Page, Preparer, StoredTrace, TraceFilter, Written
from clew.store.ready import ReadyBatch, make_ready
from clew.store.retention import KeptMetrics, kept_metrics
from clew.store.sqlite.aside import Aside, ThreadAside
from clew.store.sqlite.commit import Commit
from clew.store.sqlite.expiry import SqliteExpiry
from clew.store.sqlite.listing import list_page
from clew.store.sqlite.percentiles import read_tallies
from clew.store.sqlite.reading import read_trace
from clew.store.sqlite.rows import ROWS
from clew.store.sqlite.snapshot import SqliteSnapshot

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_names = msgspec.json.Decoder(list[str])


class SqliteStore(LatencyReader, SqliteExpiry):
    """A `clew.store.protocol.Store` in one file."""

    def __init__(self, path: str, *, read_only: bool = False, text_search: bool = True) -> None:
        self._text_search = text_search
        self._preparing = threading.Lock()
        self._coder, self._commit_coder = ChunkCoder(), ChunkCoder()
        self._compressing: ThreadPoolExecutor | None = None
        self._aside: ThreadAside | None = None
        super().__init__(path, read_only=read_only)

    # Writing.

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        """Make *batches* durable; see `clew.store.protocol.SpanWriter`."""
        ready = [self.prepare(batch) for batch in batches]
        if meanwhile is None:
            return self._transact(lambda connection: self._commit(connection, Aside()).write(ready))
        return self._write_aside(ready, meanwhile)

    def prepare(self, batch: Batch) -> ReadyBatch:
        """Do for *batch* what needs no database; see `clew.store.protocol.SpanWriter`."""
        check_batch(batch)
        with self._preparing:
            beside = self._compressing.submit if self._compressing else None
            return make_ready(batch, self._coder, ROWS, text_search=self._text_search, beside=beside)

    def preparer(self) -> Preparer:
        """Give what does `prepare` elsewhere; see `clew.store.protocol.PreparesApart`."""
        return partial(_preparing, self._text_search)

    def _commit(self, connection: apsw.Connection, aside: Aside) -> Commit:
        return Commit(connection, self._commit_coder, aside, text_search=self._text_search)

    def _write_aside(self, batches: Sequence[ReadyBatch], meanwhile: Meanwhile) -> Written:
        with self._transaction() as connection:
            if self._aside is None:
                self._aside = ThreadAside()
                self._compressing = ThreadPoolExecutor(1, thread_name_prefix="clew-zstd")
            aside = self._aside
            try:
                written = self._commit(connection, aside).write(batches)
                aside.do(lambda: connection.execute("COMMIT"))
                meanwhile(aside.is_busy)
            finally:
                # Before anything is rolled back nobody else may use the connection.
                aside.join()
            return written

    # Reading.

    def list_traces(
        self, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> Page:
        """Give a page of traces; see `clew.store.protocol.TraceReader`."""
        with self._readers.lend() as connection:
            if where.text:
                self._check_searchable(connection)
            return list_page(connection, project, where, limit=limit, after=after)

    def _check_searchable(self, connection: apsw.Connection) -> None:
        if not self._text_search:
            raise BadFilter("text", "text search is off; start with CLEW_TEXT_SEARCH=1")
        if connection.execute(QUERIES["fact"], {"name": "text_gap"}).get:
            raise BadFilter("text", "some traces were stored while CLEW_TEXT_SEARCH was 0, so a search could miss them")

    def trace(self, project: str, trace_id: str) -> StoredTrace | None:
        """Give one trace; see `clew.store.protocol.TraceReader`."""
        with self._readers.lend() as connection:
            return read_trace(connection, project, trace_id)

    def _kept_metrics(self) -> KeptMetrics:
        with self._readers.lend() as connection:
            return kept_metrics(dict(connection.execute(QUERIES["metrics_facts"])))

    def _tallies(self, project: str, asked: Asked) -> Tallied:
        with self._readers.lend() as connection:
            return read_tallies(connection, project, asked)

    # Maintenance.

    def stats(self) -> dict[str, Any]:
        """Give figures; see `clew.store.protocol.Maintenance`."""
        with self._readers.lend() as connection:
            traces, spans, projects = connection.execute(QUERIES["totals"]).get
            scores = connection.execute(QUERIES["score_count"]).get
            schema = connection.pragma("user_version")
        return {
            "engine": f"SQLite {apsw.sqlite_lib_version()}",
            "path": self._path,
            "schema": schema,
            "traces": traces,
            "spans": spans,
            "scores": scores,
            "projects": projects,
            "bytes": sum(_size(self._path + suffix) for suffix in ("", "-wal", "-shm")),
            "text_search": self._text_search,
            "read_only": self._read_only,
        }

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        """Look at one moment; see `clew.store.snapshot`."""
        with self._readers.lend() as connection:
            yield SqliteSnapshot(connection)

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""
        with self._readers.lend() as connection:
            return sorted(_names.decode(connection.execute(QUERIES["projects"]).get))

    def _let_go(self) -> None:
        if self._aside is not None:
            self._aside.close()
        with self._preparing:
            compressing, self._compressing = self._compressing, None
        if compressing is not None:
            compressing.shutdown()

    # Keys.

    def add_key(self, key: KeyRecord) -> None:
        """Keep a key; the same hash again replaces it."""
        self._transact(lambda connection: connection.execute(QUERIES["add_key"], msgspec.structs.asdict(key)))

    def find_key(self, key_hash: str) -> KeyRecord | None:
        """Give the key of that hash."""
        with self._readers.lend() as connection:
            row = connection.execute(QUERIES["find_key"], {"key_hash": key_hash}).fetchone()
        return _key(row) if row else None

    def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        with self._readers.lend() as connection:
            return [_key(row) for row in connection.execute(QUERIES["list_keys"])]

    def remove_key(self, key_hash_prefix: str) -> int:
        """Forget the keys whose hash starts so; an empty prefix removes none."""

        def remove(connection: apsw.Connection) -> int:
            connection.execute(QUERIES["remove_keys"], {"prefix": key_hash_prefix})
            return connection.changes()

        return self._transact(remove)


def _preparing(text_search: bool) -> Callable[[Batch], Batch]:
    """What `SqliteStore.prepare` does, without a store."""
    coder = ChunkCoder()

    def prepare(batch: Batch) -> ReadyBatch:
        check_batch(batch)
        return make_ready(batch, coder, ROWS, text_search=text_search)

    return prepare


def _key(row: Sequence[Any]) -> KeyRecord:
    key_hash, scope, project, label, created_ns = row
    return KeyRecord(key_hash=key_hash, scope=scope, project=project, label=label, created_ns=created_ns)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0
