"""The PostgreSQL store: traces, latencies, keys; the execution graph lies in `graph_store`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec

from clew.errors import BadFilter
from clew.model import Batch
from clew.store.check import check_batch
from clew.store.chunks import ChunkCoder
from clew.store.latencies import Asked, LatencyReader, Tallied
from clew.store.postgres import partitions
from clew.store.postgres.binary import safe, told
from clew.store.postgres.commit import QUERIES, Commit, record_types
from clew.store.postgres.connect import Connection, conninfo
from clew.store.postgres.expiry_store import PostgresExpiry
from clew.store.postgres.listing import list_page
from clew.store.postgres.numbers import Numbers
from clew.store.postgres.pending import PendingWords
from clew.store.postgres.percentiles import read_tallies
from clew.store.postgres.reading import read_trace
from clew.store.postgres.rows import ROWS
from clew.store.postgres.snapshot import PostgresSnapshot
from clew.store.postgres.statements import Statements
from clew.store.protocol import KeyRecord, Meanwhile, Page, StoredTrace, TraceFilter, Written
from clew.store.ready import ReadyBatch, make_ready
from clew.store.retention import KeptMetrics, kept_metrics


class PostgresStore(LatencyReader, PostgresExpiry):
    """A `clew.store.protocol.Store` in one schema of a database."""

    def __init__(self, url: str, *, read_only: bool = False, text_search: bool = True) -> None:
        self._text_search = text_search
        self._preparing = threading.Lock()
        self._coder, self._commit_coder = ChunkCoder(), ChunkCoder()
        self._numbers = Numbers()
        self._project_ids: dict[str, int] = {}
        self._has_text_gap = False
        self._types: dict[str, int] = {}
        self._last_day = -1
        """Up to here partitions are made."""
        self._aside: ThreadPoolExecutor | None = None
        self._pending = PendingWords(conninfo(url))
        super().__init__(url, read_only=read_only)

    def close(self) -> None:
        """Let go of all connections. Idempotent."""
        super().close()
        self._pending.close()
        if self._aside is not None:
            self._aside.shutdown()

    # Writing.

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        """Make *batches* durable; see `clew.store.protocol.SpanWriter`."""
        ready = [self.prepare(batch) for batch in batches]
        if meanwhile is None:
            return self._write(ready)
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, thread_name_prefix="clew-postgres")
        writing = self._aside.submit(self._write, ready)
        try:
            meanwhile(lambda: not writing.done())
        finally:
            # Whatever happens, the next write must find this one at its end.
            writing.exception()
        return writing.result()

    def prepare(self, batch: Batch) -> ReadyBatch:
        """Do for *batch* what needs no database; see `clew.store.protocol.SpanWriter`."""
        check_batch(batch)
        with self._preparing:
            return make_ready(batch, self._coder, ROWS, text_search=self._text_search)

    def _write(self, batches: Sequence[ReadyBatch]) -> Written:
        def work(connection: Connection) -> tuple[Written, Commit]:
            commit = Commit(
                connection,
                self._commit_coder,
                self._numbers,
                self._project_ids,
                types=self._types,
                part=self._part,
                text_search=self._text_search,
                has_text_gap=self._has_text_gap,
            )
            return commit.write(batches), commit

        written, committed = self._transact(work, piped=True)
        self._project_ids, self._has_text_gap = committed.projects, committed.has_text_gap
        if self._text_search:
            self._pending.wake()
        return written

    def _begin_writing(self, connection: Connection) -> None:
        self._project_ids = {}
        self._has_text_gap = False
        self._last_day = -1
        self._types = record_types(Statements(connection, QUERIES))
        self._before_writing(connection)

    def _before_writing(self, connection: Connection) -> None:
        today = partitions.day_of(time.time_ns())
        if not self._last_day - partitions.AHEAD_DAYS <= today < self._last_day:
            partitions.make(connection, today)
            self._last_day = today + partitions.AHEAD_DAYS

    # Reading.

    def list_traces(
        self, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> Page:
        """Give a page of traces; see `clew.store.protocol.TraceReader`."""
        with self._reading() as connection:
            if where.text:
                self._check_searchable(connection)
            return list_page(connection, project, where, limit=limit, after=after)

    def _check_searchable(self, connection: Connection) -> None:
        if not self._text_search:
            raise BadFilter("text", "text search is off; start with CLEW_TEXT_SEARCH=1")
        if Statements(connection, QUERIES).value("fact", name="text_gap"):
            raise BadFilter("text", "some traces were stored while CLEW_TEXT_SEARCH was 0, so a search could miss them")

    def trace(self, project: str, trace_id: str) -> StoredTrace | None:
        """Give one trace; see `clew.store.protocol.TraceReader`."""
        with self._reading() as connection:
            return read_trace(connection, project, trace_id)

    def _kept_metrics(self) -> KeptMetrics:
        with self._reading() as connection:
            return kept_metrics(dict(Statements(connection, QUERIES).rows("metrics_facts")))

    def _tallies(self, project: str, asked: Asked) -> Tallied:
        with self._reading() as connection:
            return read_tallies(connection, project, asked)

    # Maintenance.

    def stats(self) -> dict[str, Any]:
        """Give figures; see `clew.store.protocol.Maintenance`."""
        with self._reading() as connection:
            statements = Statements(connection, QUERIES)
            traces, spans, projects = statements.row("totals") or (0, 0, 0)
            version, schema = statements.row("version") or ("", 0)
            return {
                "engine": f"PostgreSQL {version}",
                "path": self._place,
                "schema": schema,
                "traces": traces,
                "spans": spans,
                "scores": statements.value("score_count"),
                "projects": projects,
                "bytes": statements.value("bytes"),
                "text_search": self._text_search,
                "read_only": self._read_only,
            }

    @contextmanager
    def snapshot(self) -> Iterator[PostgresSnapshot]:
        """Look at one moment; see `clew.store.snapshot`."""
        with self._reading() as connection:
            yield PostgresSnapshot(connection)

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""
        with self._reading() as connection:
            return sorted(told(name) for (name,) in Statements(connection, QUERIES).rows("projects"))

    # Keys.

    def add_key(self, key: KeyRecord) -> None:
        """Keep a key; the same hash again replaces it."""
        values = {name: safe(value) if isinstance(value, str) else value for name, value in _fields(key).items()}
        self._transact(lambda connection: Statements(connection, QUERIES).run("add_key", **values))

    def find_key(self, key_hash: str) -> KeyRecord | None:
        """Give the key of that hash."""
        with self._reading() as connection:
            row = Statements(connection, QUERIES).row("find_key", key_hash=safe(key_hash))
        return _key(row) if row else None

    def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        with self._reading() as connection:
            return [_key(row) for row in Statements(connection, QUERIES).rows("list_keys")]

    def remove_key(self, key_hash_prefix: str) -> int:
        """Forget the keys whose hash starts so; an empty prefix removes none."""
        return self._transact(
            lambda connection: Statements(connection, QUERIES).run("remove_keys", prefix=safe(key_hash_prefix))
        )


def _fields(key: KeyRecord) -> dict[str, Any]:
    return msgspec.structs.asdict(key)


def _key(row: Sequence[Any]) -> KeyRecord:
    key_hash, scope, project, label, created_ns = row
    return KeyRecord(
        key_hash=told(key_hash), scope=scope, project=told(project), label=told(label), created_ns=created_ns
    )
