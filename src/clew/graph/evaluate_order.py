"""
How many edges of a graph are false: of the chronological one, and of Clew's own.

The chronological graph joins each call to the one that ended next, whatever they have to do with
each other. An edge is true if both have the same parent and the first ended before the second
began. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from clew.graph.calls import Call, TraceCalls, in_order, runs_before
from clew.graph.learn import learn
from clew.model.graph import Node

Relation = Literal["in sequence", "child to own parent", "unrelated", "side by side"]


class FalseEdges(msgspec.Struct, kw_only=True, frozen=True):
    """Shares are of 0 to 1."""

    nested: bool
    """Some call has a parent; without, there is nothing to tell apart."""
    chronological: int
    """Pairs of calls that ended one after the other."""
    relations: dict[Relation, float]
    """Shares of those pairs. Only siblings in sequence make a true edge."""
    distinct_false: float
    """Of the different edges, by name, those that no pair makes true."""
    siblings_side_by_side: float
    """Of the pairs of siblings that began one after the other, those that ran side by side."""
    clew: int
    """Observations of `sequence` in Clew's graphs of the same traces."""
    clew_false: int
    """Of those, how many no pair of calls makes true."""


def false_edges(traces: Iterable[TraceCalls]) -> FalseEdges:
    """Count both graphs' edges, trace by trace."""
    count = _Count()
    for trace in traces:
        count.add(trace)
    return count.result()


class _Count:
    """What was found so far."""

    def __init__(self) -> None:
        self.nested = False
        self.relations: Counter[Relation] = Counter()
        self.true_by_edge: dict[tuple[Node, Node], bool] = {}
        self.neighbours = self.side_by_side = self.clew = self.clew_false = 0

    def add(self, trace: TraceCalls) -> None:
        calls = list({call.call_id: call for call in trace.calls}.values())
        self.nested = self.nested or any(call.parent_id is not None for call in calls)
        for first, second in pairwise(_ended(calls)):
            relation = _relation(first, second)
            self.relations[relation] += 1
            edge = (first.node, second.node)
            self.true_by_edge[edge] = self.true_by_edge.get(edge, False) or relation == "in sequence"
        scopes = _scopes(calls)
        for siblings in scopes:
            self.neighbours += len(siblings) - 1
            self.side_by_side += sum(not runs_before(*both) for both in pairwise(siblings))
        learned = _sequences(trace)
        self.clew += sum(learned.values())
        self.clew_false += _unproved(learned, scopes)

    def result(self) -> FalseEdges:
        total = sum(self.relations.values())
        return FalseEdges(
            nested=self.nested,
            chronological=total,
            relations={relation: count / total for relation, count in self.relations.most_common()},
            distinct_false=1 - sum(self.true_by_edge.values()) / max(1, len(self.true_by_edge)),
            siblings_side_by_side=self.side_by_side / max(1, self.neighbours),
            clew=self.clew,
            clew_false=self.clew_false,
        )


def _ended(calls: Iterable[Call]) -> list[Call]:
    """The calls by end, as a reader of `*_end` events sees them."""
    ends = [(call.end_ns, call.start_ns, at, call) for at, call in enumerate(calls) if call.end_ns is not None]
    return [call for *_, call in sorted(ends, key=lambda each: each[:3])]


def _relation(first: Call, second: Call) -> Relation:
    if first.parent_id == second.call_id:
        return "child to own parent"
    if first.parent_id != second.parent_id:
        return "unrelated"
    return "in sequence" if runs_before(first, second) else "side by side"


def _scopes(calls: Iterable[Call]) -> list[list[Call]]:
    below: dict[str | None, list[Call]] = {}
    for call in in_order(calls):
        below.setdefault(call.parent_id, []).append(call)
    return list(below.values())


def _sequences(trace: TraceCalls) -> Counter[tuple[Node, Node]]:
    """What Clew learned of a trace alone: how often each node followed each."""
    graph = learn(trace)
    found: Counter[tuple[Node, Node]] = Counter()
    for origin, targets in graph.out("sequence").items():
        for target, row in targets.items():
            found[graph.nodes[origin], graph.nodes[target]] += graph.count[row] + graph.inferred[row]
    return found


def _unproved(learned: Counter[tuple[Node, Node]], scopes: Sequence[Sequence[Call]]) -> int:
    """How many of the observations are more than there are pairs of siblings that did not overlap."""
    left = Counter(learned)
    into: Counter[Node] = Counter()
    for (_, target), count in left.items():
        into[target] += count
    for siblings in scopes:
        for at, later in enumerate(siblings):
            # From the nearest back, and only while something is left to prove: a long trace is soon done.
            for earlier in reversed(siblings[:at]) if into[later.node] else ():
                pair = (earlier.node, later.node)
                if left[pair] and runs_before(earlier, later):
                    left[pair] -= 1
                    into[later.node] -= 1
                    if not into[later.node]:
                        break
    return sum(left.values())
