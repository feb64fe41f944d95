"""The list of traces, and one trace whole."""

from __future__ import annotations

from typing import Any

from clew.model import in_tree_order
from clew.model.ids import trace_id_of
from clew.query.filters import TraceQuery, cursor_text
from clew.query.rows import score_row, span_row, trace_row
from clew.store.protocol import TraceReader


def list_traces(store: TraceReader, query: TraceQuery) -> dict[str, Any]:
    """
    Give one page: `{"traces": [row, …], "next_cursor": text or None, "unfinished": bool}`.

    An unfinished one has fewer traces than were asked for, because it looked through as many as one may.

    Raises:
        BadFilter: the store cannot answer this filter exactly.
    """
    page = store.list_traces(query.project, query.where, limit=query.limit, after=query.after)
    return {
        "traces": [trace_row(one) for one in page.traces],
        "next_cursor": cursor_text(page.next_cursor),
        "unfinished": page.unfinished,
    }


def one_trace(store: TraceReader, project: str, trace_id: str) -> dict[str, Any] | None:
    """
    Give `{"trace": row, "spans": [row in tree order, …], "scores": […]}`; None if it is not stored.

    Raises:
        MalformedId: *trace_id* is none.
    """
    stored = store.trace(project, trace_id_of(trace_id))
    if stored is None:
        return None
    start_ns = stored.summary.start_ns
    return {
        "trace": trace_row(stored.summary),
        "spans": [span_row(placed, trace_start_ns=start_ns) for placed in in_tree_order(stored.spans)],
        "scores": [score_row(score) for score in stored.scores],
    }
