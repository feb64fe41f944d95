"""
One write: pieces first, then what is due, then the rows that make traces visible.

Between the pieces and the rows it is looked up whether another process wrote to the same traces
meanwhile. Each adds its pieces before it looks, so whoever looks last sees all, and its row, made of
more pieces, wins. A write that broke off is finished when the same is written again: its spans are
there already, but the row is not made of them yet.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timezone
from typing import Any

import msgspec

from clew.errors import StoreBusy
from clew.model import Score
from clew.store.clickhouse.connect import Servers, wanted
from clew.store.clickhouse.rows import DUE, PIECES, ROWS, TRACES, pack_scores, pack_spans
from clew.store.clickhouse.traces import Folded, Piece, Stored, TraceKey, fold, read_stored
from clew.store.protocol import Written
from clew.store.ready import ReadyBatch
from clew.store.work import TraceWork, fill

MOST_S = 300.0
"""What was dropped is remembered for longer than a write may take; see `clew.store.clickhouse.expiry_log`."""

_NOTHING = Stored(None, [])


class Touched:
    """One trace of a write."""

    def __init__(self, project: str, trace_id: str, stored: Stored) -> None:
        self.project = project
        self.trace_id = bytes.fromhex(trace_id)
        self.stored = stored
        self.pieces = list(stored.pieces)
        """All of them, also the one that this write adds."""
        self.base = stored.row.base if stored.row else 0
        """From there on its rows are numbered; see `clew.store.clickhouse.expiry_log`."""
        self.folded = fold(stored.pieces) if stored.pieces else Folded()
        self.scores: list[Score] = []
        """New ones."""
        self.work = TraceWork(0, known=bool(stored.pieces))
        self.work.spans = self.folded.spans

    def add_score(self, score: Score, received_ns: int) -> None:
        """Take in one that is sent."""
        timed = msgspec.structs.replace(score, at_ns=score.at_ns or received_ns)
        if self.folded.add_score(timed):
            self.scores.append(timed)
        self.work.scores = list(self.folded.scores.values())

    @property
    def key(self) -> TraceKey:
        """Its project and id."""
        return self.project, self.trace_id

    @property
    def adds(self) -> bool:
        """There is something new."""
        return bool(self.work.fresh or self.scores)

    @property
    def is_behind(self) -> bool:
        """Its row is not made of all that was there before."""
        row = self.stored.row
        return bool(self.stored.pieces) and (row is None or len(row.pieces) < len(self.stored.pieces))

    @property
    def mark(self) -> int:
        """How many pieces brought spans, counted from the base."""
        return self.base + sum(piece.span_count > 0 for piece in self.pieces)


class Commit:
    """Writes batches."""

    def __init__(self, servers: Servers, *, text_search: bool) -> None:
        self._servers = servers
        self._text_search = text_search
        self._now_ns = time.time_ns()
        self._began = time.monotonic()

    def write(self, batches: Sequence[ReadyBatch]) -> Written:
        """Write all of *batches*."""
        touched = self._touched(batches)
        changed = 0
        for project in sorted({batch.project for batch in batches}):
            works = {each.trace_id.hex(): each.work for each in touched.values() if each.project == project}
            changed += fill(works, [batch for batch in batches if batch.project == project])
        adding = [each for each in touched.values() if each.adds]
        self._put_pieces(adding)
        self._finish(touched.values())
        total = sum(len(batch.spans) for batch in batches)
        return Written(changed, total - changed)

    def _touched(self, batches: Sequence[ReadyBatch]) -> dict[TraceKey, Touched]:
        keys = {(batch.project, trace_id) for batch in batches for trace_id in batch.traces}
        keys |= {(batch.project, score.trace_id) for batch in batches for score in batch.scores}
        stored = read_stored(self._servers, [(project, bytes.fromhex(trace_id)) for project, trace_id in sorted(keys)])
        touched: dict[TraceKey, Touched] = {}
        for project, trace_id in sorted(keys):
            key = project, bytes.fromhex(trace_id)
            touched[key] = Touched(project, trace_id, stored.get(key, _NOTHING))
        for batch in batches:
            for score in batch.scores:
                touched[batch.project, bytes.fromhex(score.trace_id)].add_score(score, self._now_ns)
        for each in touched.values():
            each.work.scores = list(each.folded.scores.values())
        return touched

    def _put_pieces(self, adding: Iterable[Touched]) -> None:
        rows = []
        for each in adding:
            piece = self._piece(each)
            each.pieces.append(piece)
            rows.append((*each.key, *piece))
        self._insert("clew_pieces", PIECES, rows)

    def _piece(self, each: Touched) -> Piece:
        work, before = each.work, each.stored.pieces
        spans = b""
        if work.ready is not None:
            spans = work.ready.chunk
        elif work.fresh:
            spans = pack_spans(list(work.fresh.values()))
        return Piece(
            piece=secrets.randbits(64),
            place=1 + max((piece.place for piece in before), default=0),
            day=before[0].day if before else _day_of(self._now_ns),
            committed_ns=self._now_ns,
            span_count=len(work.fresh),
            score_count=len(each.scores),
            spans=spans,
            scores=pack_scores(each.scores) if each.scores else b"",
        )

    def finish(self, keys: Iterable[TraceKey]) -> None:
        """Write the rows of traces that have pieces which their rows are not made of."""
        stored = read_stored(self._servers, list(keys))
        self._finish([Touched(project, trace_id.hex(), each) for (project, trace_id), each in stored.items()])

    def _finish(self, touched: Iterable[Touched]) -> None:
        changed = [each for each in touched if each.adds or each.is_behind]
        self._catch_up(changed)
        if time.monotonic() - self._began > MOST_S:
            raise StoreBusy("the write took too long to be sure of what it read; write the same again")
        self._put_rows([each for each in changed if each.work.spans])

    def _catch_up(self, changed: Sequence[Touched]) -> None:
        """Take in what another process wrote to the same traces meanwhile, or dropped of them."""
        if not changed:
            return
        found = self._servers.rows("piece_counts", data=wanted([each.key for each in changed]))
        now = {(project.decode(), trace_id): (count, base) for project, trace_id, count, base in found}
        late = []
        for each in changed:
            count, base = now.get(each.key, (0, 0))
            if count != len(each.pieces) or base > each.base:
                late.append(each)
            each.base = max(base, each.base)
        stored = read_stored(self._servers, [each.key for each in late])
        for each in late:
            each.pieces = stored.get(each.key, _NOTHING).pieces
            each.folded = fold(each.pieces)
            each.work.ready = None
            each.work.spans = each.folded.spans
            each.work.scores = list(each.folded.scores.values())

    def _put_rows(self, changed: Sequence[Touched]) -> None:
        traces, due = [], []
        for each in changed:
            traces.append(self._row(each))
            if each.work.fresh or each.is_behind:
                rootless = not each.work.has_root
                due.append((*each.key, 2 * each.mark, 0, self._now_ns, rootless, len(each.work.spans)))
        self._insert("clew_due", DUE, due)
        self._insert("clew_traces", TRACES, traces)

    def _row(self, each: Touched) -> tuple[Any, ...]:
        work, spans = each.work, list(each.work.spans.values())
        summary = work.summarise(each.project, ROWS)
        of_spans = work.ready.rows if work.ready else ROWS.spans(spans)
        words = ""
        if self._text_search:
            words = work.ready.words if work.ready else ROWS.words(spans)
        pieces = [piece.piece for piece in each.pieces]
        came_ns = min(piece.committed_ns for piece in each.pieces)
        head = (*each.key, each.base + len(pieces), each.mark, each.base, pieces, each.pieces[0].day, came_ns)
        return (*head, *summary, *of_spans, self._text_search, words)

    def _insert(self, table: str, types: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._servers.insert(table, types, list(zip(*rows, strict=True)))


def _day_of(at_ns: int) -> date:
    return datetime.fromtimestamp(at_ns / 1e9, tz=timezone.utc).date()
