"""
The plain arms of `suggest`: popularity, follows, the fixed weights of the original design, back-off.

They are what the learned arm is held against. Each gives probabilities of what comes next that
sum to at most 1. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from clew.graph.next_contexts import ANYTHING, LAST, SCOPE, THREE, TWO
from clew.graph.next_model import Model
from clew.graph.next_place import Place
from clew.graph.next_tables import TOTAL, Counts, outcomes
from clew.graph.state import TOP, Graph
from clew.graph.weights import SOURCE_FACTOR, TYPE_WEIGHT
from clew.model.graph import OBSERVED_FROM, EdgeType, Source

FIXED: dict[str, float] = {str(name): weight for name, weight in (*TYPE_WEIGHT.items(), *SOURCE_FACTOR.items())}
"""The fixed arm's weights: of edge types, and of where an edge is from."""

Shares = dict[int, float]


def popularity(model: Model, _: Place) -> Shares:
    """What is called most, whatever came before."""
    return _shares(model.tables.at(ANYTHING))


def follows(model: Model, place: Place) -> Shares:
    """
    What came next after the last call; below a parent without a call yet, what came there.

    Popularity counts as one observation more, so that it says what the counts leave open.
    """
    counts = _at(model, place, LAST if place.walk.nodes else SCOPE)
    usual = popularity(model, place)
    if counts is None:
        return usual
    whole = counts[TOTAL] + 1
    shares = {node: share / whole for node, share in usual.items()}
    for node, count in outcomes(counts):
        shares[node] = shares.get(node, 0.0) + count / whole
    return shares


def backoff(model: Model, place: Place) -> Shares:
    """
    What came next after the last three calls; of what that leaves open, after the last two, and so on.

    As much is left open as there were different outcomes: PPM's method C, Moffat (1990).
    """
    shares: Shares = {}
    open_ = 1.0
    for kind in (THREE, TWO, LAST, ANYTHING):
        counts = _at(model, place, kind)
        if counts is None:
            continue
        whole = counts[TOTAL] + len(counts) - 1
        for node, count in outcomes(counts):
            shares[node] = shares.get(node, 0.0) + open_ * count / whole
        open_ *= (len(counts) - 1) / whole
    return shares


def fixed(graph: Graph, place: Place, weights: Mapping[str, float]) -> Shares:
    """The neighbours of the last call, and what the scope contains, by the fixed weight of their best edge."""
    shares: Shares = {}
    last = place.walk.nodes[-1] if place.walk.nodes else TOP
    types: tuple[EdgeType, ...] = ("sequence", "provides", "dependency")
    for origin, type_ in [(place.walk.scope, "contains"), *((last, type_) for type_ in types)]:
        for target, row in graph.out(type_).get(origin, {}).items():
            weight = weights[type_] * weights[_source(graph, row)]
            shares[target] = max(weight, shares.get(target, 0.0))
    whole = sum(shares.values())
    return {node: share / whole for node, share in shares.items() if share > 0}


def _source(graph: Graph, row: int) -> Source:
    if graph.count[row] >= OBSERVED_FROM:
        return "observed"
    return "inferred" if graph.count[row] + graph.inferred[row] > 0 else "template"


def _at(model: Model, place: Place, kind: int) -> Counts | None:
    kinds = place.walk.kinds(())
    return model.tables.at(place.walk.contexts(())[kinds.index(kind)]) if kind in kinds else None


def _shares(counts: Counts | None) -> Shares:
    if counts is None:
        return {}
    total = counts[TOTAL]
    return {node: count / total for node, count in outcomes(counts)}
