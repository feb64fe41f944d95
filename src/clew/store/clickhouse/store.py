"""The ClickHouse store: traces, latencies, keys; the execution graph lies in `graph_store`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from clew.errors import BadFilter
from clew.model import Batch, in_tree_order, summarise
from clew.store.check import check_batch
from clew.store.clickhouse import schema
from clew.store.clickhouse.commit import Commit
from clew.store.clickhouse.expiry import ClickhouseExpiry
from clew.store.clickhouse.listing import list_page
from clew.store.clickhouse.rows import ROWS, PlainCoder
from clew.store.clickhouse.snapshot import ClickhouseSnapshot
from clew.store.clickhouse.tallies import read_tallies
from clew.store.clickhouse.traces import Folded, fold, only, read_stored
from clew.store.latencies import Asked, LatencyReader, Tallied
from clew.store.protocol import Meanwhile, Page, StoredTrace, TraceFilter, Written
from clew.store.ready import ReadyBatch, make_ready


class ClickhouseStore(ClickhouseExpiry, LatencyReader):
    """A `clew.store.protocol.Store` in one database of a ClickHouse server or cluster."""

    def __init__(self, url: str, *, read_only: bool = False, text_search: bool = True) -> None:
        self._text_search = text_search
        self._preparing = threading.Lock()
        self._coder = PlainCoder()
        self._aside: ThreadPoolExecutor | None = None
        super().__init__(url, read_only=read_only)

    def close(self) -> None:
        """Let go of all connections. Idempotent."""
        super().close()
        if self._aside is not None:
            self._aside.shutdown()

    # Writing.

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        """
        Make *batches* durable; see `clew.store.protocol.SpanWriter`.

        Where this fails midway some of it may be stored, and is not shown as long as it is not whole
        for its trace. Writing the same again finishes it.
        """
        ready = [self.prepare(batch) for batch in batches]
        if meanwhile is None:
            return self._write(ready)
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, thread_name_prefix="clew-clickhouse")
        writing = self._aside.submit(self._write, ready)
        try:
            meanwhile(lambda: not writing.done())
        finally:
            # Whatever happens, the next write must find this one at its end.
            writing.exception()
        return writing.result()

    def _write(self, ready: Sequence[ReadyBatch]) -> Written:
        return self._write_alone(lambda: Commit(self._servers, text_search=self._text_search).write(ready))

    def prepare(self, batch: Batch) -> ReadyBatch:
        """Do for *batch* what needs no database; see `clew.store.protocol.SpanWriter`."""
        check_batch(batch)
        with self._preparing:
            return make_ready(batch, self._coder, ROWS, text_search=self._text_search)

    # Reading.

    def list_traces(
        self, project: str, where: TraceFilter, *, limit: int, after: tuple[int, str] | None = None
    ) -> Page:
        """Give a page of traces; see `clew.store.protocol.TraceReader`."""
        if where.text:
            self._check_searchable()
        return list_page(self._servers, project, where, limit=limit, after=after)

    def _check_searchable(self) -> None:
        if not self._text_search:
            raise BadFilter("text", "text search is off; start with CLEW_TEXT_SEARCH=1")
        if self._servers.value("unsearchable"):
            raise BadFilter("text", "some traces were stored while CLEW_TEXT_SEARCH was 0, so a search could miss them")

    def trace(self, project: str, trace_id: str) -> StoredTrace | None:
        """Give one trace; see `clew.store.protocol.TraceReader`."""
        return next(self.several(project, [trace_id]), None)

    def several(self, project: str, trace_ids: Sequence[str]) -> Iterator[StoredTrace]:
        """Give several traces for the price of one; see `clew.store.snapshot.ReadsSeveral`."""
        keys = [(project, _id_of(trace_id)) for trace_id in trace_ids]
        stored = read_stored(self._servers, keys)
        for key in keys:
            one = stored.get(key)
            if one is not None and one.row is not None:
                yield _whole(project, fold(only(one.pieces, one.row.pieces)))

    def _tallies(self, project: str, asked: Asked) -> Tallied:
        return read_tallies(self._servers, project, asked)

    # Maintenance.

    def stats(self) -> dict[str, Any]:
        """Give figures; see `clew.store.protocol.Maintenance`."""
        [(traces, spans, projects)] = self._servers.rows("totals")
        return {
            "engine": f"ClickHouse {self._servers.value('server').decode()}",
            "path": self._place,
            "schema": schema.VERSION,
            "traces": traces,
            "spans": spans,
            "scores": self._servers.value("score_total"),
            "projects": projects,
            "bytes": self.used_bytes(),
            "text_search": self._text_search,
            "read_only": self._read_only,
        }

    def used_bytes(self) -> int:
        """Say what the tables take on the disks of all shards."""
        if not self._target.cluster:
            return int(self._servers.value("bytes"))
        named = {"cluster": self._target.cluster, "database": self._target.database}
        return int(self._servers.value("bytes_of_cluster", named))

    @contextmanager
    def snapshot(self) -> Iterator[ClickhouseSnapshot]:
        """Look at one moment; see `clew.store.snapshot`."""
        yield ClickhouseSnapshot(self._servers, self._graph)

    def projects(self) -> list[str]:
        """Every project that has traces, sorted."""
        return sorted(project.decode() for (project,) in self._servers.rows("projects"))


def _whole(project: str, folded: Folded) -> StoredTrace:
    spans, scores = list(folded.spans.values()), list(folded.scores.values())
    return StoredTrace(
        summary=summarise(project, spans, scores),
        spans=[at.span for at in in_tree_order(spans)],
        scores=sorted(scores, key=lambda score: (score.at_ns, score.name, score.source)),
    )


def _id_of(trace_id: str) -> bytes:
    """The bytes of a trace id; of what is none, those of a trace that nobody has."""
    try:
        found = bytes.fromhex(trace_id)
    except ValueError:
        return bytes(16)
    return found if len(found) == 16 else bytes(16)
