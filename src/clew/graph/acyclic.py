"""
Directed graphs without cycles: strongest evidence first, refusing whatever would close one.

For plans, and for the view of `contains` and `dependency` in which nothing contains itself. Pure.

Source: Pearce, Kelly: A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs (JEA 2007).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from clew.graph.state import Graph

MOST_FOLLOWED = 2_000_000
"""Edges that are followed for one graph, in about a second. Past that only those are let in that go forward already."""

Pair = tuple[int, int]


class Order:
    """A topological order that grows by edges, and refuses those that would close a cycle."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._place = {node: place for place, node in enumerate(dict.fromkeys(nodes))}
        self._after: dict[int, list[int]] = {node: [] for node in self._place}
        self._before: dict[int, list[int]] = {node: [] for node in self._place}
        self._left = MOST_FOLLOWED

    def add(self, origin: int, target: int) -> bool:
        """Let an edge in, if it closes no cycle; say whether it was let in."""
        low, high = self._place[target], self._place[origin]
        if low <= high:
            after = self._reached(target, self._after, low, high)
            if after is None or origin in after:
                return False
            before = self._reached(origin, self._before, low, high)
            if before is None:
                return False
            self._move(before, after)
        self._after[origin].append(target)
        self._before[target].append(origin)
        return True

    def sorted(self) -> list[int]:
        """Give the nodes so that every edge goes forward."""
        return sorted(self._place, key=self._place.__getitem__)

    def _reached(self, node: int, edges: Mapping[int, Sequence[int]], low: int, high: int) -> set[int] | None:
        """What is reached from *node* among the places from *low* to *high*; None if that takes too long."""
        found, heads = {node}, [node]
        while heads and self._left > 0:
            nexts = edges[heads.pop()]
            self._left -= len(nexts)
            for each in nexts:
                if each not in found and low <= self._place[each] <= high:
                    found.add(each)
                    heads.append(each)
        return found if self._left > 0 else None

    def _move(self, before: set[int], after: set[int]) -> None:
        """Put all of *before* in front of all of *after*, in the places that they have between them."""
        nodes = [*sorted(before, key=self._place.__getitem__), *sorted(after, key=self._place.__getitem__)]
        places = sorted(self._place[node] for node in nodes)
        self._place.update(zip(nodes, places, strict=True))


class Acyclic(NamedTuple):
    """The rows of a graph's edges of one type, strongest first."""

    kept: tuple[int, ...]
    """Those that lead in no circle."""
    refused: tuple[int, ...]
    """Those that would have closed one: something contains itself, or a template contradicts a stronger one."""


def acyclic(graph: Graph, type_: Literal["contains", "dependency"]) -> Acyclic:
    """Give the edges of one type as a graph without cycles; made once after each change."""
    return graph.derived(f"acyclic.{type_}", lambda graph: _acyclic(graph, type_))


def _acyclic(graph: Graph, type_: Literal["contains", "dependency"]) -> Acyclic:
    out = graph.out(type_)
    edges = [(origin, target, row) for origin, targets in out.items() for target, row in targets.items()]
    names = {node: graph.nodes[node] for edge in edges for node in edge[:2]}
    strength = {row: graph.count[row] + graph.inferred[row] + graph.declared[row] for _, _, row in edges}
    edges.sort(key=lambda edge: (-strength[edge[2]], names[edge[0]], names[edge[1]]))
    # What is called less often than it calls comes first: most edges go forward from the beginning.
    rise = dict.fromkeys(sorted(names, key=names.__getitem__), 0)
    for origin, target, row in edges:
        rise[origin] -= strength[row]
        rise[target] += strength[row]
    order = Order(sorted(rise, key=rise.__getitem__))
    kept: list[int] = []
    refused: list[int] = []
    for origin, target, row in edges:
        (kept if order.add(origin, target) else refused).append(row)
    return Acyclic(tuple(kept), tuple(refused))


def reduced(order: Sequence[int], edges: Iterable[Pair]) -> set[Pair]:
    """Give the edges that no others imply; each goes forward in *order*."""
    place = {node: at for at, node in enumerate(order)}
    after: dict[int, list[int]] = {node: [] for node in order}
    for origin, target in edges:
        after[origin].append(target)
    reach: dict[int, int] = {}
    kept: set[Pair] = set()
    for node in reversed(order):
        implied = 0  # A bit for each place that is reached by way of another edge.
        for target in sorted(after[node], key=place.__getitem__):
            if not implied >> place[target] & 1:
                kept.add((node, target))
                implied |= reach[target] | 1 << place[target]
        reach[node] = implied
    return kept


def levels(order: Sequence[int], edges: Iterable[Pair]) -> list[list[int]]:
    """Give the nodes by level, those of one level in *order*: each comes as early as what it waits for allows."""
    after: dict[int, list[int]] = {}
    for origin, target in edges:
        after.setdefault(origin, []).append(target)
    level = dict.fromkeys(order, 0)
    for node in order:
        for target in after.get(node, ()):
            level[target] = max(level[target], level[node] + 1)
    found: list[list[int]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for node in order:
        found[level[node]].append(node)
    return found
