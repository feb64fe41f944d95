"""One moment of a store's file, for moving it: see `clew.store.snapshot`."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import msgspec

from clew.graph import Graph
from clew.model import Score, Span, histogram
from clew.model.tally import Sums, Tally
from clew.store import sql
from clew.store.chunks import ChunkCoder
from clew.store.columns import as_json
from clew.store.due import ids_of
from clew.store.protocol import TraceFilter
from clew.store.snapshot import PAGE, Counted, Known, Totals, known
from clew.store.sqlite.graph_reading import read_graph, read_slices
from clew.store.sqlite.listing import list_page
from clew.store.sqlite.reading import read_chunks
from clew.store.sqlite.statements import Statements
from clew.store.tally import Operation

QUERIES = sql.load("clew.store.sqlite", "snapshot.sql")
TRACE_QUERIES = sql.load("clew.store.sqlite", "queries.sql")
GRAPH_QUERIES = sql.load("clew.store.sqlite", "graph.sql")

_late = msgspec.json.Decoder(list[tuple[int, int, str | None, str]])
_scores = msgspec.json.Decoder(list[Score])
_names = msgspec.json.Decoder(list[str])


class SqliteSnapshot:
    """Reads over *connection*, which is inside a transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._sql = Statements(connection, QUERIES)

    def projects(self) -> list[str]:
        """Every project of which there is anything."""
        return sorted(_names.decode(self._sql.run("projects")))

    def totals(self, project: str) -> Totals:
        """Count what is stored."""
        return Totals(*self._sql.run("totals", project_id=self._id(project)))

    def counted(self, project: str) -> Iterator[Counted]:
        """Give all that is counted."""
        for resolution_s, bucket_s, kind, name, model, *sums, blob in self._sql.rows(
            "counted", project_id=self._id(project)
        ):
            tally = Tally()
            tally.add_sums(Sums(*sums))
            tally.buckets = histogram.decode(blob)
            yield Counted(resolution_s, bucket_s, Operation(kind, name, model), tally)

    def traces(self, project: str) -> Iterator[Known]:
        """Give each trace."""
        after: tuple[int, str] | None = None
        while True:
            page = list_page(self._connection, project, TraceFilter(), limit=PAGE, after=after)
            if page.traces:
                yield from self._known(project, [summary.trace_id for summary in page.traces])
            if (after := page.next_cursor) is None:
                return

    def _known(self, project: str, trace_ids: list[str]) -> Iterator[Known]:
        found = _late.decode(self._sql.run("late", project_id=self._id(project), trace_ids=as_json(trace_ids)))
        coder = ChunkCoder()
        spans: dict[int, list[Span]] = {seq: [] for seq, *_ in found}
        for seq, _, chunk in read_chunks(self._connection, spans.keys()):
            spans[seq] += coder.unpack(chunk)
        for seq, is_due, late, changed in found:
            ids = None if late is None else ids_of(late)
            before = coder.unpack(bytes.fromhex(changed)) if changed else []
            yield known(spans[seq], is_due=bool(is_due), late=ids, changed=before)

    def graph(self, project: str) -> Graph:
        """Give all that was learned."""
        return read_graph(self._connection, self._id(project))

    def slices(self, project: str) -> Iterator[tuple[str, Graph]]:
        """Give each slice by name."""
        found = Statements(self._connection, GRAPH_QUERIES).run("slices", project_id=self._id(project))
        for name in sorted(_names.decode(found or "[]")):
            yield name, read_slices(self._connection, self._id(project), [name])

    def lone_scores(self, project: str) -> list[Score]:
        """Give the scores whose trace is not stored."""
        return _scores.decode(self._sql.run("lone_scores", project_id=self._id(project)))

    def _id(self, project: str) -> int:
        found = Statements(self._connection, TRACE_QUERIES).run("project_id", project=project)
        return -1 if found is None else int(found)
