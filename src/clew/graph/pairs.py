"""
What past runs say of pairs of nodes: how often both ran, and which set off which.

Each run counts once for a pair, however often its nodes were called in it, and by how like the asked
set of nodes it is: runs of the same workflow say more than runs that share two tools with it. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from clew.graph.appearances import appearances
from clew.graph.state import Episode, Graph, Step

MOST_RUNS = 256
"""Different runs of one node that are looked at: those that ran oftenest."""

MOST_RUNS_IN_ALL = 4_096

MOST_WORK = 100_000
"""Steps of those, and pairs in them, that are counted: the most alike runs first."""

_Ordered = set[tuple[int, int]]


class Pair(NamedTuple):
    """What is known of two nodes in this order. All but runs are weighted by likeness."""

    both: float
    """Runs with both."""
    beside: float
    """Of those, in which they ran side by side."""
    set_off: float
    """Of those, in which the first ended last before the second began."""
    runs: int
    """Runs with both, as they are."""
    set_off_runs: int
    earlier_runs: int
    """Those in which the first had ended for the first time before the second began for the first time."""


class Role(NamedTuple):
    """Where one node stands in its runs, those with one node alone aside."""

    runs: int
    first: int
    """Runs in which it set off another."""
    second: int
    """Runs in which another set it off."""


class Pairs:
    """What past runs say of the pairs of some nodes."""

    def __init__(self, graph: Graph, nodes: Collection[int], likeness: float, *, within: int | None = None) -> None:
        self._nodes = frozenset(nodes)
        self._within = within
        """Only runs of this capability; of any if None."""
        self._both: dict[tuple[int, int], list[float]] = {}
        """The lower id first: runs with both weighted, side by side, as they are, and with either first."""
        self._set_off: dict[tuple[int, int], list[float]] = {}
        """In order: weighted, and as they are."""
        self._roles: dict[int, list[int]] = {node: [0, 0, 0] for node in self._nodes}
        work = 0
        for alike, shared, episode in self._runs(graph):
            self._count(episode, shared, episode.count * alike**likeness)
            work += len(episode.steps) + len(shared) ** 2 // 2
            if work > MOST_WORK:
                break

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Every two nodes that ran in one run, in both orders."""
        for one, other in self._both:
            yield one, other
            yield other, one

    def of(self, origin: int, target: int) -> Pair | None:
        """Give what is known of two nodes in this order; None if they never ran in one run."""
        both = self._both.get((min(origin, target), max(origin, target)))
        if both is None:
            return None
        set_off = self._set_off.get((origin, target), (0.0, 0))
        earlier = both[3] if origin < target else both[4]
        return Pair(both[0], both[1], set_off[0], int(both[2]), int(set_off[1]), int(earlier))

    def role(self, node: int) -> Role:
        """Give where a node stands in its runs."""
        return Role(*self._roles[node])

    def _runs(self, graph: Graph) -> Sequence[tuple[float, list[int], Episode]]:
        """The runs with some of the nodes, with those that they share, the most alike first."""
        runs = appearances(graph)
        most = max(16, min(MOST_RUNS, MOST_RUNS_IN_ALL // max(1, len(self._nodes))))
        episodes = {id(episode): episode for node in sorted(self._nodes) for episode in runs.of(node, most)}
        found = []
        for episode in episodes.values():
            nodes = {step.node for step in episode.steps}
            shared = self._nodes & nodes
            if len(nodes) > 1 and self._within in (None, episode.scope):
                alike = len(shared) / (len(nodes) + len(self._nodes) - len(shared))
                found.append((alike, sorted(shared), episode))
        return sorted(found, key=lambda each: -each[0])

    def _count(self, episode: Episode, shared: Sequence[int], weight: float) -> None:
        set_off = set_off_in(episode.steps)
        firsts, seconds = {pair[0] for pair in set_off}, {pair[1] for pair in set_off}
        count = episode.count
        for node in shared:
            role = self._roles[node]
            role[0] += count
            role[1] += count * (node in firsts)
            role[2] += count * (node in seconds)
        if len(shared) < 2:
            return
        begun, ended = _firsts(episode.steps)
        for pair in combinations(shared, 2):
            both = self._both.setdefault(pair, [0.0] * 5)
            both[0] += weight
            both[2] += count
            both[3] += count * (ended[pair[0]] < begun[pair[1]])
            both[4] += count * (ended[pair[1]] < begun[pair[0]])
        for pair in beside_in(episode.steps, set(shared)):
            self._both[pair][1] += weight
        for pair in set_off:
            if pair[0] in self._nodes and pair[1] in self._nodes:
                found = self._set_off.setdefault(pair, [0.0, 0.0])
                found[0] += weight
                found[1] += count


def _firsts(steps: Sequence[Step]) -> tuple[dict[int, int], dict[int, int]]:
    """For each node how many had ended when it first began, and the rank of its first end."""
    begun: dict[int, int] = {}
    ended: dict[int, int] = {}
    for step in steps:
        begun.setdefault(step.node, step.ended_before)
        ended[step.node] = min(step.end_rank, ended.get(step.node, step.end_rank))
    return begun, ended


def set_off_in(steps: Sequence[Step]) -> _Ordered:
    """Give the pairs of different nodes of which the first ended last before the second began."""
    by_end = sorted(steps, key=lambda step: step.end_rank)
    # For those that had ended by some rank: how many had ended when the last of them began.
    latest, most = [0], 0
    for step in by_end:
        most = max(most, step.ended_before)
        latest.append(most)
    return {
        (first.node, second.node)
        for second in steps
        for first in by_end[latest[second.ended_before] : second.ended_before]
        if first.node != second.node
    }


def beside_in(steps: Sequence[Step], nodes: Collection[int]) -> _Ordered:
    """Give the pairs of different *nodes* that ran side by side, the lower id first."""
    found: _Ordered = set()
    running: dict[int, int] = {}  # Node -> the rank of its last end, of those that may not have ended yet.
    for step in steps:
        if step.node not in nodes:
            continue
        running = {node: end for node, end in running.items() if end >= step.ended_before}
        found.update((min(node, step.node), max(node, step.node)) for node in running if node != step.node)
        running[step.node] = max(step.end_rank, running.get(step.node, -1))
    return found
