"""One trace, whole: its summary, spans and scores, all of one moment."""

from __future__ import annotations

from clew.model import in_tree_order
from clew.store.chunks import ChunkCoder
from clew.store.postgres.binary import findable
from clew.store.postgres.commit import read_scores
from clew.store.postgres.connect import Connection
from clew.store.postgres.rows import SUMMARY_COLUMNS, summary_of
from clew.store.postgres.statements import Statements, load
from clew.store.protocol import StoredTrace

QUERIES = {
    name: text.replace(b"{columns}", SUMMARY_COLUMNS.encode()) if name == "trace" else text
    for name, text in load("queries.sql").items()
}


def read_trace(connection: Connection, project: str, trace_id: str) -> StoredTrace | None:
    """Give the trace as `TraceReader.trace` promises."""
    try:
        key = bytes.fromhex(trace_id)
    except ValueError:
        return None  # no id of which anything could be stored
    statements = Statements(connection, QUERIES)
    project_id = statements.value("project_id", project=findable(project))
    found = None if project_id is None else statements.row("trace", project_id=project_id, trace_id=key)
    if found is None:
        return None
    seq, *summary = found
    coder = ChunkCoder()
    spans = [span for _, chunk in statements.rows("chunks", seqs=[seq]) for span in coder.unpack(chunk)]
    return StoredTrace(
        summary=summary_of(project, summary),
        spans=[at.span for at in in_tree_order(spans)],
        scores=sorted(
            read_scores(statements, project_id, [key]), key=lambda score: (score.at_ns, score.name, score.source)
        ),
    )
