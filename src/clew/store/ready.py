"""
What of a write needs no database, done before its turn comes.

Nearly every trace of a batch is new to the store. For such a one the summary, the rows, the chunk
and the words follow from the batch alone, and are made here while the database is busy with the
batch before. If it turns out that something of the trace is stored, they are thrown away and made
again. Rows are what the backend makes of them (`RowMakers`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

from clew.model import Batch, Span, TraceSummary, summarise
from clew.model.halves import keep
from clew.model.tally import Minutes, count
from clew.store.chunks import ChunkCoder


class RowMakers(NamedTuple):
    """How a backend writes things down, but for the numbers that only a transaction knows. Pure."""

    summary: Callable[[TraceSummary], Any]
    spans: Callable[[Iterable[Span]], Any]
    words: Callable[[Iterable[Span]], Any]


class ReadyTrace:
    """A trace of a batch, as it will be if nothing of it is stored yet."""

    __slots__ = ("changed", "chunk", "has_root", "rows", "spans", "summary", "words")

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.changed = 0
        """How many of the batch's spans were not repetitions."""
        self.has_root = False
        self.summary: Any = None
        self.rows: Any = None
        self.chunk = b""
        self.words: Any = ""

    def finish(self, project: str, makers: RowMakers, *, text_search: bool) -> None:
        """Make everything but the chunk from the spans."""
        spans = list(self.spans.values())
        summary = summarise(project, spans)
        self.has_root = summary.has_root
        self.summary = makers.summary(summary)
        self.rows = makers.spans(in_key_order(self.spans))
        if text_search:
            self.words = makers.words(spans)


def in_key_order(spans: dict[str, Span]) -> list[Span]:
    """Give *spans* by id, so that the pages of a table of spans are filled one after the other."""
    return [spans[span_id] for span_id in sorted(spans)]


class ReadyBatch(Batch):
    """A batch and what was made of it."""

    traces: dict[str, ReadyTrace]
    minutes: Minutes | None

    def take_minutes(self) -> Minutes | None:
        """Give the counts, once: whoever writes them adds to them what is stored."""
        minutes, self.minutes = self.minutes, None
        return minutes


Beside = Callable[[Callable[[list[bytes]], list[bytes]], list[bytes]], "Future[list[bytes]]"]
"""Has a job done on another thread."""


def make_ready(
    batch: Batch, coder: ChunkCoder, makers: RowMakers, *, text_search: bool, beside: Beside | None = None
) -> ReadyBatch:
    """
    Do for *batch* what needs no database.

    Compressing is a third of it and needs no lock of Python's: *beside* does it meanwhile.
    """
    if isinstance(batch, ReadyBatch):
        return batch
    traces: dict[str, ReadyTrace] = {}
    for span in batch.spans:
        trace = traces.get(span.trace_id)
        if trace is None:
            trace = traces[span.trace_id] = ReadyTrace()
        trace.changed += keep(span, trace.spans)
    encoded = coder.encode([list(trace.spans.values()) for trace in traces.values()])
    packing = beside(coder.compress, encoded) if beside else None
    for trace in traces.values():
        trace.finish(batch.project, makers, text_search=text_search)
    minutes = count(span for trace in traces.values() for span in trace.spans.values() if span.end_ns is not None)
    chunks = packing.result() if packing else coder.compress(encoded)
    for trace, chunk in zip(traces.values(), chunks, strict=True):
        trace.chunk = chunk
    return ReadyBatch(project=batch.project, spans=batch.spans, scores=batch.scores, traces=traces, minutes=minutes)
