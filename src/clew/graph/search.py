"""
Find tools and capabilities by what they are for.

Four things find a node: its own text; what ran in one run with it; its neighbours in the graph; and
**containment**, the strongest: capabilities, and past requests, that read like what is asked bring
the tools that they used. Each gives a part of a node's score, and is a reason in the answer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import NamedTuple

from clew.errors import BadFilter
from clew.graph.bm25 import words
from clew.graph.calls import Context
from clew.graph.search_company import ByCompany, ByContext, ByNeighbours, ByUse
from clew.graph.search_finders import ByContainment, ByText, ByVector, Finder, best
from clew.graph.search_index import HOLDERS, Asked, Dense, SearchIndex
from clew.graph.state import Graph
from clew.model.graph import Found, Node, Reason, SearchResult

WEIGHTS: dict[str, float] = {
    "text": 1.0,
    "dense": 0.5,
    "contained": 2.5,
    "together": 0.3,
    "neighbours": 0.1,
    "context": 0.3,
    "used": 0.02,
    "nearest": 40.0,
    "sharpness": 3.0,
    "doubt": 0.15,
}
"""
What each finder's part weighs, all parts being 0 to 1. *nearest*: capabilities and requests that are
believed; *sharpness*: how much more the nearer ones are; *doubt*: how well one must match, 0 to 1,
to be believed by half.
"""

ARMS = ("text", "adamic", "contained", "hybrid")

_PARTS: dict[str, tuple[str, ...]] = {
    "text": ("text", "dense"),
    "adamic": ("text", "dense", "neighbours"),
    "contained": ("text", "dense", "contained", "together"),
    "hybrid": ("text", "dense", "contained", "together", "neighbours", "context", "used"),
}

MOST_WEIGHED = 200
"""Of what each finder found, so many can be told apart by how much they are used."""

_WORTH_SAYING = 0.02
"""A part of so much of a node's score is a reason."""


def search(
    graph: Graph,
    text: str,
    *,
    context: Context | None = None,
    k: int = 5,
    arm: str = "hybrid",
    documents: Mapping[Node | str, str] | None = None,
    requests: Iterable[Asked] | None = None,
    dense: Dense | None = None,
    index: SearchIndex | None = None,
    weights: Mapping[str, float] | None = None,
    version: int = 0,
) -> SearchResult:
    """
    Give the *k* nodes that fit *text* best.

    *documents* describe nodes and *requests* tell what past runs were asked for and used; who
    searches often keeps them in an *index* instead. *dense* embeds texts, where an embedder is
    there: a few new texts a search, so that no search waits for all of them. Of what is found, half
    at most is capabilities that are there for their own text, so that requests which became names
    do not crowd out what they used.

    Raises:
        BadFilter: *text* has no word in it; or *arm*, *k* or a weight makes no sense.
    """
    if not words(text):
        raise BadFilter("text", "has no word in it; say in a few words what the tool should do")
    if k < 1:
        raise BadFilter("k", "must be at least 1")
    known = _weights(arm, weights)
    if index is None:
        index = _index_of(graph, documents, requests)
    index.follow(graph)
    finders = _finders(graph, index, _Question(text, context, dense), arm, known)
    found = tuple(
        Found(node=graph.nodes[node], score=score, reasons=_reasons(finders, node, score))
        for node, score in _fused(graph, finders, k)
    )
    return SearchResult(arm=arm, arm_version=version, found=found)


def _weights(arm: str, weights: Mapping[str, float] | None) -> dict[str, float]:
    if arm not in ARMS:
        raise BadFilter("arm", f"{arm[:80]!r} is none of {', '.join(ARMS)}")
    if unknown := sorted(set(weights or {}) - set(WEIGHTS)):
        raise BadFilter("weights", f"{unknown[0][:80]!r} is none of {', '.join(WEIGHTS)}")
    return {**WEIGHTS, **(weights or {})}


def _index_of(
    graph: Graph, documents: Mapping[Node | str, str] | None, requests: Iterable[Asked] | None
) -> SearchIndex:
    if documents or requests:
        return SearchIndex(graph, documents=documents, requests=requests or ())
    return graph.derived("search.index", SearchIndex)


class _Question(NamedTuple):
    text: str
    context: Context | None
    dense: Dense | None


def _finders(
    graph: Graph, index: SearchIndex, asked: _Question, arm: str, weights: Mapping[str, float]
) -> list[tuple[float, Finder]]:
    """Those of an arm, each with its weight."""
    parts = _PARTS[arm]
    text = ByText(graph, index, asked.text)
    vector = ByVector(index, asked.dense, asked.text, text.steps) if asked.dense else None
    made: dict[str, Finder] = {"text": text}
    if vector:
        made["dense"] = vector
    if "contained" in parts:
        made["contained"] = ByContainment(graph, index, text, vector, weights)
        made["together"] = ByCompany(graph, text)
    if "neighbours" in parts:
        made["neighbours"] = ByNeighbours(graph, text)
    if "context" in parts and asked.context is not None:
        made["context"] = ByContext(graph, index, asked.context)
    if "used" in parts:
        made["used"] = ByUse(graph, {node for finder in made.values() for node in best(finder.scores, MOST_WEIGHED)})
    contained = made.get("contained")
    doubt = 1 - contained.belief if isinstance(contained, ByContainment) else 1.0
    # Company is the second best evidence: it says more where nothing reads like what is asked.
    more = {"together": 1 + doubt / 2, "neighbours": 1 + 2 * doubt}
    return [(weights[name] * more.get(name, 1.0), finder) for name, finder in made.items()]


def _fused(graph: Graph, finders: list[tuple[float, Finder]], k: int) -> list[tuple[int, float]]:
    """The best *k*, best first; what only the context speaks for is not there."""
    scores: dict[int, float] = {}
    for weight, finder in finders:
        by_itself = not isinstance(finder, ByContext | ByUse)
        for node, score in finder.scores.items():
            if by_itself or node in scores:
                scores[node] = scores.get(node, 0.0) + weight * score
    steps: list[tuple[float, int]] = []
    holders: list[tuple[float, int]] = []
    for node, score in scores.items():
        (holders if graph.nodes[node].kind in HOLDERS else steps).append((score, -node))
    best_steps, best_holders = nlargest(k, steps), nlargest(k, holders)
    best_holders = best_holders[: max((k + 1) // 2, k - len(best_steps))]
    return [(-node, score) for score, node in nlargest(k, best_steps + best_holders)]


def _reasons(finders: list[tuple[float, Finder]], node: int, score: float) -> tuple[Reason, ...]:
    """Why a node was found, the weightiest first."""
    parts = [(weight * finder.scores.get(node, 0.0), at, finder) for at, (weight, finder) in enumerate(finders)]
    told = sorted((part for part in parts if part[0] > _WORTH_SAYING * score), key=lambda part: (-part[0], part[1]))
    return tuple(finder.reason(node, weight) for weight, _, finder in told)
