"""The traces that a commit touches: what is stored of them, what is new, and what that counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.model import Score, Span, summarise
from clew.model.halves import keep
from clew.model.tally import merge
from clew.store.chunks import PER_TRACE
from clew.store.due import Due
from clew.store.ready import ReadyBatch, ReadyTrace, RowMakers
from clew.store.tally import Tallies, fold, spread, take_back


class TraceWork:
    """One trace that this commit touches: what is stored of it and what is new."""

    __slots__ = (
        "chunk_ids",
        "counted",
        "due",
        "fresh",
        "has_root",
        "known",
        "ready",
        "rewrite",
        "scores",
        "seq",
        "spans",
    )

    def __init__(self, seq: int, *, known: bool) -> None:
        self.seq = seq
        self.known = known
        self.ready: ReadyTrace | None = None
        """What was made of it before, if nothing of it is stored."""
        self.spans: dict[str, Span] = {}
        """All of the trace's spans, by id."""
        self.fresh: dict[str, Span] = {}
        """Those that this commit adds, or finishes."""
        self.counted: list[Span] = []
        """What was stored, and counted, of finished spans that this commit changes: lone ends whose start came."""
        self.due: Due | None = None
        """Of a trace that is stored: how much of it is learned."""
        self.has_root = False
        self.chunk_ids: list[int] = []
        self.scores: list[Score] = []
        self.rewrite = False
        """All of its chunks become one, without the running spans that have finished."""

    def take(self, ready: ReadyTrace) -> int:
        """Be what *ready* is; gives how many spans that adds."""
        self.ready = ready
        self.spans = self.fresh = ready.spans
        return ready.changed

    def add(self, span: Span) -> bool:
        """Take *span* in; False if it changes nothing."""
        span_id = span.span_id
        have = self.spans.get(span_id)
        if not keep(span, self.spans):
            return False
        if have is not None and span_id not in self.fresh:
            self.rewrite = True
            if have.end_ns is not None:
                self.counted.append(have)
        self.fresh[span_id] = self.spans[span_id]
        return True

    def summarise(self, project: str, makers: RowMakers) -> Any:
        """The trace's row, but for the numbers that the store gives."""
        if self.ready is not None:
            self.has_root = self.ready.has_root
            return self.ready.summary
        summary = summarise(project, list(self.spans.values()), self.scores)
        self.has_root = summary.has_root
        return makers.summary(summary)

    def next_chunk_id(self) -> int:
        """The id of the chunk that this commit writes."""
        first = self.seq * PER_TRACE
        return first if self.rewrite or not self.chunk_ids else self.chunk_ids[-1] + 1


def fill(works: dict[str, TraceWork], batches: Sequence[ReadyBatch]) -> int:
    """Bring the spans into their works; gives how many were no repetitions."""
    made: dict[str, ReadyTrace] = {}
    again: set[str] = set()
    """Of these something is known beside what one batch brings, so they are made anew."""
    for batch in batches:
        again |= made.keys() & batch.traces.keys()
        made |= batch.traces
    again |= {trace_id for trace_id in made if works[trace_id].known or works[trace_id].scores}
    changed = sum([works[trace_id].take(trace) for trace_id, trace in made.items() if trace_id not in again])
    if again:
        late = [span for batch in batches for span in batch.spans if span.trace_id in again]
        changed += sum([works[span.trace_id].add(span) for span in late])
    return changed


def count_up(works: dict[str, TraceWork], batches: Sequence[ReadyBatch]) -> Tallies:
    """What this commit counts: what was made ready, if all of it is new."""
    made = [batch.take_minutes() for batch in batches]
    if all(works[trace_id].ready is not None for batch in batches for trace_id in batch.traces) and None not in made:
        return spread(merge(minutes for minutes in made if minutes is not None))
    tallies = fold(span for work in works.values() for span in work.fresh.values() if span.end_ns is not None)
    take_back(tallies, [span for work in works.values() for span in work.counted])
    return tallies
