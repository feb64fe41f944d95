"""
What changed between two graphs: two times, two versions, two projects.

Shares are compared, never counts, so that more traffic is no change. Of each edge two things: how
often it is of its origin's calls, and how often its target failed. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from math import log
from typing import Literal, NamedTuple

from clew.errors import BadFilter
from clew.graph.state import KEPT_TRACES, Graph
from clew.graph.surprise import MOST, g_of_rates, g_of_shares, spread_of, surprise, surprising
from clew.model.graph import EDGE_TYPES, EdgeChange, EdgeType, GraphDiff, Node

CHANCE = 0.01
"""Of the changes that are told, at most this part is expected to be noise."""

SURE = 6.63
"""The G of CHANCE, from which on one thing by itself is told."""

LEAST_CHANGE = 0.01
"""A share that moved by less is no change, however sure, unless it grew or shrank by LEAST_FACTOR."""

LEAST_FACTOR = 1.5

Change = Literal["new", "gone", "more", "less", "failing", "mended"]
_OF_FAILURES = frozenset({"failing", "mended"})


class _Side(NamedTuple):
    """One edge in one of the graphs; all zero if it is not there."""

    seen: int = 0
    failures: int = 0
    declared: int = 0
    traces: int = KEPT_TRACES
    """In how many it was seen; KEPT_TRACES or more, or not known: KEPT_TRACES."""
    calls: int = 0
    """Of the origin."""
    row: int = -1

    @property
    def share(self) -> float:
        return self.seen / self.calls if self.calls else 0.0

    @property
    def failing(self) -> float:
        return self.failures / self.seen if self.seen else 0.0


class _Test(NamedTuple):
    """One comparison that could have found something."""

    g: float
    change: Change
    key: tuple[Node, Node, EdgeType]
    before: _Side
    after: _Side


class _Finding(NamedTuple):
    surprise: float
    test: _Test


def diff(before: Graph, after: Graph, *, before_name: str, after_name: str, k: int = 50) -> GraphDiff:
    """
    Give the *k* most surprising changes of edges, and as many nodes that are new and that are gone.

    Told is what chance does not explain: of all that is told at most 1 % is expected to be noise.
    Calls of one trace are like each other, so all calls of a trace weigh no more than one, and an
    edge that was seen in fewer than three traces no more than these. What edges a new node has, or
    one that is gone, goes without saying. Templates have no chance in them: what is declared anew,
    or no longer, comes first.

    The shares of a change are those that changed: of the origin's calls, or, where a target is
    failing or mended, of the edge's own observations.

    Raises:
        BadFilter: *k* is below 1.
    """
    if k < 1:
        raise BadFilter("k", "must be at least 1")
    found = _findings(before, after)
    least = surprising([each.surprise for each in found], CHANCE)
    told = [each for each in found if each.surprise >= least and _is_large(each.test)]
    told.sort(key=lambda each: (-each.surprise, each.test.key, each.test.change))
    return GraphDiff(
        before=before_name,
        after=after_name,
        before_traces=before.trace_count,
        after_traces=after.trace_count,
        nodes_new=_only_in(after, before)[:k],
        nodes_gone=_only_in(before, after)[:k],
        changes=tuple(_change(each, before, after) for each in told[:k]),
    )


def _findings(before: Graph, after: Graph) -> list[_Finding]:
    """Every comparison, with how surprising it is beside the others of its kind."""
    kinds: dict[tuple[EdgeType, bool], list[_Test]] = {}
    for test in _tests(before, after):
        kinds.setdefault((test.key[2], test.change in _OF_FAILURES), []).append(test)
    found = []
    for (type_, _), tests in kinds.items():
        spread = spread_of([test.g for test in tests])
        found += [_Finding(MOST if type_ == "dependency" else surprise(test.g / spread), test) for test in tests]
    return found


def _tests(before: Graph, after: Graph) -> Iterator[_Test]:
    most = _weight(before), _weight(after)
    for key, old, new in _pairs(before, after):
        if key[2] == "dependency":
            if bool(old.declared) != bool(new.declared):
                yield _Test(0.0, "new" if new.declared else "gone", key, old, new)
        elif old.calls > 0 and new.calls > 0:
            change: Change = "more" if new.share > old.share else "less"
            if old.seen == 0 or new.seen == 0:
                change = "new" if old.seen == 0 else "gone"
            if (g := _g_of_use(old, new, most)) is not None:
                yield _Test(g, change, key, old, new)
            if (g := _g_of_failures(old, new, most)) is not None:
                yield _Test(g, "failing" if new.failing > old.failing else "mended", key, old, new)


def _pairs(before: Graph, after: Graph) -> Iterator[tuple[tuple[Node, Node, EdgeType], _Side, _Side]]:
    """Every edge of either graph, with both sides of it."""
    ids = {node: at for at, node in enumerate(before.nodes)}
    to_before = [ids.get(node, -1) for node in after.nodes]
    to_after = {old: new for new, old in enumerate(to_before) if old >= 0}
    for type_ in EDGE_TYPES:
        had = before.out(type_)
        for origin, targets in after.out(type_).items():
            old_origin = to_before[origin]
            rows = had.get(old_origin, {})
            calls = before.node_count[old_origin] if old_origin >= 0 else 0
            for target, row in targets.items():
                old = rows.get(to_before[target], -1)
                key = after.nodes[origin], after.nodes[target], type_
                yield key, _side(before, old, calls), _side(after, row, after.node_count[origin])
        for origin, targets in had.items():
            new_origin = to_after.get(origin, -1)
            have = after.out(type_).get(new_origin, {})
            calls = after.node_count[new_origin] if new_origin >= 0 else 0
            for target, row in targets.items():
                if to_after.get(target, -1) not in have:
                    key = before.nodes[origin], before.nodes[target], type_
                    yield key, _side(before, row, before.node_count[origin]), _Side(calls=calls)


def _side(graph: Graph, row: int, calls: int) -> _Side:
    if row < 0:
        return _Side(calls=calls)
    seen = max(0, graph.count[row] + graph.inferred[row])
    traces = len(graph.edge_traces(row)) or KEPT_TRACES
    return _Side(seen, max(0, graph.failures[row]), graph.declared[row], traces, calls, row)


def _weight(graph: Graph) -> int:
    """What all calls of one node weigh at most: a graph of traces says how many these are."""
    return graph.trace_count or max(graph.node_count, default=0)


def _g_of_use(old: _Side, new: _Side, most: tuple[int, int]) -> float | None:
    """How far apart the uses of an edge are; None if they are too few to be surprising."""
    olds, news = min(old.calls, most[0]), min(new.calls, most[1])
    # A burst of calls is one happening.
    several = max(1.0, old.share, new.share)
    test = g_of_rates if several > 1 else g_of_shares
    return _least_g(test, (old.share * olds / several, new.share * news / several), (olds, news), (old, new))


def _g_of_failures(old: _Side, new: _Side, most: tuple[int, int]) -> float | None:
    """How far apart the failures of its target are; None if they are too few to be surprising."""
    olds, news = min(old.seen, most[0]), min(new.seen, most[1])
    return _least_g(g_of_shares, (old.failing * olds, new.failing * news), (olds, news), (old, new))


def _least_g(
    test: Callable[[float, float, float, float], float],
    happened: tuple[float, float],
    of: tuple[float, float],
    sides: tuple[_Side, _Side],
) -> float | None:
    """What the counts say at least: also if what was seen in a trace or two weighs no more than these."""
    few = _lessened(happened[0], sides[0]), _lessened(happened[1], sides[1])
    if not _can_surprise(sum(few), *of):
        return None
    grew, grew_too = (each[1] * of[0] > each[0] * of[1] for each in (happened, few))
    if grew != grew_too:
        return 0.0
    return min(test(each[0], of[0], each[1], of[1]) for each in (happened, few))


def _lessened(count: float, side: _Side) -> float:
    return min(count, side.traces) if side.traces < KEPT_TRACES else count


def _can_surprise(happened: float, olds: float, news: float) -> bool:
    """
    Say whether so few happenings could be surprising at all, had they all been on one side.

    What could never be told is not counted among the tests: of a long tail of rare edges nothing is
    expected. Source: Tarone: A modified Bonferroni method for discrete data (1990).
    """
    if happened <= 0 or olds <= 0 or news <= 0:
        return False
    small = min(olds, news)
    if 2 * happened * log((olds + news) / small) < SURE:  # What G comes to, but for its smaller terms.
        return False
    return g_of_shares(min(happened, small), small, 0, max(olds, news)) >= SURE


def _is_large(each: _Test) -> bool:
    if each.change in _OF_FAILURES:
        shares = each.before.failing, each.after.failing
    else:
        shares = each.before.share, each.after.share
    low, high = min(shares), max(shares)
    return each.key[2] == "dependency" or high - low >= LEAST_CHANGE or high >= LEAST_FACTOR * low


def _only_in(graph: Graph, other: Graph) -> tuple[Node, ...]:
    """The nodes that only *graph* has called, so often that *other* would have; the commonest first."""
    had = {node for at, node in enumerate(other.nodes) if other.node_count[at] > 0}
    missing = {at: graph.node_count[at] for at, node in enumerate(graph.nodes) if node not in had}
    traces, others = _weight(graph), _weight(other)
    seen_in = _traces_of(graph, missing)
    found = []
    for at, count in missing.items():
        weight = min(count, traces)
        if 0 < len(seen_in[at]) < KEPT_TRACES:
            weight = min(weight, len(seen_in[at]))
        if count > 0 and (others == 0 or g_of_shares(0, others, weight, traces) >= SURE):
            found.append((-count, graph.nodes[at]))
    return tuple(node for _, node in sorted(found))


def _traces_of(graph: Graph, nodes: Collection[int]) -> dict[int, set[str]]:
    """Some of the traces that each of *nodes* was seen in: those of its edges."""
    found: dict[int, set[str]] = {node: set() for node in nodes}
    for row in graph.rows() if nodes else ():
        for node in graph.ends(row)[:2]:
            if node in found:
                found[node].update(graph.edge_traces(row))
    return found


def _change(found: _Finding, before: Graph, after: Graph) -> EdgeChange:
    _, change, (origin, target, type_), old, new = found.test
    is_declared = type_ == "dependency"
    return EdgeChange(
        origin=origin,
        target=target,
        type=type_,
        change=change,
        before_count=old.declared if is_declared else old.seen,
        after_count=new.declared if is_declared else new.seen,
        before_share=old.failing if change in _OF_FAILURES else old.share,
        after_share=new.failing if change in _OF_FAILURES else new.share,
        surprise=found.surprise,
        traces=after.edge_traces(new.row) if new.row >= 0 else before.edge_traces(old.row),
    )
