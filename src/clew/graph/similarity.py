"""
The nodes that keep the same company as another: they could stand in for it.

Arms:
    adamic: Adamic-Adar over shared neighbours, each weighed by the fixed quality of the edges to it:
        the original design.
    adamic_plain: the same, every edge worth one.
    company: the cosine of what comes before, what comes after, what is contained and what contains,
        each neighbour weighed by how much more often than by chance it is there. The default.

Rare neighbours are looked at first, and only so many in all: what a hub shares with everything says
nothing of any. Pure.

Source: Adamic, Adar: Friends and neighbors on the Web (Social Networks, 2003); for company, positive
pointwise mutual information, as in Bullinaria, Levy (Behavior Research Methods, 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from heapq import nlargest
from math import log, sqrt
from typing import Final, NamedTuple

from clew.errors import BadFilter
from clew.graph.state import Graph
from clew.graph.weights import fixed_weight
from clew.model.graph import EDGE_TYPES, EdgeType, Reason, Similar, Similars
from clew.model.graph import Node as NodeName

ARMS: Final = ("company", "adamic", "adamic_plain")

MOST_SIMILAR: Final = 1_000
MOST_PAIRS: Final = 4_000
"""So many (neighbour, other node) are looked at for one question."""

MOST_MEASURED: Final = 100
"""The vectors of so many others are measured whole: those that share the most."""


class Feature(NamedTuple):
    """A neighbour, and where it stands."""

    type: EdgeType
    is_after: bool
    """It is the target: it comes after, or is contained."""
    node: int


Rows = Mapping[int, int]
"""Node -> row of the edge that joins it."""


class Company:
    """Who is joined with whom, both ways; derived of the graph, so it holds for one version."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._out = {type_: graph.out(type_) for type_ in EDGE_TYPES}
        self._into: dict[EdgeType, dict[int, dict[int, int]]] = {type_: {} for type_ in EDGE_TYPES}
        for type_, origins in self._out.items():
            into = self._into[type_]
            for origin, targets in origins.items():
                for target, row in targets.items():
                    into.setdefault(target, {})[origin] = row
        self._calls = sum(graph.node_count) or 1
        self._lengths: dict[int, float] = {}

    def features(self, node: int) -> Iterator[tuple[Feature, int]]:
        """Give a node's neighbours, itself aside, with the row of the edge to each."""
        for type_ in EDGE_TYPES:
            for is_after, edges in ((True, self._out[type_]), (False, self._into[type_])):
                for neighbour, row in edges.get(node, {}).items():
                    if neighbour != node:
                        yield Feature(type_, is_after, neighbour), row

    def sharing(self, feature: Feature) -> Rows:
        """Give the nodes that have this neighbour."""
        edges = self._into if feature.is_after else self._out
        return edges[feature.type].get(feature.node, {})

    def surprise(self, node: int, neighbour: int, row: int) -> float:
        """Say how much more often than by chance the two are joined; 0 or more."""
        graph = self._graph
        seen = graph.count[row] + graph.inferred[row] + graph.declared[row]
        by_chance = graph.node_count[node] * graph.node_count[neighbour] / self._calls
        return log(1 + seen / by_chance) if seen > 0 and by_chance > 0 else 0.0

    def length(self, node: int) -> float:
        """Give the length of a node's vector of surprises."""
        found = self._lengths.get(node)
        if found is None:
            squares = [self.surprise(node, feature.node, row) ** 2 for feature, row in self.features(node)]
            found = self._lengths[node] = sqrt(sum(squares))
        return found


Worth = Callable[[int, Feature, int], float]
"""Of a neighbour to a node, by the row of the edge between them."""


def similar(graph: Graph, node: str | NodeName, *, k: int = 5, arm: str = "company", version: int = 0) -> Similars:
    """
    Give the *k* most similar nodes of the same kind, at most `MOST_SIMILAR`; none if it shares no neighbour.

    Raises:
        UnknownNode: it is none of the graph's.
        BadFilter: *k* is below 1, or the arm is unknown.
    """
    if arm not in ARMS:
        raise BadFilter("arm", f"{arm[:80]!r} is none of {', '.join(ARMS)}")
    if k < 1:
        raise BadFilter("k", "must be at least 1")
    asked = graph.find(node)
    company = graph.derived("company", Company)
    shared = _shared(graph, company, asked, arm)
    scores = {other: sum(weights.values()) for other, weights in shared.items()}
    if arm == "company":
        most = nlargest(max(k, MOST_MEASURED), scores, key=lambda other: (scores[other], graph.nodes[other]))
        length = company.length(asked)
        scores = {other: scores[other] / (length * company.length(other)) for other in most if scores[other] > 0}
    best = sorted(scores, key=lambda other: (-scores[other], graph.nodes[other]))[: min(k, MOST_SIMILAR)]
    found = (
        Similar(
            node=graph.nodes[other],
            score=scores[other],
            reasons=tuple(_reasons(graph, company, asked, other, shared[other])),
        )
        for other in best
        if scores[other] > 0
    )
    return Similars(arm=arm, arm_version=version, similar=tuple(found))


def _shared(graph: Graph, company: Company, asked: int, arm: str) -> dict[int, dict[Feature, float]]:
    """Other node -> neighbour that it shares -> what sharing it is worth."""
    worth = _worth(graph, company, arm)
    kind = graph.nodes[asked].kind
    found: dict[int, dict[Feature, float]] = {}
    left = MOST_PAIRS
    features = [(feature, row, company.sharing(feature)) for feature, row in company.features(asked)]
    shareable = (each for each in features if len(each[2]) > 1)
    for feature, row, others in sorted(shareable, key=lambda each: (len(each[2]), each[0])):
        left -= len(others)
        if left < 0:
            break
        mine = worth(asked, feature, row)
        rarity = 1.0 if arm == "company" else log(max(2, len(others)))
        for other, other_row in others.items():
            if other != asked and graph.nodes[other].kind == kind:
                found.setdefault(other, {})[feature] = mine * worth(other, feature, other_row) / rarity
    return found


def _worth(graph: Graph, company: Company, arm: str) -> Worth:
    if arm == "adamic_plain":
        return lambda *_: 1.0
    if arm == "adamic":
        return lambda _, feature, row: sqrt(fixed_weight(feature.type, graph.edge(row).source))
    return lambda node, feature, row: company.surprise(node, feature.node, row)


def _reasons(
    graph: Graph, company: Company, asked: int, other: int, weights: Mapping[Feature, float]
) -> Iterator[Reason]:
    """The neighbours that they share, the most telling first."""
    names = f"{graph.nodes[asked].name} and {graph.nodes[other].name}"
    for feature in nlargest(3, weights, key=lambda each: (weights[each], graph.nodes[each.node])):
        edge = graph.edge(company.sharing(feature)[other])
        yield Reason(
            text=f"{_WORDS[feature.type][feature.is_after]} {names}: {graph.nodes[feature.node].name}",
            type="neighbours",
            origin=edge.origin,
            target=edge.target,
            count=edge.count,
            weight=weights[feature],
            source=edge.source,
            traces=edge.traces,
        )


_WORDS: Final[dict[EdgeType, tuple[str, str]]] = {
    "contains": ("contains both", "is contained in both"),
    "sequence": ("comes before both", "comes after both"),
    "provides": ("feeds both", "is fed by both"),
    "dependency": ("is needed by both", "needs both"),
}
"""What a neighbour is to two nodes: as the origin of the edges, and as their target."""
