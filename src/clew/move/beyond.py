"""
What a project knows beyond the spans that are stored: of those that went, and of those never sent.

A store that takes spans in counts and learns them by itself. So of latencies and graph only the rest
may travel: all that was counted, less what the stored spans count. It goes in the form in which SDKs
report what they did not send (`clew.wire.deltas`), so every store and server can add it, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter

from clew.graph import Graph, learn_into
from clew.graph.packing import pack
from clew.graph.reading import calls_of
from clew.graph.slices import slice_names
from clew.model import Span
from clew.model.tally import Minutes, Tally, add_to
from clew.store.graph_protocol import EXPORTED
from clew.store.snapshot import Known, Snapshot, by_minute, is_nothing
from clew.wire.deltas import DeltaBody, Learned, MetricRow, rows_of

ROWS_A_BODY = 20_000
SLICES_A_BODY = 50

_logger = logging.getLogger(__name__)
_by_start = attrgetter("start_ns", "span_id")


def beyond(snapshot: Snapshot, project: str, export_id: str) -> Iterator[DeltaBody]:
    """Give what *project* knows beyond its spans; nothing, and soon, if it knows no more than they do."""
    totals, told = snapshot.totals(project), _told(snapshot, project)
    counted = by_minute(snapshot.counted(project)) if told is None else {}
    graph = snapshot.graph(project)
    asks_counts = told is None and sum(tally.count for tally in counted.values()) != totals.finished
    asks_graph = graph.trace_count != totals.learned
    if not asks_counts and not asks_graph and not told:
        return
    held = _Held()
    for trace in snapshot.traces(project) if asks_counts or asks_graph else ():
        held.take(trace, learns=asks_graph)
    rows, less = _rest_of_counts(counted, held.minutes) if asks_counts else (rows_of(told or {}), [])
    slices = _rest_of_slices(snapshot, project, held) if asks_graph else iter(())
    whole = (pack(graph), pack(held.graph())) if asks_graph else (_NOTHING, _NOTHING)
    yield from _bodies(export_id, whole, slices, rows, less)


def _told(snapshot: Snapshot, project: str) -> Minutes | None:
    """What is counted of spans that are not stored, where the backend keeps it apart; None if it is to be reckoned."""
    told: Minutes | None = snapshot.told(project) if hasattr(snapshot, "told") else None
    return None if told is None else {key: tally for key, tally in told.items() if not is_nothing(tally)}


_NOTHING = pack(Graph())
_Slice = tuple[str, bytes, bytes]
"""Name, all of it, and what the stored spans teach of it."""


class _Held:
    """What the stored spans count and teach."""

    def __init__(self) -> None:
        self.minutes: Minutes = {}
        self._parts: dict[tuple[str, ...], Graph] = {}

    def take(self, trace: Known, *, learns: bool) -> None:
        for span in trace.spans:
            if span.end_ns is not None:
                add_to(self.minutes, span)
        if learns and trace.learned:
            self._learn(trace.learned)

    def _learn(self, spans: list[Span]) -> None:
        trace_id = spans[0].trace_id
        try:
            calls = calls_of(trace_id, sorted(spans, key=_by_start))
            learn_into(self._parts.setdefault(tuple(slice_names(calls)), Graph()), calls)
        except Exception:
            _logger.exception("trace %s cannot be learned, so what it taught is taken for a rest", trace_id)

    def graph(self) -> Graph:
        whole = Graph()
        for part in self._parts.values():
            whole.merge(part)
        return whole

    def slice(self, name: str) -> Graph:
        found = Graph()
        for names, part in self._parts.items():
            if name in names:
                found.merge(part)
        return found


def _rest_of_counts(counted: Minutes, held: Minutes) -> tuple[list[MetricRow], list[MetricRow]]:
    """The rows that say more than the spans do, and what the spans say of the same."""
    more: Minutes = {}
    for key, tally in counted.items():
        rest = Tally()
        rest.merge(tally)
        if key in held:
            rest.merge(held[key].negative())
        if not is_nothing(rest):
            more[key] = tally
    return rows_of(more), rows_of({key: held[key] for key in more if key in held})


def _rest_of_slices(snapshot: Snapshot, project: str, held: _Held) -> Iterator[_Slice]:
    for name, whole in snapshot.slices(project):
        ours, rest = held.slice(name), Graph()
        rest.merge(whole)
        rest.merge(ours, times=-1)
        if _says_something(rest):
            yield name, pack(whole, exemplars=False), pack(ours, exemplars=False)


def _says_something(rest: Graph) -> bool:
    columns = (rest.node_count, rest.node_failures, rest.node_ended, rest.node_duration_ns)
    edges = (rest.count, rest.inferred, rest.failures, rest.duration_ns)
    return (
        rest.trace_count != 0
        or any(any(column) for column in columns)
        or any(column[row] for row in rest.rows() for column in edges)
    )


def _bodies(
    export_id: str,
    whole: tuple[bytes, bytes],
    slices: Iterator[_Slice],
    rows: list[MetricRow],
    less: list[MetricRow],
) -> Iterator[DeltaBody]:
    """Cut it into bodies that a server takes; the graph is in the first."""
    taken = {(row.minute, row.kind, row.name, row.model): row for row in less}
    number = at = 0
    while True:
        some, mine = list(islice(slices, SLICES_A_BODY)), rows[at : at + ROWS_A_BODY]
        if number and not some and not mine:
            return
        keys = [(row.minute, row.kind, row.name, row.model) for row in mine]
        graph, ours = whole if number == 0 else (_NOTHING, _NOTHING)
        yield DeltaBody(
            delta_id=f"{EXPORTED}{export_id}-{number}",
            graph=graph,
            slices={name: packed for name, packed, _ in some},
            metrics=mine,
            less=Learned(
                graph=ours,
                slices={name: packed for name, _, packed in some},
                metrics=[taken[key] for key in keys if key in taken],
            ),
        )
        number, at = number + 1, at + ROWS_A_BODY
