"""
Add what scopes teach to the columns of a graph.

Runs of one shape differ in nothing but their durations and traces, so they are summed up first:
one addition for each tool and edge, however many runs there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from clew.graph.columns import within
from clew.graph.edges import EdgeTable
from clew.graph.episodes import Episode
from clew.graph.exemplars import KEPT_TRACES, NEWEST, PLACE_BITS, Exemplar, Exemplars, newest, pack
from clew.graph.nodes import NodeTable
from clew.graph.shapes import Shape, Tally

Run = tuple[Sequence[int], bool, int, int, Exemplar]
"""How long each call took, whether the scope failed, how long it took; heat and end of the trace, with its id."""

Waiting = dict[Shape, list[Run]]


class _Sum(NamedTuple):
    """Runs of one shape, together."""

    times: int
    tooks: Sequence[int]
    failures: int
    took: int
    heat: int
    exemplars: Exemplars


def count(nodes: NodeTable, edges: EdgeTable, waiting: Waiting) -> None:
    """Add runs of scopes to the counters of a graph."""
    traces = edges.traces
    traces.make_room(KEPT_TRACES * len(waiting))
    entered: dict[Exemplar, int] = {}
    for shape, runs in waiting.items():
        total = _sum(runs)
        for exemplar in total.exemplars:
            if exemplar not in entered:
                entered[exemplar] = traces.enter(exemplar)
        _count_nodes(nodes, shape.nodes, total)
        _count_edges(edges, shape.edges, total, [entered[exemplar] for exemplar in total.exemplars])
        if shape.episode is not None:
            _count_episode(shape.episode, total)


def _sum(runs: Sequence[Run]) -> _Sum:
    if len(runs) == 1:
        tooks, failed, took, heat, exemplar = runs[0]
        return _Sum(1, tooks, failed, took, heat, (exemplar,))
    each, failures, scope_tooks, heats, exemplars = zip(*runs, strict=True)
    tooks = [sum(column) for column in zip(*each, strict=True)]
    return _Sum(len(runs), tooks, sum(failures), sum(scope_tooks), sum(heats), newest((), exemplars))


# In these two a sum is read and then set, so that one over the end of the scale can be set again.


def _count_nodes(table: NodeTable, tallies: Sequence[Tally], total: _Sum) -> None:
    times, tooks, _, _, heat, exemplars = total
    ended_ns = exemplars[0][0]
    counts, ended_counts, durations_ns, heats, last_ns = (
        table.count,
        table.ended,
        table.duration_ns,
        table.heat,
        table.last_ns,
    )
    for node, calls, ended, failed, at, others in tallies:
        took = durations_ns[node] + tooks[at]
        for other in others:
            took += tooks[other]
        warmth = heats[node] + heat * calls
        try:
            durations_ns[node] = took
            heats[node] = warmth
        except OverflowError:
            durations_ns[node] = within(took)
            heats[node] = within(warmth)
        counts[node] += times * calls
        ended_counts[node] += times * ended
        if failed:
            table.failures[node] += times * failed
        last_ns[node] = max(last_ns[node], ended_ns)


def _count_edges(table: EdgeTable, tallies: Sequence[Tally], total: _Sum, places: Sequence[int]) -> None:
    times, tooks, _, _, heat, exemplars = total
    ended_ns, oldest_ns = exemplars[0][0], exemplars[-1][0]
    newer, shift = pack(places), PLACE_BITS * len(places)
    counts, durations_ns, heats, last_ns, packed = (
        table.count,
        table.duration_ns,
        table.heat,
        table.last_ns,
        table.traces.packed,
    )
    for row, seen, sure, failed, at, others in tallies:
        took = durations_ns[row] + tooks[at]
        for other in others:
            took += tooks[other]
        warmth = heats[row] + heat * seen
        try:
            durations_ns[row] = took
            heats[row] = warmth
        except OverflowError:
            durations_ns[row] = within(took)
            heats[row] = within(warmth)
        counts[row] += times * sure
        if sure != seen:
            table.inferred[row] += times * (seen - sure)
        if failed:
            table.failures[row] += times * failed
        if last_ns[row] < oldest_ns:
            last_ns[row] = ended_ns
            packed[row] = packed[row] >> shift | newer
        elif packed[row] >> NEWEST != places[0] or len(places) > 1:
            last_ns[row] = max(last_ns[row], ended_ns)
            table.traces.note(row, places)


def _count_episode(episode: Episode, total: _Sum) -> None:
    episode.count += total.times
    episode.failures += total.failures
    episode.duration_ns += total.took
    episode.heat += total.heat
    episode.last_ns = max(episode.last_ns, total.exemplars[0][0])
    episode.exemplars = newest(episode.exemplars, total.exemplars)
