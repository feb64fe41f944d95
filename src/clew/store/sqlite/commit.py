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
from typing import Any

import apsw
import msgspec

from clew.model import Batch, Score, Span, summarise
from clew.store import histogram, sql
from clew.store.protocol import Written
from clew.store.sqlite.aside import Aside
from clew.store.sqlite.chunks import PER_TRACE, REWRITE_AT, ChunkCoder
from clew.store.sqlite.rows import finite, int64, score_row, span_values, summary_row
from clew.store.tally import Operation, Sums, Tallies, fold
from clew.store.text import text_of

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_ROWS_A_STEP = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Few sizes, so that every statement is prepared once..."""

_VALUES_AT_ONCE = 512
"""... but so few values as these are prepared in any number: it costs less than another step."""

_LONGEST_STATEMENT = 16_000
"""In characters: apsw keeps no longer one prepared."""

_json = msgspec.json.Encoder()
_known_traces = msgspec.json.Decoder(list[tuple[str, int]])
_scores = msgspec.json.Decoder(list[Score])
_known_tallies = msgspec.json.Decoder(list[tuple[int, Sums, str]])


class TraceWork:
    """One trace that this commit touches: what is stored of it and what is new."""

    __slots__ = ("chunk_ids", "fresh", "known", "rewrite", "scores", "seq", "spans")

    def __init__(self, seq: int, *, known: bool) -> None:
        self.seq = seq
        self.known = known
        self.spans: dict[str, Span] = {}
        """All of the trace's spans, by id."""
        self.fresh: dict[str, Span] = {}
        """Those that this commit adds, or finishes."""
        self.chunk_ids: list[int] = []
        self.scores: list[Score] = []
        self.rewrite = False
        """All of its chunks become one, without the running spans that have finished."""

    def add(self, span: Span) -> bool:
        """Take *span* in; False if it changes nothing."""
        span_id = span.span_id
        have = self.spans.get(span_id)
        if have is not None:
            if have.end_ns is not None or span.end_ns is None:
                return False
            self.rewrite = self.rewrite or span_id not in self.fresh
        self.spans[span_id] = self.fresh[span_id] = span
        return True

    def next_chunk_id(self) -> int:
        """The id of the chunk that this commit writes."""
        first = self.seq * PER_TRACE
        return first if self.rewrite or not self.chunk_ids else self.chunk_ids[-1] + 1


class Commit:
    """Writes batches over *connection*, which is inside a transaction."""

    def __init__(self, connection: apsw.Connection, coder: ChunkCoder, aside: Aside, *, text_search: bool) -> None:
        self._connection = connection
        self._coder = coder
        self._aside = aside
        self._text_search = text_search

    def write(self, batches: Sequence[Batch]) -> Written:
        """Write all of *batches*, of one project or several. Some of it may still go on aside."""
        written = duplicates = 0
        for project in dict.fromkeys(batch.project for batch in batches):
            mine = [batch for batch in batches if batch.project == project]
            spans = [span for batch in mine for span in batch.spans]
            scores = [score for batch in mine for score in batch.scores]
            changed = self._write_project(project, spans, scores)
            written += changed
            duplicates += len(spans) - changed
        return Written(written, duplicates)

    def _write_project(self, project: str, spans: list[Span], scores: list[Score]) -> int:
        if not spans and not scores:
            return 0
        self._aside.join()
        project_id = self._project_id(project)
        self._put_scores(project_id, scores)
        works = self._works(project_id, spans, scores)
        before = sum(len(work.spans) for work in works.values())
        changed = sum([works[span.trace_id].add(span) for span in spans])
        scored = {score.trace_id for score in scores}
        touched = {at: work for at, work in works.items() if work.fresh or (work.spans and at in scored)}
        self._put_spans(touched.values())
        self._put_traces(project, project_id, touched)
        finished = (span for work in touched.values() for span in work.fresh.values() if span.end_ns is not None)
        tallies = fold(finished)
        self._aside.do(lambda: self._put_tallies(project_id, tallies))
        new_spans = sum(len(work.spans) for work in works.values()) - before
        new_traces = sum(not work.known for work in touched.values())
        self._aside.do(lambda: self._run("count_in_project", project_id=project_id, spans=new_spans, traces=new_traces))
        return changed

    def _project_id(self, project: str) -> int:
        found: int | None = self._run("project_id", project=project)
        if found is None:
            self._run("add_project", project=project)
            found = self._run("project_id", project=project)
        return int(found)

    def _works(self, project_id: int, spans: list[Span], scores: list[Score]) -> dict[str, TraceWork]:
        """A piece of work for every trace that is named, with what is stored of it."""
        named = dict.fromkeys([span.trace_id for span in spans] + [score.trace_id for score in scores])
        asked = _json.encode(list(named)).decode()
        seq, known, judged = self._run("known", project_id=project_id, trace_ids=asked)
        works = {trace_id: TraceWork(at, known=True) for trace_id, at in _known_traces.decode(known)}
        if works:
            self._load({work.seq: work for work in works.values()})
        for trace_id in dict.fromkeys([span.trace_id for span in spans]):
            if trace_id not in works:
                seq += 1
                works[trace_id] = TraceWork(seq, known=False)
        for score in _scores.decode(judged):
            if score.trace_id in works:
                works[score.trace_id].scores.append(score)
        return works

    def _load(self, by_seq: dict[int, TraceWork]) -> None:
        asked = _json.encode(sorted(by_seq)).decode()
        for chunk_id, chunk in self._connection.execute(QUERIES["chunks"], {"seqs": asked}):
            work = by_seq[chunk_id // PER_TRACE]
            work.chunk_ids.append(chunk_id)
            for span in self._coder.unpack(chunk):
                work.spans[span.span_id] = span

    def _put_scores(self, project_id: int, scores: list[Score]) -> None:
        received_ns = time.time_ns()
        rows: list[Any] = []
        for score in scores:
            rows += score_row(project_id, score, received_ns)
        self._put("put_scores", rows, len(scores))

    def _put_traces(self, project: str, project_id: int, touched: dict[str, TraceWork]) -> None:
        rows: list[Any] = []
        for work in touched.values():
            summary = summarise(project, list(work.spans.values()), work.scores)
            rows += summary_row(work.seq, project_id, summary)
        self._aside.do(lambda: self._put("add_traces", rows, len(touched)))

    def _put_spans(self, touched: Iterable[TraceWork]) -> None:
        """Narrow rows, chunks and words of everything fresh."""
        works = sorted((work for work in touched if work.fresh), key=lambda work: work.seq)
        chunks: dict[int, list[Span]] = {}
        for work in works:
            work.rewrite = work.rewrite or len(work.chunk_ids) + 1 >= REWRITE_AT
            if work.rewrite:
                self._drop(work.chunk_ids)
            kept = work.spans if work.rewrite else work.fresh
            chunks[work.next_chunk_id()] = list(kept.values())
        self._put_words(chunks)
        rows: list[Any] = []
        for work in works:
            for span_id in sorted(work.fresh):
                span_values(work.seq, work.fresh[span_id], rows)
        count = sum(len(work.fresh) for work in works)
        self._aside.do(lambda: self._put("add_spans", rows, count))
        self._aside.do(lambda: self._put_chunks(chunks))

    def _put_chunks(self, chunks: dict[int, list[Span]]) -> None:
        packed = zip(chunks, self._coder.pack(chunks.values()), strict=True)
        self._put("add_chunks", [value for row in packed for value in row], len(chunks))

    def _drop(self, chunk_ids: list[int]) -> None:
        for chunk_id in chunk_ids:
            self._run("drop_chunk", chunk_id=chunk_id)
            self._run("drop_words", chunk_id=chunk_id)

    def _put_words(self, chunks: dict[int, list[Span]]) -> None:
        if self._text_search:
            rows = [value for chunk_id, spans in chunks.items() for value in (chunk_id, text_of(spans))]
            self._aside.do(lambda: self._put("add_words", rows, len(chunks)))
        elif chunks:
            self._aside.join()
            self._run("put_fact", name="text_gap", value="1")

    def _put_tallies(self, project_id: int, tallies: Tallies) -> None:
        keys = sorted(tallies)
        asked = _json.encode([(resolution_s, at_s, *of) for resolution_s, at_s, of in keys]).decode()
        for index, sums, blob in _known_tallies.decode(self._run("known_tallies", project_id=project_id, keys=asked)):
            tally = tallies[keys[index]]
            tally.add_sums(sums)
            stored = histogram.decode(bytes.fromhex(blob))
            histogram.merge(stored, tally.buckets)
            tally.buckets = stored
        rows: list[Any] = []
        for key in keys:
            rows += self._tally_row(project_id, key, tallies)
        self._put("put_tallies", rows, len(keys))

    def _tally_row(self, project_id: int, key: tuple[int, int, Operation], tallies: Tallies) -> tuple[Any, ...]:
        resolution_s, at_s, operation = key
        tally = tallies[key]
        return (
            project_id,
            resolution_s,
            at_s,
            *operation,
            tally.count,
            tally.errors,
            int64(tally.input_tokens),
            int64(tally.output_tokens),
            finite(tally.cost_usd) or 0.0,
            int64(tally.duration_ns),
            histogram.encode(tally.buckets),
        )

    def _run(self, name: str, /, **values: Any) -> Any:
        """Run a named statement; its first row (bare, if of one value), or None."""
        return self._connection.execute(QUERIES[name], values).get

    def _put(self, name: str, values: list[Any], count: int) -> None:
        """Run a statement of rows over *values*, the flat values of *count* rows, in few steps."""
        done = 0
        width = len(values) // max(1, count)
        sizes = (count,) if 0 < len(values) <= _VALUES_AT_ONCE else _ROWS_A_STEP
        for size in sizes:
            if count - done >= size and len(statement := sql.of_rows(QUERIES[name], size)) <= _LONGEST_STATEMENT:
                while count - done >= size:
                    self._connection.execute(statement, values[done * width : (done + size) * width])
                    done += size
