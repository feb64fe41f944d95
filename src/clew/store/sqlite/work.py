"""One trace that a commit touches: what is stored of it and what is new."""

from __future__ import annotations

from typing import Any

from clew.model import Score, Span, summarise
from clew.model.halves import keep
from clew.store.sqlite.chunks import PER_TRACE
from clew.store.sqlite.due import Due
from clew.store.sqlite.ready import ReadyTrace
from clew.store.sqlite.rows import HAS_ROOT, summary_values


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

    def summarise(self, project: str) -> tuple[Any, ...]:
        """The trace's row, after seq and project id."""
        values = self.ready.summary if self.ready else None
        if values is None:
            values = summary_values(summarise(project, list(self.spans.values()), self.scores))
        self.has_root = bool(values[HAS_ROOT])
        return values

    def next_chunk_id(self) -> int:
        """The id of the chunk that this commit writes."""
        first = self.seq * PER_TRACE
        return first if self.rewrite or not self.chunk_ids else self.chunk_ids[-1] + 1
