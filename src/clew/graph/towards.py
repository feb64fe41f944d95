"""
Ways as past runs went that reached the same goal.

What follows a step depends on where the run is going: so P(b | a) is taken from the runs that had
the goal, as far as there are such, and from all runs otherwise. And of the ways that are found so,
the one is best that is likely itself and passes through what the other likely ones pass through: the
single likeliest way is usually too short, since each further step makes a way less likely. Pure.

Source of the second: Kumar, Byrne: Minimum Bayes-Risk Decoding (HLT-NAACL 2004).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from math import exp, log
from operator import itemgetter

from clew.graph.appearances import appearances
from clew.graph.dijkstra import Way
from clew.graph.roads import Likely
from clew.graph.state import Graph

MOST_RUNS = 256
"""Different runs with the goal that are looked at: those that ran oftenest."""

MOST_STEPS = 8_192
"""Steps of those runs that are looked at."""

MOST_WAYS = 8
"""Ways that are weighed against each other; more if more are asked for."""

Steps = Mapping[int, Mapping[int, float]]
"""Node -> what came next -> how often."""


class Towards:
    """Roads to one goal: those of `Likely`, at other costs."""

    beyond = 2.5
    """A way that is less than e**-2.5, a twelfth, as likely as the best is only looked at if there are too few."""

    def __init__(self, graph: Graph, likely: Likely, goal: int, weights: Mapping[str, float]) -> None:
        self._likely = likely
        self._gone = _steps_to(graph, likely, goal, weights["passing"])
        self._prior = max(1e-6, weights["all_runs"])
        self._sums = {node: sum(targets.values()) + self._prior for node, targets in self._gone.items()}
        self._ahead: dict[int, list[tuple[int, float]]] = {}

    def ahead(self, node: int) -> Iterable[tuple[int, float]]:
        """Give where *node* leads, cheapest first."""
        gone = self._gone.get(node)
        if gone is None:
            return self._likely.ahead(node)
        row = self._ahead.get(node)
        if row is None:
            aside = log(self._sums[node] / self._prior)
            row = self._ahead[node] = _sorted(
                (target, self._mixed(node, gone[target], cost) if target in gone else cost + aside)
                for target, cost in self._likely.ahead(node)
            )
        return row

    def behind(self, node: int) -> Iterable[tuple[int, float]]:
        """Give what leads to *node*, cheapest first."""
        sums, gone = self._sums, self._gone
        if sums.keys().isdisjoint(self._likely.origins(node)):
            return self._likely.behind(node)
        return _sorted(
            (origin, self._mixed(origin, gone[origin].get(node, 0.0), cost) if origin in sums else cost)
            for origin, cost in self._likely.behind(node)
        )

    def step(self, node: int, target: int) -> float:
        """Give what the step costs: -log P."""
        cost = self._likely.step(node, target)
        if node == target or node not in self._gone:
            return cost
        return self._mixed(node, self._gone[node].get(target, 0.0), cost)

    def cost(self, node: int, target: int) -> float:
        """Give the same."""
        return self.step(node, target)

    def weight(self, node: int, target: int) -> float:
        """P(target | node, goal)."""
        return exp(-self.step(node, target))

    def rows(self, node: int, target: int) -> list[int]:
        """Give the rows of the edges of which a step is made, strongest first."""
        return self._likely.rows(node, target)

    def _mixed(self, node: int, gone: float, cost: float) -> float:
        return max(0.0, -log((gone + self._prior * exp(-cost)) / self._sums[node]))


def _sorted(row: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    return sorted(row, key=itemgetter(1))


def _steps_to(graph: Graph, likely: Likely, goal: int, passing: float) -> Steps:
    """Count what came next in runs that had the goal, until they had it for the last time."""
    steps: dict[int, dict[int, float]] = {}
    for nodes, count, ends in _runs_to(graph, goal):
        share = count if ends else count * passing
        for node, target in pairwise(nodes):
            if likely.rows(node, target):
                targets = steps.setdefault(node, {})
                targets[target] = targets.get(target, 0.0) + share
    return steps


def _runs_to(graph: Graph, goal: int) -> Iterator[tuple[Sequence[int], int, bool]]:
    """Give the nodes up to the goal, how often it ran so, and whether it ended there."""
    left = MOST_STEPS
    for episode in appearances(graph).of(goal, MOST_RUNS):
        nodes = [node for node, _ in groupby(step.node for step in episode.steps)]
        last = len(nodes) - 1 - nodes[::-1].index(goal)
        yield nodes[: last + 1], episode.count, last == len(nodes) - 1 and not episode.truncated
        left -= len(nodes)
        if left <= 0:
            return


def weighed(ways: Sequence[Way], weights: Mapping[str, float]) -> list[Way]:
    """Sort ways: those first that are likely and pass through what the others pass through."""
    if not ways:
        return []
    shares = [exp(ways[0][0] - cost) for cost, _ in ways]
    whole = sum(shares)
    between = [frozenset(nodes[1:-1]) for _, nodes in ways]

    def worth(at: int) -> float:
        company = sum(share * _alike(between[at], other) for share, other in zip(shares, between, strict=True))
        return (shares[at] + weights["company"] * company) / whole

    return [ways[at] for at in sorted(range(len(ways)), key=lambda at: (-worth(at), at))]


def _alike(one: frozenset[int], other: frozenset[int]) -> float:
    """F1 of the nodes between."""
    if not one and not other:
        return 1.0
    return 2 * len(one & other) / (len(one) + len(other))
