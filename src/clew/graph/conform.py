"""
Where a run left the usual ways.

Each capability run of a trace, and its top, is held against the usual ways of that capability
(`clew.graph.variants`). Calls are compared in the order in which they began; within a step of the
usual way any order will do, and loops may go round as often as they like. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clew.graph.calls import TraceCalls, short
from clew.graph.episodes import MOST_STEPS
from clew.graph.family import Family, Row
from clew.graph.state import TOP, Graph
from clew.graph.variants import Steps, Way, steps_of, variant_of, ways_of
from clew.graph.walk import Walk, sets_of, walk
from clew.model.graph import OBSERVED_FROM, Conformance, Departure, Node, Reason, Suggestion

USUAL_FROM = OBSERVED_FROM
"""A way is usual if so many runs went it..."""

USUAL_SHARE = 0.2
"""...or so large a share of all runs, if that is two at least."""

MOST_WAYS = 20
"""Usual ways of one capability with which a run is compared step by step: the commonest."""

MOST_DEPARTURES = 100
"""So many are told; a trace with more of them does not fit anyway."""

UNKNOWN = -2
"""Stands for every node that the graph has never seen."""


class _Called(NamedTuple):
    """One call of the trace."""

    begin: int
    finish: int
    call_id: str
    node: int
    """Its id in the graph."""
    kind: str
    name: str
    ended: bool


class _Run(NamedTuple):
    """One run of one scope, as it is compared."""

    scope: int
    call: _Called | None
    """None for the top of the trace."""
    below: Sequence[_Called]
    steps: Steps
    is_whole: bool
    """It had ended, and all of its calls are here."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """What it called, by start."""
        return tuple([called.node for called in self.below])


class _Usual(NamedTuple):
    """The usual ways of one scope."""

    ways: list[Way]
    """The commonest first."""
    steps: frozenset[Steps]
    sets: list[list[frozenset[int]]]
    """The steps of those that are compared call by call."""


def conform(graph: Graph, trace: TraceCalls) -> Conformance:
    """
    Say for each capability run of a trace whether it went a usual way, and if not where it left them.

    Usual is what three runs did, or two that are a fifth of all. What this very trace has taught the
    graph is left out, so that a run does not vouch for itself. A capability without a usual way
    cannot be compared. Of a departure, *position* counts the calls that were as usual; what is
    expected there has its share of the usual runs that came as far, and is empty if these end there.
    """
    runs = _runs(graph, trace)
    own = Counter((run.scope, run.steps) for run in runs)
    usual: dict[int, _Usual] = {}
    walks: dict[tuple[int, tuple[int, ...]], Walk] = {}
    checked = 0
    fits = True
    departures: list[Departure] = []
    for run in runs:
        if run.scope not in usual:
            usual[run.scope] = _usual(graph, run.scope, own, trace.trace_id)
        known = usual[run.scope]
        if not known.ways:
            continue
        checked += 1
        key = run.scope, run.nodes
        if key not in walks:
            walks[key] = walk(run.nodes, known.sets)
        if not _fits(run, known, walks[key]):
            fits = False
            if len(departures) < MOST_DEPARTURES:
                departures.append(_departure(graph, run, known.ways, walks[key]))
    return Conformance(trace_id=trace.trace_id, fits=fits, checked=checked, departures=tuple(departures))


def _runs(graph: Graph, trace: TraceCalls) -> list[_Run]:
    """The runs that can be compared, by when they began; the top of the trace first."""
    if not trace.calls:
        return []
    family = Family(trace.calls)
    ids = graph.derived("conform.ids", _ids)
    runs = []
    parents = set()
    for row, below in family.scopes():
        call = None if row is None else _called(ids, row)
        if call is not None:
            parents.add(call.call_id)
        if call is None or call.node != UNKNOWN:
            runs.append(_run(call, below, ids))
    for row in family.by_id.values():
        call = _called(ids, row)
        if call.call_id not in parents and call.node != UNKNOWN and () in ways_of(graph, call.node):
            runs.append(_run(call, (), ids))
    return sorted(runs, key=lambda run: (1, *run.call[:3]) if run.call else (0,))


def _ids(graph: Graph) -> dict[tuple[str, str], int]:
    return {(node.kind, node.name): at for at, node in enumerate(graph.nodes)}


def _called(ids: Mapping[tuple[str, str], int], row: Row) -> _Called:
    begin, finish, call_id, was, _ = row
    kind, name, _, ended, *_ = was
    return _Called(begin, finish, call_id, ids.get((short(kind), short(name)), UNKNOWN), kind, name, ended)


def _run(call: _Called | None, rows: Sequence[Row], ids: Mapping[tuple[str, str], int]) -> _Run:
    below = [_called(ids, row) for row in rows[:MOST_STEPS]]
    steps = steps_of((each.node, each.begin, each.finish) for each in below)
    ended = all(each.ended for each in below) if call is None else call.ended
    return _Run(TOP if call is None else call.node, call, below, steps, ended and len(below) == len(rows))


def _usual(graph: Graph, scope: int, own: Mapping[tuple[int, Steps], int], trace_id: str) -> _Usual:
    """Find the usual ways of a scope, leaving out what the trace itself has taught."""
    ways = ways_of(graph, scope)
    counts = {steps: way.count - _taught(way, own.get((scope, steps), 0), trace_id) for steps, way in ways.items()}
    runs = sum(counts.values())
    usual = [way for steps, way in ways.items() if is_usual(counts[steps], runs)]
    usual.sort(key=lambda way: (-way.count, way.steps))
    return _Usual(usual, frozenset(way.steps for way in usual), sets_of(way.steps for way in usual[:MOST_WAYS]))


def _taught(way: Way, own: int, trace_id: str) -> int:
    """
    How many runs of a way the trace has added.

    A trace that was learned is among the way's traces, or there are three newer ones to vouch for it.
    Runs that called nothing are counted without their traces, so there it is taken for granted.
    """
    return min(way.count, own) if not way.steps or trace_id in way.traces else 0


def is_usual(count: int, runs: int) -> bool:
    """Say whether what *count* of *runs* did is usual."""
    return count >= USUAL_FROM or (count > 1 and count >= USUAL_SHARE * runs)


def _fits(run: _Run, usual: _Usual, gone: Walk) -> bool:
    went_all = gone.length == len(run.below)
    if went_all and (gone.ends or not run.is_whole):
        return True
    # A way too rare to be followed call by call, or one whose parallel calls share a node with the next step.
    return run.steps in usual.steps


def _departure(graph: Graph, run: _Run, ways: Sequence[Way], gone: Walk) -> Departure:
    left = run.below[gone.length] if gone.length < len(run.below) else None
    runs = sum(way.count for way in ways_of(graph, run.scope).values())
    return Departure(
        capability=None if run.scope == TOP else graph.nodes[run.scope],
        span_id=run.call.call_id if run.call else "",
        position=gone.length,
        left_by=Node(left.kind, left.name) if left else None,
        left_by_span_id=left.call_id if left else "",
        expected=_expected(graph, [ways[at] for at in gone.followed], gone.expected),
        usual=variant_of(graph, run.scope, ways[gone.followed[0]], runs),
    )


def _expected(graph: Graph, followed: Sequence[Way], nexts: Sequence[Sequence[int]]) -> tuple[Suggestion, ...]:
    """What the runs that came as far did there, with its share of them."""
    total = sum(way.count for way in followed)
    counts: Counter[int] = Counter()
    traces: dict[int, tuple[str, ...]] = {}
    for way, nodes in zip(followed, nexts, strict=True):
        for node in nodes:
            counts[node] += way.count
            traces.setdefault(node, way.traces)
    return tuple(
        Suggestion(
            node=graph.nodes[node],
            probability=count / total,
            reasons=(
                Reason(
                    text=f"{count} of the {total} usual runs that came as far called it here",
                    type="variant",
                    target=graph.nodes[node],
                    count=count,
                    traces=traces[node],
                ),
            ),
        )
        for node, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    )
