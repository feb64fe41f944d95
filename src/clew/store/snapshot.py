"""
What moving a store wants to know beyond what every reader asks, all of one moment.

A backend that can tell has a method `snapshot`; all of Clew's have it. The pure parts that they share
stand here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from clew.graph import Graph
from clew.model import Score, Span
from clew.model.tally import MINUTE_NS, Minutes, Tally
from clew.store.graph_protocol import LONGEST_ROUND_SPANS
from clew.store.protocol import StoredTrace, TraceReader
from clew.store.tally import DAY_S, HOUR_S, MINUTE_S, Operation

PAGE = 100
"""Traces that are read at once."""

T = TypeVar("T")


class Counted(NamedTuple):
    """What was counted of one operation in one minute, hour or day."""

    resolution_s: int
    bucket_s: int
    """Unix seconds."""
    operation: Operation
    tally: Tally


class Known(NamedTuple):
    """One trace that is stored, and what of it the graph has learned."""

    spans: list[Span]
    learned: list[Span]
    """As they were then."""


class Totals(NamedTuple):
    """How much there is of a project."""

    traces: int
    spans: int
    finished: int
    learned: int
    """Traces of which something was learned."""


class Snapshot(Protocol):
    """A store as it was at one moment, whatever is written meanwhile."""

    def projects(self) -> list[str]:
        """Every project of which there is anything: traces, scores, counts or a graph."""

    def totals(self, project: str) -> Totals:
        """Count what is stored."""

    def counted(self, project: str) -> Iterator[Counted]:
        """Give all that is counted, in every resolution that is kept."""

    def traces(self, project: str) -> Iterator[Known]:
        """Give each trace, a few in memory at a time."""

    def graph(self, project: str) -> Graph:
        """Give all that was learned."""

    def slices(self, project: str) -> Iterator[tuple[str, Graph]]:
        """Give each slice by name."""

    def lone_scores(self, project: str) -> list[Score]:
        """Give the scores whose trace is not stored."""


class TellsApart(Protocol):
    """A snapshot of a backend that keeps what no stored span counts apart from what they do: a MAY."""

    def told(self, project: str) -> Minutes | None:
        """Give it, so that no span need be read for it; None if it must be reckoned from `counted` all the same."""


class ReadsSeveral(Protocol):
    """A store that reads many traces as soon as one: where each question is a way over the network."""

    def several(self, project: str, trace_ids: Sequence[str]) -> Iterator[StoredTrace]:
        """Give those of these traces that are stored, in this order. All of them are in memory at once."""


class HasSnapshots(Protocol):
    """A store that can be moved with all that it knows."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Look at one moment. What is written meanwhile is kept beside it: do not look for hours."""


def each_trace(store: TraceReader, project: str, asked: Iterable[tuple[str, int]]) -> Iterator[StoredTrace]:
    """Read traces in order, several at once if the store can; *asked* says about how many spans each has."""
    several = getattr(store, "several", None)
    for some in within(asked, LONGEST_ROUND_SPANS if several else 0):
        if several is not None:
            yield from several(project, some)
        elif (stored := store.trace(project, some[0])) is not None:
            yield stored


def within(asked: Iterable[tuple[T, int]], most_spans: int) -> Iterator[list[T]]:
    """Ids of as many traces as have so many spans together, and one at least."""
    ids: list[T] = []
    spans = 0
    for trace_id, span_count in asked:
        if ids and spans + span_count > most_spans:
            yield ids
            ids, spans = [], 0
        ids.append(trace_id)
        spans += span_count
    if ids:
        yield ids


def known(spans: Sequence[Span], *, is_due: bool, late: Iterable[str] | None, changed: Sequence[Span]) -> Known:
    """Say what of a trace was learned; *late* are the ids that were not, None if none was."""
    finished = [span for span in spans if span.end_ns is not None]
    if not is_due:
        return Known(list(spans), finished)
    if late is None:
        return Known(list(spans), [])
    unlearned, before = set(late), {span.span_id: span for span in changed}
    return Known(list(spans), [before.get(span.span_id, span) for span in finished if span.span_id not in unlearned])


def by_minute(counted: Iterable[Counted]) -> Minutes:
    """
    Give what was counted by minute. What only an hour or a day still tells counts in its first minute.

    So every window that a store can answer from it gets the same answer.
    """
    levels: dict[int, dict[tuple[int, Operation], Tally]] = {MINUTE_S: {}, HOUR_S: {}, DAY_S: {}}
    for resolution_s, bucket_s, operation, tally in counted:
        have = levels[resolution_s].setdefault((bucket_s, operation), Tally())
        have.merge(tally)
    finer = levels[MINUTE_S]
    for resolution_s in (HOUR_S, DAY_S):
        finer = _with_rest(finer, levels[resolution_s], resolution_s)
    return {
        (bucket_s * 10**9 // MINUTE_NS, of.kind, of.name, of.model or None): tally
        for (bucket_s, of), tally in finer.items()
        if not is_nothing(tally)
    }


Level = dict[tuple[int, Operation], Tally]


def _with_rest(finer: Level, coarser: Level, resolution_s: int) -> Level:
    """Add to *finer* what *coarser* has more."""
    rest = {key: _copy(tally) for key, tally in coarser.items()}
    for (bucket_s, operation), tally in finer.items():
        place = bucket_s // resolution_s * resolution_s, operation
        if place in rest:
            rest[place].merge(tally.negative())
    for key, tally in rest.items():
        if tally.count > 0:
            finer.setdefault(key, Tally()).merge(tally)
    return finer


def _copy(tally: Tally) -> Tally:
    copy = Tally()
    copy.merge(tally)
    return copy


def is_nothing(tally: Tally) -> bool:
    """Say whether a difference counts nothing; of sums of fractions a last digit may be left."""
    return not (tally.count or tally.errors or tally.input_tokens or tally.output_tokens or tally.duration_ns) and (
        not any(tally.buckets.values())
    )
