"""
One write transaction: batches in, rows out.

Traces that are new are summarised from memory. Of a trace that is stored already, the chunks are
read back, so that its summary is again computed from all of its spans. Nothing here begins or
ends the transaction: `store` does.

What is work for SQLite is handed to `Aside`, so that it can go on beside the Python work: the words
of the text index, the dearest part, while rows are made, and everything else at the end, while the
caller gets the next batches ready.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from clew.model import Score
from clew.store import sql
from clew.store.chunks import REWRITE_AT, ChunkCoder
from clew.store.columns import as_json
from clew.store.due import Due
from clew.store.protocol import Written
from clew.store.ready import ReadyBatch
from clew.store.sqlite.aside import Aside
from clew.store.sqlite.blocks import rows_of
from clew.store.sqlite.reading import read_chunks
from clew.store.sqlite.rows import ROWS, score_row
from clew.store.sqlite.statements import Statements
from clew.store.sqlite.tallies import put_tallies
from clew.store.text import text_of
from clew.store.work import TraceWork, count_up, fill

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_known_traces = msgspec.json.Decoder(list[tuple[str, int, str | None, str]])
_scores = msgspec.json.Decoder(list[Score])


class Commit:
    """Writes batches over *connection*, which is inside a transaction."""

    def __init__(self, connection: apsw.Connection, coder: ChunkCoder, aside: Aside, *, text_search: bool) -> None:
        self._connection = connection
        self._coder = coder
        self._aside = aside
        self._text_search = text_search
        self._sql = Statements(connection, QUERIES)

    def write(self, batches: Sequence[ReadyBatch]) -> Written:
        """Write all of *batches*, of one project or several. Some of it may still go on aside."""
        written = total = 0
        for project in dict.fromkeys(batch.project for batch in batches):
            mine = [batch for batch in batches if batch.project == project]
            written += self._write_project(project, mine)
            total += sum(len(batch.spans) for batch in mine)
        return Written(written, total - written)

    def _write_project(self, project: str, batches: Sequence[ReadyBatch]) -> int:
        scores = [score for batch in batches for score in batch.scores]
        self._aside.join()
        project_id = self._project_id(project)
        self._put_scores(project_id, scores)
        works = self._works(project_id, batches, scores)
        before = sum(len(work.spans) for work in works.values())
        changed = fill(works, batches)
        scored = {score.trace_id for score in scores}
        touched = {at: work for at, work in works.items() if work.fresh or (work.spans and at in scored)}
        self._put_spans(touched.values())
        self._put_traces(project, project_id, touched)
        self._put_due(touched.values())
        tallies = count_up(works, batches)
        self._aside.do(lambda: put_tallies(self._sql, project_id, tallies))
        new_spans = sum(len(work.spans) for work in works.values()) - before
        new_traces = sum(not work.known for work in touched.values())
        self._aside.do(
            lambda: self._sql.run("count_in_project", project_id=project_id, spans=new_spans, traces=new_traces)
        )
        return changed

    def _project_id(self, project: str) -> int:
        found: int | None = self._sql.run("project_id", project=project)
        if found is None:
            self._sql.run("add_project", project=project)
            found = self._sql.run("project_id", project=project)
        return int(found)

    def _works(self, project_id: int, batches: Sequence[ReadyBatch], scores: list[Score]) -> dict[str, TraceWork]:
        """A piece of work for every trace that is named, with what is stored of it."""
        sent = dict.fromkeys(trace_id for batch in batches for trace_id in batch.traces)
        named = sent | dict.fromkeys(score.trace_id for score in scores)
        asked = as_json(list(named))
        seq, known, judged = self._sql.run("known", project_id=project_id, trace_ids=asked)
        works: dict[str, TraceWork] = {}
        for trace_id, at, late, changed in _known_traces.decode(known):
            works[trace_id] = work = TraceWork(at, known=True)
            work.due = Due.read(late, changed)
        if works:
            self._load({work.seq: work for work in works.values()})
        for trace_id in sent:
            if trace_id not in works:
                seq += 1
                works[trace_id] = TraceWork(seq, known=False)
        for score in _scores.decode(judged):
            if score.trace_id in works:
                works[score.trace_id].scores.append(score)
        return works

    def _load(self, by_seq: dict[int, TraceWork]) -> None:
        for seq, chunk_id, chunk in read_chunks(self._connection, by_seq.keys()):
            work = by_seq[seq]
            work.chunk_ids.append(chunk_id)
            for span in self._coder.unpack(chunk):
                work.spans[span.span_id] = span

    def _put_scores(self, project_id: int, scores: list[Score]) -> None:
        received_ns = time.time_ns()
        rows: list[Any] = []
        for score in scores:
            rows += score_row(project_id, score, received_ns)
        self._sql.put("put_scores", rows, len(scores))

    def _put_traces(self, project: str, project_id: int, touched: dict[str, TraceWork]) -> None:
        made = [(work.seq, work.summarise(project, ROWS)) for work in touched.values()]
        rows: list[Any] = []
        for seq, values in made:
            rows += (seq, project_id, *values)
        self._aside.do(lambda: self._sql.put("add_traces", rows, len(made)))
        self._aside.do(lambda: self._put_blocks(project_id, made))

    def _put_blocks(self, project_id: int, made: Sequence[tuple[int, Sequence[Any]]]) -> None:
        for name, rows in zip(("put_blocks", "put_block_models"), rows_of(project_id, made), strict=True):
            self._sql.put(name, list(chain.from_iterable(rows)), len(rows))

    def _put_due(self, touched: Iterable[TraceWork]) -> None:
        """Mark what is fresh as to be learned."""
        committed_ns = time.time_ns()
        rows: list[Any] = []
        for work in touched:
            if work.due is None:
                rows += (work.seq, committed_ns, not work.has_root, None, None)
            elif work.fresh and work.due.add(work.fresh.values(), work.counted):
                late, changed = work.due.values(self._coder)
                rows += (work.seq, committed_ns, not work.has_root, late, changed)
        self._aside.do(lambda: self._sql.put("put_due", rows, len(rows) // 5))

    def _put_spans(self, touched: Iterable[TraceWork]) -> None:
        """Narrow rows, chunks and words of everything fresh."""
        works = sorted((work for work in touched if work.fresh), key=lambda work: work.seq)
        chunks: list[Any] = []
        rows: list[Any] = []
        words: list[Any] = []
        for work in works:
            chunk_id, made, chunk, text = self._chunk(work)
            rows += (chunk_id, *made)
            chunks += (chunk_id, chunk)
            words += (chunk_id, text)
        self._put_words(words)
        self._aside.do(lambda: self._sql.put("add_chunks", chunks, len(works)))
        self._aside.do(lambda: self._sql.put("add_spans", rows, len(works)))

    def _chunk(self, work: TraceWork) -> tuple[int, Any, bytes, str]:
        """The chunk that this commit adds of a trace: id, narrow row, bytes and words."""
        if work.ready is not None:
            return work.next_chunk_id(), work.ready.rows, work.ready.chunk, work.ready.words
        work.rewrite = work.rewrite or len(work.chunk_ids) + 1 >= REWRITE_AT
        if work.rewrite:
            self._aside.join()
            self._drop(work.chunk_ids)
        spans = list((work.spans if work.rewrite else work.fresh).values())
        words = text_of(spans) if self._text_search else ""
        return work.next_chunk_id(), ROWS.spans(spans), self._coder.pack([spans])[0], words

    def _drop(self, chunk_ids: list[int]) -> None:
        for chunk_id in chunk_ids:
            self._sql.run("drop_chunk", chunk_id=chunk_id)
            self._sql.run("drop_spans", chunk_id=chunk_id)
            self._sql.run("drop_words", chunk_id=chunk_id)

    def _put_words(self, words: list[Any]) -> None:
        if self._text_search:
            self._aside.do(lambda: self._sql.put("add_words", words, len(words) // 2))
        elif words:
            self._aside.join()
            self._sql.run("put_fact", name="text_gap", value="1")
