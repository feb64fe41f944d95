"""
Whole traces, field by field as they are stored, for whoever copies a store through its server.

A page is bounded by bytes, so that neither side holds more, and says where to go on; the same page
may be asked for again. It travels as MessagePack: JSON has no place for bytes, and cuts times.
"""

from __future__ import annotations

import msgspec

from clew.model import Score, Span
from clew.query.filters import TraceQuery
from clew.store.protocol import Arm, Store

PAGE_TRACES = 200
PAGE_BYTES = 8 << 20
"""A page ends with the trace that goes over it."""


class WholeTrace(msgspec.Struct):
    """One trace."""

    trace_id: str
    start_ns: int
    spans: list[Span]
    scores: list[Score]

    @property
    def span_count(self) -> int:
        """As in the summary that a store lists."""
        return len(self.spans)

    @property
    def summary(self) -> WholeTrace:
        """Of a summary an export asks for no more than is here."""
        return self


class WholePage(msgspec.Struct):
    """Some traces, newest first."""

    traces: list[WholeTrace]
    more: bool
    after: tuple[int, str] | None
    """Where the next page goes on: behind what was looked at, also if that was dropped meanwhile."""


class Decided(msgspec.Struct):
    """What people decided in a project, and how much of it there is."""

    templates: list[tuple[str, str, int]]
    arms: list[Arm]
    spans: int | None = None
    """None: this store cannot say it at once."""


class _Page(msgspec.Struct):
    """A `WholePage` whose traces are encoded already."""

    traces: list[msgspec.Raw]
    more: bool
    after: tuple[int, str] | None


_encode = msgspec.msgpack.Encoder().encode
decode_page = msgspec.msgpack.Decoder(WholePage).decode


def whole_page(store: Store, asked: TraceQuery) -> bytes:
    """Give a `WholePage` as MessagePack; of the query, its limit is left out."""
    page = store.list_traces(asked.project, asked.where, limit=PAGE_TRACES, after=asked.after)
    made = _Page([], more=page.next_cursor is not None, after=asked.after)
    size = 0
    for summary in page.traces:
        made.after = summary.start_ns, summary.trace_id
        stored = store.trace(asked.project, summary.trace_id)
        if stored is None:
            continue  # Dropped, or erased, since it was listed.
        whole = WholeTrace(summary.trace_id, summary.start_ns, stored.spans, stored.scores)
        made.traces.append(msgspec.Raw(_encode(whole)))
        size += len(made.traces[-1])
        if size >= PAGE_BYTES:
            made.more = made.more or summary is not page.traces[-1]
            break
    return _encode(made)


def decided(store: Store) -> dict[str, Decided]:
    """Give what there is beside the traces, by project."""
    return {
        name: Decided(store.templates(name), store.arms(name, None), _span_count(store, name))
        for name in store.projects()
    }


def _span_count(store: Store, project: str) -> int | None:
    if not hasattr(store, "snapshot"):
        return None
    with store.snapshot() as snapshot:
        return int(snapshot.totals(project).spans)
