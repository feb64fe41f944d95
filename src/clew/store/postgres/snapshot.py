"""One moment of a database, for moving it: see `clew.store.snapshot`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.graph import Graph
from clew.model import Score, Span, histogram
from clew.model.tally import Sums, Tally
from clew.store.chunks import PER_TRACE, ChunkCoder
from clew.store.due import ids_of
from clew.store.postgres.binary import findable, told
from clew.store.postgres.commit import QUERIES as TRACE_QUERIES
from clew.store.postgres.commit import read_scores
from clew.store.postgres.connect import Connection
from clew.store.postgres.graph_reading import read_graph, read_slices
from clew.store.postgres.graph_statements import QUERIES as GRAPH_QUERIES
from clew.store.postgres.listing import list_page
from clew.store.postgres.statements import Statements, load
from clew.store.protocol import TraceFilter
from clew.store.snapshot import PAGE, Counted, Known, Totals, known
from clew.store.tally import Operation

QUERIES = load("snapshot.sql")

_ROWS_AT_ONCE = 2_000


class PostgresSnapshot:
    """Reads over *connection*, which is inside a transaction of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = Statements(connection, QUERIES)

    def projects(self) -> list[str]:
        """Every project of which there is anything."""
        return sorted(told(name) for (name,) in self._sql.rows("projects"))

    def totals(self, project: str) -> Totals:
        """Count what is stored."""
        # This one reads whole tables, which those that ask for a few rows never should.
        for name in ("enable_seqscan", "enable_hashjoin"):
            self._connection.execute(f"SET LOCAL {name} = on".encode(), prepare=False)
        found = self._sql.row("totals", project_id=self._id(project))
        for name in ("enable_seqscan", "enable_hashjoin"):
            self._connection.execute(f"SET LOCAL {name} = off".encode(), prepare=False)
        return Totals(*(found or (0, 0, 0, 0)))

    def counted(self, project: str) -> Iterator[Counted]:
        """Give all that is counted; the same operation may come in several parts."""
        with self._connection.cursor("clew_counted", withhold=False) as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(QUERIES["counted"], {"project_id": self._id(project)}, binary=True)
            for resolution_s, bucket_s, kind, name, model, *sums, blob in cursor:
                tally = Tally()
                tally.add_sums(Sums(*sums))
                tally.buckets = histogram.decode(blob)
                yield Counted(resolution_s, bucket_s, Operation(kind, told(name), told(model)), tally)

    def traces(self, project: str) -> Iterator[Known]:
        """Give each trace."""
        after: tuple[int, str] | None = None
        while True:
            page = list_page(self._connection, project, TraceFilter(), limit=PAGE, after=after)
            yield from self._known(project, [summary.trace_id for summary in page.traces])
            if (after := page.next_cursor) is None:
                return

    def _known(self, project: str, trace_ids: list[str]) -> Iterator[Known]:
        asked = [bytes.fromhex(trace_id) for trace_id in trace_ids]
        found = self._sql.rows("late", project_id=self._id(project), trace_ids=asked)
        coder = ChunkCoder()
        spans: dict[int, list[Span]] = {seq: [] for seq, *_ in found}
        for chunk_id, chunk in Statements(self._connection, TRACE_QUERIES).rows("chunks", seqs=list(spans)):
            spans[chunk_id // PER_TRACE] += coder.unpack(chunk)
        for seq, is_due, late, changed in found:
            ids = None if late is None else ids_of(late.hex())
            yield known(spans[seq], is_due=is_due, late=ids, changed=coder.unpack(changed) if changed else [])

    def graph(self, project: str) -> Graph:
        """Give all that was learned."""
        return read_graph(self._connection, self._id(project))

    def slices(self, project: str) -> Iterator[tuple[str, Graph]]:
        """Give each slice by name."""
        rows = Statements(self._connection, GRAPH_QUERIES).rows("slices", project_id=self._id(project))
        for name in sorted(told(name) for (name,) in rows):
            yield name, read_slices(self._connection, self._id(project), [name])

    def lone_scores(self, project: str) -> list[Score]:
        """Give the scores whose trace is not stored."""
        found = [trace_id for (trace_id,) in self._sql.rows("lone_score_traces", project_id=self._id(project))]
        return read_scores(Statements(self._connection, TRACE_QUERIES), self._id(project), found)

    def _id(self, project: str) -> int:
        found = Statements(self._connection, TRACE_QUERIES).value("project_id", project=findable(project))
        return -1 if found is None else int(found)
