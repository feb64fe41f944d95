"""
One write transaction: batches in, rows out.

As in every store, traces that are new are summarised from memory, and of a trace that is stored
already the chunks are read back, so that its summary is again computed from all of its spans.
Several processes may write at once: each trace is first claimed in `trace_ids`, where a second
process waits for the first; counts go to a part that is this process's own. So everything else can
go straight into its table. The transaction is piped: it waits for the database where it asks what
became of its claims, and for the commit. Nothing here begins or ends the transaction: `store` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clew.model import Score
from clew.store.chunks import PER_TRACE, REWRITE_AT, ChunkCoder
from clew.store.due import Due
from clew.store.postgres.binary import byteas, digest, int8s, safe, told
from clew.store.postgres.connect import Connection
from clew.store.postgres.numbers import Numbers
from clew.store.postgres.rows import ROWS, chunk_row, due_row, span_rows, text_row, trace_row
from clew.store.postgres.statements import Statements, load
from clew.store.postgres.tallies import PartTallies, keys_of
from clew.store.postgres.words import FEWEST_IN_BLOCK, block_row, groups_of
from clew.store.protocol import Written
from clew.store.ready import ReadyBatch, in_key_order
from clew.store.work import TraceWork, count_up, fill

QUERIES = load("queries.sql")

RECORDS = ("traces", "trace_spans", "trace_payloads", "trace_text", "trace_text_blocks", "trace_metrics", "graph_due")
"""The tables that rows are put into."""


class Commit:
    """Writes batches over *connection*, which is inside a transaction."""

    def __init__(
        self,
        connection: Connection,
        coder: ChunkCoder,
        numbers: Numbers,
        projects: dict[str, int],
        *,
        types: Mapping[str, int],
        part: int,
        text_search: bool,
        has_text_gap: bool,
    ) -> None:
        self._sql = Statements(connection, QUERIES)
        self._coder = coder
        self._numbers = numbers
        self._types = types
        self._part = part
        self._text_search = text_search
        self.projects = dict(projects)
        """The ids of projects, to be remembered if this commits."""
        self.has_text_gap = has_text_gap
        """It is known that traces were stored without their words; to be remembered, too."""

    def write(self, batches: Sequence[ReadyBatch]) -> Written:
        """Write all of *batches*, of one project or several."""
        written = total = 0
        for project in sorted({batch.project for batch in batches}):
            mine = [batch for batch in batches if batch.project == project]
            written += self._write_project(project, mine)
            total += sum(len(batch.spans) for batch in mine)
        return Written(written, total - written)

    def _write_project(self, project: str, batches: Sequence[ReadyBatch]) -> int:
        scores = [score for batch in batches for score in batch.scores]
        project_id = self._project_id(project)
        tallies = PartTallies(self._sql, project_id, self._part)
        tallies.ask({key for batch in batches for key in keys_of(batch.minutes or {})})
        works = self._works(project_id, batches, scores)
        before = sum(len(work.spans) for work in works.values())
        changed = fill(works, batches)
        scored = {score.trace_id for score in scores}
        touched = {at: work for at, work in works.items() if work.fresh or (work.spans and at in scored)}
        self._put_spans(touched.values())
        self._put_traces(project, project_id, touched.values())
        self._put_due(touched.values())
        tallies.add(count_up(works, batches), self._types["trace_metrics"])
        new_spans = sum(len(work.spans) for work in works.values()) - before
        new_traces = sum(not work.known for work in touched.values())
        if new_spans or new_traces:
            self._sql.run(
                "count_in_project", project_id=project_id, part=self._part, spans=new_spans, traces=new_traces
            )
        return changed

    def _project_id(self, project: str) -> int:
        found = self.projects.get(project)
        if found is None:
            found = self.projects[project] = project_id(self._sql, project)
        return found

    def _works(self, project_id: int, batches: Sequence[ReadyBatch], scores: list[Score]) -> dict[str, TraceWork]:
        """A piece of work for every trace that is sent, with what is stored of it; also for those only scored."""
        sent = dict.fromkeys(trace_id for batch in batches for trace_id in batch.traces)
        named = list(sent | dict.fromkeys(score.trace_id for score in scores))
        if not named:
            return {}
        ids = [bytes.fromhex(trace_id) for trace_id in named]
        seqs = self._numbers.take(self._sql, len(ids))
        claimed = self._sql.rows("claim_traces", project_id=project_id, trace_ids=byteas(ids), seqs=int8s(seqs))
        new = {seq for (seq,) in claimed}
        works = {at: TraceWork(seq, known=False) for at, seq in zip(named, seqs, strict=True) if seq in new}
        if len(new) < len(named):
            self._find(project_id, [at for at in named if at not in works], works)
        self._put_scores(project_id, scores)
        if scores or len(new) < len(named):
            for score in read_scores(self._sql, project_id, ids):
                works[score.trace_id].scores.append(score)
        return works

    def _find(self, project_id: int, named: Sequence[str], works: dict[str, TraceWork]) -> None:
        """Take traces that are there, once nobody else is at them."""
        ids = [bytes.fromhex(trace_id) for trace_id in named]
        self._sql.run("lock_traces", project_id=project_id, trace_ids=ids)
        known = self._sql.rows("known", project_id=project_id, trace_ids=ids)
        by_seq: dict[int, TraceWork] = {}
        for trace_id, seq, is_stored, is_due, late, changed in known:
            work = works[trace_id.hex()] = TraceWork(seq, known=is_stored)
            if is_stored:
                by_seq[seq] = work
                work.due = Due.read("" if not is_due else None if late is None else late.hex(), (changed or b"").hex())
        if by_seq:
            self._load(by_seq)

    def _load(self, by_seq: dict[int, TraceWork]) -> None:
        for chunk_id, chunk in self._sql.rows("chunks", seqs=sorted(by_seq)):
            work = by_seq[chunk_id // PER_TRACE]
            work.chunk_ids.append(chunk_id)
            for span in self._coder.unpack(chunk):
                work.spans[span.span_id] = span

    def _put_scores(self, project_id: int, scores: list[Score]) -> None:
        received_ns = time.time_ns()
        self._sql.each("put_score", [_score_values(project_id, score, received_ns) for score in scores])

    def _put_traces(self, project: str, project_id: int, touched: Iterable[TraceWork]) -> None:
        works = list(touched)
        stored = [work.seq for work in works if work.known]
        if stored:
            self._sql.run("drop_traces", seqs=stored)
        self._put(
            "add_traces", "traces", [trace_row(work.seq, project_id, work.summarise(project, ROWS)) for work in works]
        )

    def _put_due(self, touched: Iterable[TraceWork]) -> None:
        """Mark what is fresh as to be learned."""
        committed_ns = time.time_ns()
        new: list[bytes] = []
        more: list[dict[str, Any]] = []
        for work in touched:
            rootless = not work.has_root
            if work.due is None:
                new.append(due_row(work.seq, committed_ns, rootless=rootless))
            elif work.fresh and work.due.add(work.fresh.values(), work.counted):
                late, changed = work.due.values(self._coder)
                values = {"seq": work.seq, "committed_ns": committed_ns, "rootless": rootless}
                more.append(values | {"late": late, "changed": changed})
        self._put("add_due", "graph_due", new)
        self._sql.each("put_due", more)

    def _put_spans(self, touched: Iterable[TraceWork]) -> None:
        """Narrow rows, chunks and words of everything fresh."""
        works = sorted((work for work in touched if work.fresh), key=lambda work: work.seq)
        chunks: list[bytes] = []
        alone: list[bytes] = []
        new: list[tuple[int, Sequence[str]]] = []
        rows: list[bytes] = []
        for work in works:
            chunk_id, chunk, words = self._chunk(work)
            chunks.append(chunk_row(chunk_id, chunk))
            if work.ready is not None:
                new.append((work.seq, words))
            else:
                alone.append(text_row(chunk_id, words))
            made = work.ready.rows if work.ready else ROWS.spans(in_key_order(work.fresh))
            rows += span_rows(work.seq, made)
        self._drop_replaced(works)
        self._put("add_spans", "trace_spans", rows)
        self._put("add_chunks", "trace_payloads", chunks)
        if self._text_search:
            self._put_words(alone, new)
        elif works and not self.has_text_gap:
            self._sql.run("put_fact", name="text_gap", value="1")
            self.has_text_gap = True

    def _chunk(self, work: TraceWork) -> tuple[int, bytes, Sequence[str]]:
        """The chunk that this commit adds of a trace: id, bytes and words."""
        if work.ready is not None:
            return work.next_chunk_id(), work.ready.chunk, work.ready.words
        work.rewrite = work.rewrite or len(work.chunk_ids) + 1 >= REWRITE_AT
        spans = list((work.spans if work.rewrite else work.fresh).values())
        words = ROWS.words(spans) if self._text_search else ()
        return work.next_chunk_id(), self._coder.pack([spans])[0], words

    def _drop_replaced(self, works: Sequence[TraceWork]) -> None:
        """Drop rows of running spans that have finished, and chunks that become one."""
        rewritten = [work for work in works if work.rewrite]
        if not rewritten:
            return
        pairs = [(work.seq, bytes.fromhex(span_id)) for work in rewritten for span_id in work.fresh]
        self._sql.run("drop_spans", seqs=[seq for seq, _ in pairs], span_ids=[span_id for _, span_id in pairs])
        chunk_ids = [chunk_id for work in rewritten for chunk_id in work.chunk_ids]
        for name in ("drop_chunks", "drop_words"):
            self._sql.run(name, chunk_ids=chunk_ids)
        if self._text_search:
            self._sql.run("void_words", seqs=[work.seq for work in rewritten])

    def _put_words(self, alone: list[bytes], new: Sequence[tuple[int, Sequence[str]]]) -> None:
        blocks = []
        for group in groups_of(new):
            if len(group) >= FEWEST_IN_BLOCK:
                blocks.append(block_row(group))
            else:
                alone += [text_row(seq * PER_TRACE, words) for seq, words in group]
        self._put("add_words", "trace_text", alone)
        self._put("add_word_blocks", "trace_text_blocks", blocks)

    def _put(self, name: str, table: str, rows: Sequence[bytes]) -> None:
        self._sql.put(name, self._types[table], rows)


def record_types(statements: Statements) -> dict[str, int]:
    """Give the types of what `RECORDS` hold, which are other ones once a table was dropped and made again."""
    return dict(statements.rows("record_types", names=list(RECORDS)))


def project_id(statements: Statements, project: str) -> int:
    """Give the id of a project, which is added if it is new."""
    name = safe(project)
    found = statements.value("project_id", project=name)
    if found is None:
        statements.run("add_project", project=name)
        found = statements.value("project_id", project=name)
    return int(found)


def read_scores(statements: Statements, project_id: int, trace_ids: Sequence[bytes]) -> list[Score]:
    """Read the scores of some traces."""
    rows = statements.rows("scores_of_traces", project_id=project_id, trace_ids=list(trace_ids))
    return [
        Score(
            trace_id=trace_id.hex(),
            span_id=span_id.hex() or None,
            name=told(name),
            source=source,
            value=value,
            best=best,
            label=told(label),
            comment=told(comment),
            at_ns=at_ns,
        )
        for trace_id, span_id, name, source, value, best, label, comment, at_ns in rows
    ]


def _score_values(project_id: int, score: Score, received_ns: int) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "trace_id": bytes.fromhex(score.trace_id),
        "judgement": digest(score.span_id or "", score.name, score.source),
        "span_id": bytes.fromhex(score.span_id or ""),
        "name": safe(score.name),
        "source": score.source,
        "value": float(score.value),
        "best": float(score.best),
        "label": safe(score.label),
        "comment": safe(score.comment),
        "at_ns": score.at_ns or received_ns,
    }
