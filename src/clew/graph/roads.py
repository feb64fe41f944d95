"""
What walking an edge costs, in each arm of `clew.graph.paths`; rows are made when first walked.

hops and fixed walk every edge. likely walks what can come next in a run: `sequence` and `contains`
as often as they were seen, and `dependency` once for each template that declares it, so that a
template shows ways before anything ran and hardly matters after. P(b | a) is b's share of all that
followed a, or was called by it; a itself does not count, since a way leaves it. Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import log

from clew.graph.state import Graph
from clew.graph.weights import fixed_cost
from clew.model.graph import EDGE_TYPES, OBSERVED_FROM, EdgeType, Node, Reason, Source

NEXT: tuple[EdgeType, ...] = ("sequence", "contains", "dependency")
"""The types of edges along which a run goes on."""

_TIE = 1e-6
"""Of ways that cost the same, that which was seen oftener comes first."""

_Row = tuple[Sequence[int], Sequence[float]]


class GraphRoads:
    """The edges of some types as roads; what a step costs is each arm's own."""

    types: tuple[EdgeType, ...] = EDGE_TYPES
    beyond = 0.5
    """By how much a further way usually costs more than the best one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._out = [graph.out(type_) for type_ in self.types]
        self._origins: dict[int, array[int]] = {}
        for out in self._out:
            for origin, targets in out.items():
                for target in targets:
                    known = self._origins.get(target)
                    if known is None:
                        known = self._origins[target] = array("i")
                    known.append(origin)
        self._ahead: dict[int, _Row] = {}
        self._behind: dict[int, _Row] = {}

    def ahead(self, node: int) -> Iterable[tuple[int, float]]:
        """Give where *node* leads, itself aside, cheapest first."""
        row = self._ahead.get(node)
        if row is None:
            targets = sorted({target for out in self._out for target in out.get(node, ()) if target != node})
            row = self._ahead[node] = _row(targets, [self.step(node, each) for each in targets])
        return zip(*row, strict=True)

    def origins(self, node: int) -> Sequence[int]:
        """Give what leads to *node*, in any order."""
        return self._origins.get(node, ())

    def behind(self, node: int) -> Iterable[tuple[int, float]]:
        """Give what leads to *node*, itself aside, cheapest first."""
        row = self._behind.get(node)
        if row is None:
            origins = sorted({origin for origin in self._origins.get(node, ()) if origin != node})
            row = self._behind[node] = _row(origins, [self.step(each, node) for each in origins])
        return zip(*row, strict=True)

    def rows(self, node: int, target: int) -> list[int]:
        """Give the rows of the edges of which a step is made, strongest first."""
        found = [out[node].get(target) for out in self._out if node in out]
        return sorted((row for row in found if row is not None), key=self._strength)

    def step(self, node: int, target: int) -> float:
        """Give what searching takes the step to cost."""
        raise NotImplementedError

    def cost(self, node: int, target: int) -> float:
        """Give what the step costs, in the arm's own terms."""
        return self.step(node, target)

    def weight(self, node: int, target: int) -> float:
        """Give what the step weighs, in the arm's own terms."""
        raise NotImplementedError

    def seen(self, row: int) -> int:
        """How often an edge was observed; templates count once each."""
        return self.graph.count[row] + self.graph.inferred[row] + self.graph.declared[row]

    def _strength(self, row: int) -> float:
        """What to sort by, lowest first."""
        return -self.seen(row)


def _row(nodes: Iterable[int], costs: Iterable[float]) -> _Row:
    pairs = sorted(zip(costs, nodes, strict=True))
    return array("i", [node for _, node in pairs]), array("d", [cost for cost, _ in pairs])


class Hops(GraphRoads):
    """Every edge costs one."""

    def step(self, node: int, target: int) -> float:
        """One, and a trifle more for what was seldom seen."""
        return 1.0 + _TIE / (1 + sum(map(self.seen, self.rows(node, target))))

    def cost(self, node: int, target: int) -> float:  # noqa: ARG002
        """One."""
        return 1.0

    def weight(self, node: int, target: int) -> float:  # noqa: ARG002
        """One."""
        return 1.0


class Fixed(GraphRoads):
    """The original design: the best edge's 1 / (type weight x source factor)."""

    def step(self, node: int, target: int) -> float:
        """The best edge's cost, and a trifle more for what was seldom seen."""
        rows = self.rows(node, target)
        return self._strength(rows[0]) + _TIE / (1 + sum(map(self.seen, rows)))

    def cost(self, node: int, target: int) -> float:
        """The best edge's cost."""
        return self._strength(self.rows(node, target)[0])

    def weight(self, node: int, target: int) -> float:
        """The best edge's weight."""
        return 1 / self.cost(node, target)

    def _strength(self, row: int) -> float:
        return fixed_cost(self.graph.ends(row)[2], source_of(self.graph, row))


class Likely(GraphRoads):
    """-log P(target | node)."""

    types = NEXT
    beyond = 1.5

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self._leaving: dict[int, int] = {}

    def step(self, node: int, target: int) -> float:
        """-log P, at least 0."""
        return -log(self.weight(node, target))

    def weight(self, node: int, target: int) -> float:
        """P(target | node): above 0, at most 1."""
        count, inferred, declared = self.graph.count, self.graph.inferred, self.graph.declared
        seen = 0
        for out in self._out:
            row = out[node].get(target) if node in out else None
            if row is not None:
                seen += count[row] + inferred[row] + declared[row]
        # Coming back to itself is a way of its own (see `clew.graph.paths`), on top of those that leave.
        return max(_TIE, seen) / max(_TIE, seen, self.leaving(node) + (seen if node == target else 0))

    def leaving(self, node: int) -> int:
        """How often something else came next."""
        found = self._leaving.get(node)
        if found is None:
            found = self._leaving[node] = sum(
                self.seen(row) for out in self._out for target, row in out.get(node, {}).items() if target != node
            )
        return found


def source_of(graph: Graph, row: int) -> Source:
    """Give an edge's source, as `Edge.source` does."""
    if graph.count[row] >= OBSERVED_FROM:
        return "observed"
    return "inferred" if graph.count[row] + graph.inferred[row] else "template"


_SAID: dict[EdgeType, str] = {
    "sequence": "{target} followed {origin} {times}",
    "contains": "{origin} called {target} {times}",
    "provides": "{target} used what {origin} had given {times}",
    "dependency": "a template says that {target} waits for {origin}",
}
_NAME_CHARS = 80


def reason(graph: Graph, row: int, weight: float | None = None) -> Reason:
    """Give an edge as the reason for something, with what it weighed there."""
    origin, target, type_ = graph.ends(row)
    count = graph.count[row] + graph.inferred[row]
    return Reason(
        text=_SAID[type_].format(
            origin=named(graph.nodes[origin]), target=named(graph.nodes[target]), times=times(count)
        ),
        type=type_,
        origin=graph.nodes[origin],
        target=graph.nodes[target],
        count=count,
        weight=weight,
        source=source_of(graph, row),
        traces=graph.edge_traces(row),
    )


def named(node: Node) -> str:
    """A node's name, short enough for a sentence."""
    return node.name if len(node.name) <= _NAME_CHARS else f"{node.name[: _NAME_CHARS - 1]}…"


def times(count: int) -> str:
    """Say how often, in words."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
