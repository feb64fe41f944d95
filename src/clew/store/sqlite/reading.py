"""One trace, whole: its summary, spans and scores, all of one moment."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import apsw
import msgspec

from clew.errors import StoreUnavailable
from clew.model import Score, Span, in_tree_order
from clew.store import sql
from clew.store.chunks import PER_TRACE, ChunkCoder
from clew.store.columns import as_json
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


def read_chunks(connection: apsw.Connection, seqs: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """
    Give seq, chunk id and bytes of all chunks of some traces, one trace after the other.

    Raises:
        StoreUnavailable: a page was damaged so that SQLite gives a chunk that nobody asked for.
    """
    for chunk_id, chunk in connection.execute(QUERIES["chunks"], {"seqs": as_json(sorted(seqs))}):
        seq = chunk_id // PER_TRACE
        if seq not in seqs:
            raise StoreUnavailable(f"a page of spans is damaged (chunk {chunk_id}); restore the store from a copy")
        yield seq, chunk_id, chunk


def _spans(connection: apsw.Connection, seq: int) -> list[Span]:
    coder = ChunkCoder()
    return [span for _, _, chunk in list(read_chunks(connection, {seq})) for span in coder.unpack(chunk)]
