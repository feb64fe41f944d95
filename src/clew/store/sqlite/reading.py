"""One trace, whole: its summary, spans and scores, all of one moment."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from clew.model import Score, Span, in_tree_order
from clew.store import sql
from clew.store.chunks import ChunkCoder
from clew.store.protocol import StoredTrace
from clew.store.sqlite.rows import SUMMARY_COLUMNS, SummaryRow

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_row = msgspec.json.Decoder(SummaryRow)
_scores = msgspec.json.Decoder(list[Score])


def read_trace(connection: apsw.Connection, project: str, trace_id: str) -> StoredTrace | None:
    """Give the trace as `TraceReader.trace` promises."""
    try:
        key = bytes.fromhex(trace_id)
        project_id = connection.execute(QUERIES["project_id"], {"project": project}).get
    except ValueError:
        return None  # no id, or a name, of which anything could be stored
    found = connection.execute(
        QUERIES["trace"].format(columns=SUMMARY_COLUMNS), {"project_id": project_id, "trace_id": key}
    ).fetchone()
    if found is None:
        return None
    seq, summary = found
    scores = connection.execute(QUERIES["scores_of_trace"], {"project_id": project_id, "trace_id": key}).get
    return StoredTrace(
        summary=_row.decode(summary).summary(project),
        spans=[at.span for at in in_tree_order(_spans(connection, seq))],
        scores=sorted(_scores.decode(scores), key=lambda score: (score.at_ns, score.name, score.source)),
    )


def _spans(connection: apsw.Connection, seq: int) -> list[Span]:
    coder = ChunkCoder()
    chunks: list[Any] = connection.execute(QUERIES["chunks"], {"seqs": f"[{seq}]"}).fetchall()
    return [span for _, chunk in chunks for span in coder.unpack(chunk)]
