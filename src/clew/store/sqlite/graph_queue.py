"""Which traces are due to be learned, and that they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apsw
import msgspec

from clew.errors import StoreUnavailable
from clew.model import Span
from clew.store import sql
from clew.store.chunks import ChunkCoder
from clew.store.columns import as_json, int64
from clew.store.due import ids_of
from clew.store.graph_protocol import LearnedTrace, StaleLesson, Unlearned
from clew.store.sqlite.reading import read_chunks
from clew.store.sqlite.statements import Statements

QUERIES = sql.load("clew.store.sqlite", "graph.sql")
TRACE_QUERIES = sql.load("clew.store.sqlite", "queries.sql")


class _DueRow(NamedTuple):
    """One row of the query `due`."""

    seq: int
    project: str
    trace_id: str
    mark: int
    span_count: int
    late: str | None
    changed: str


_due = msgspec.json.Decoder(list[_DueRow])
_marks = msgspec.json.Decoder(list[tuple[str, int, int | None]])


def read_due(
    connection: apsw.Connection, *, quiet_since_ns: int, rootless_quiet_since_ns: int, limit: int, most_spans: int
) -> list[Unlearned]:
    """Give traces as `GraphLearning.unlearned` promises."""
    answer = Statements(connection, QUERIES).run(
        "due",
        quiet_since_ns=int64(quiet_since_ns),
        rootless_quiet_since_ns=int64(rootless_quiet_since_ns),
        limit=int64(limit),
    )
    rows = _within(_due.decode(answer), most_spans)
    if not rows:
        return []
    coder = ChunkCoder()
    spans: dict[int, dict[str, Span]] = {row.seq: {} for row in rows}
    damaged: set[int] = set()
    for seq, _, chunk in read_chunks(connection, spans.keys()):
        try:
            spans[seq].update((span.span_id, span) for span in coder.unpack(chunk))
        except StoreUnavailable:
            damaged.add(seq)
    return [_unlearned(row, [] if row.seq in damaged else list(spans[row.seq].values()), coder) for row in rows]


def _within(rows: list[_DueRow], most_spans: int) -> list[_DueRow]:
    """As many of the first as have so many spans together, and one at least."""
    total = 0
    for at, row in enumerate(rows):
        total += row.span_count
        if at and total > most_spans:
            return rows[:at]
    return rows


def _unlearned(row: _DueRow, spans: list[Span], coder: ChunkCoder) -> Unlearned:
    late = None if row.late is None else set(ids_of(row.late))
    learned = frozenset(
        span.span_id for span in spans if span.end_ns is not None and late is not None and span.span_id not in late
    )
    changed = tuple(coder.unpack(bytes.fromhex(row.changed))) if row.changed else ()
    return Unlearned(row.project, row.trace_id, spans, learned, row.mark, changed)


def mark_learned(connection: apsw.Connection, project_id: int, traces: Sequence[LearnedTrace]) -> None:
    """
    Mark *traces* learned, or set aside.

    Raises:
        StaleLesson: one was written to, or learned, after it was read.
    """
    statements = Statements(connection, QUERIES)
    asked = as_json([trace.trace_id for trace in traces])
    found = {
        trace_id: (seq, mark)
        for trace_id, seq, mark in _marks.decode(statements.run("marks", project_id=project_id, trace_ids=asked))
    }
    stale = [trace.trace_id for trace in traces if found.get(trace.trace_id, (0, None))[1] != trace.mark]
    if stale:
        raise StaleLesson(stale)
    for name, skipped in (("learned", False), ("set_aside", True)):
        seqs = [found[trace.trace_id][0] for trace in traces if trace.skipped is skipped]
        if seqs:
            statements.run(name, seqs=as_json(seqs))
