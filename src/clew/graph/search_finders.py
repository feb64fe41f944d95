"""
What finds a node in a search by text: its own, or that of what contains it.

Each finder scores nodes from 0 to 1, and can say why; `clew.graph.search` adds them up. Pure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from string import punctuation

from clew.graph.bm25 import words, words_asked
from clew.graph.search_index import Dense, SearchIndex, unit
from clew.graph.state import Graph
from clew.model.graph import Node, Reason

MOST_ASKED = 64
"""Different words of a request; a whole page pasted into a search says in its beginning what it is about."""

MOST_SEEDS = 5
"""Nodes found by text whose company is looked at."""

MOST_COMPANY = 200
"""Neighbours, or ways of running, of one node that are looked at."""

RANKS = 5
"""By rank r a vector's nearness counts (1 + RANKS) / (r + RANKS)."""

_NAMED = 80  # Letters of a name in a sentence; a name may have ten thousand.


class Finder(ABC):
    """One way of finding nodes."""

    scores: dict[int, float]
    """Node id -> 0 to 1."""

    @abstractmethod
    def reason(self, node: int, weight: float) -> Reason:
        """Say why it found *node*, which added *weight* to its score."""


class ByText(Finder):
    """The words of a node's name and description: BM25, squared, the best of those that do the work being 1."""

    def __init__(self, graph: Graph, index: SearchIndex, asked: str) -> None:
        self._graph, self._index = graph, index
        self.stems = list(dict.fromkeys(words_asked(asked)))[:MOST_ASKED]
        self._spoken = {stem: said.strip(punctuation) for said in asked[:1_000].split() for stem in words(said)}
        self.steps = index.steps.score(self.stems)
        self.holders = index.holders.score(self.stems)
        # Squared: what fits half as well is rarely what is meant, and must not outweigh what contains it.
        most = max([*self.steps.values(), *self.holders.values()], default=0.0)
        self.scores = {node: score**2 for node, score in of_best(self.steps).items()}
        self.scores.update({node: (score / most) ** 2 for node, score in self.holders.items()})

    def seeds(self) -> list[int]:
        """The nodes that do the work and fit best."""
        return best(self.steps, MOST_SEEDS)

    def reason(self, node: int, weight: float) -> Reason:
        """Say which words it shares."""
        held = set(self._index.texts_of(node).words_of(node))
        shared = [self._spoken[stem][:_NAMED] for stem in self.stems if stem in held and stem in self._spoken]
        said = f"hold {', '.join(dict.fromkeys(shared[:8]))}" if shared else "hold words that begin alike"
        return Reason(text=f"its name and description {said}", type="text", weight=weight)


class ByVector(Finder):
    """How near an embedder puts a node's text to what is asked, by rank."""

    def __init__(self, index: SearchIndex, dense: Dense, asked: str, first: Mapping[int, float]) -> None:
        (vector,) = dense([asked[:4_000]])
        self.asked, self._dense = unit(vector), dense
        near = index.steps.nearest(dense, self.asked, best(first, MOST_COMPANY))
        self.scores = by_rank(near[:MOST_COMPANY])

    def nearest_requests(self, index: SearchIndex, first: Mapping[int, float]) -> dict[int, float]:
        """Past requests by how near they are, 0 to 1."""
        return by_rank(index.requests.nearest(self._dense, self.asked, best(first, MOST_COMPANY))[:MOST_COMPANY])

    def reason(self, node: int, weight: float) -> Reason:
        """Say at which place the embedder puts it."""
        rank = round((1 + RANKS) / self.scores[node]) - RANKS
        return Reason(text=f"its text is number {rank} by meaning, to the embedder", type="text", weight=weight)


class ByContainment(Finder):
    """
    Capabilities and past requests that read like what is asked, and what they contain.

    The nearest of both vote, each with how well it matches to the power of *sharpness*; *doubt* is a
    vote for nothing, so that one poor match is not taken for certainty.
    """

    def __init__(
        self, graph: Graph, index: SearchIndex, text: ByText, vector: ByVector | None, weights: Mapping[str, float]
    ) -> None:
        self._graph, self._index = graph, index
        self._sharpness = weights["sharpness"]
        nearest = int(weights["nearest"])
        contains = graph.out("contains")
        holds = {
            node: score for scores in (text.holders, text.steps) for node, score in scores.items() if node in contains
        }
        asked = index.requests.score(text.stems)
        for request, score in (vector.nearest_requests(index, asked) if vector else {}).items():
            asked[request] = asked.get(request, 0.0) + score / 2
        found = [(score, 0, node) for node, score in holds.items()] + [(score, 1, key) for key, score in asked.items()]
        self._holds: dict[int, list[tuple[float, int]]] = defaultdict(list)
        self._asked: dict[int, list[tuple[float, int]]] = defaultdict(list)
        votes: dict[int, float] = defaultdict(float)
        total = max(weights["doubt"], 1e-9) ** self._sharpness
        for score, is_request, key in nlargest(nearest, found):
            vote = score**self._sharpness
            total += vote
            for node, share in self._used(key) if is_request else self._contained(key):
                votes[node] += vote * share
                (self._asked if is_request else self._holds)[node].append((vote * share, key))
        self.scores = {node: vote / total for node, vote in votes.items()}
        self.belief = 1 - max(weights["doubt"], 1e-9) ** self._sharpness / total
        """How much of the votes is not doubt, 0 to 1."""

    def _used(self, request: int) -> Iterable[tuple[int, float]]:
        return [(node, 1.0) for node in self._index.used_by(request)]

    def _contained(self, holder: int) -> Iterable[tuple[int, float]]:
        graph, runs = self._graph, max(1, self._graph.node_count[holder])
        for node, row in islice(graph.out("contains")[holder].items(), MOST_COMPANY):
            yield node, min(1.0, (graph.count[row] + graph.inferred[row]) / runs)

    def reason(self, node: int, weight: float) -> Reason:
        """Name the capability, or count the requests, whose vote was largest."""
        if node in self._holds and max(self._holds[node]) >= max(self._asked.get(node, [(0.0, 0)])):
            return self._by_holder(node, max(self._holds[node])[1], weight)
        asked = sorted(self._asked[node], reverse=True)
        traces = [trace for _, key in asked if (trace := self._index.trace_of(key))]
        times = "a past request" if len(asked) == 1 else f"{len(asked)} past requests"
        return Reason(
            text=f"{times} like this one used it",
            type="contains",
            target=self._graph.nodes[node],
            count=len(asked),
            weight=weight,
            traces=tuple(traces[:3]),
        )

    def _by_holder(self, node: int, holder: int, weight: float) -> Reason:
        edge = self._graph.edge(self._graph.out("contains")[holder][node])
        runs = self._graph.node_count[holder]
        times = edge.count + edge.inferred
        return Reason(
            text=f"{named(edge.origin)} reads like this and called it {times} times in {runs} runs",
            type="contains",
            origin=edge.origin,
            target=edge.target,
            count=times,
            weight=weight,
            source=edge.source,
            traces=edge.traces,
        )


def named(node: Node) -> str:
    """A node's name, short enough for a sentence."""
    return node.name if len(node.name) <= _NAMED else f"{node.name[:_NAMED]}…"


def by_rank(keys: Sequence[int]) -> dict[int, float]:
    """Score by place in a ranking: reciprocal rank, 1 for the first."""
    return {key: (1 + RANKS) / (at + 1 + RANKS) for at, key in enumerate(keys)}


def of_best(scores: Mapping[int, float]) -> dict[int, float]:
    """Scale, so that the best is 1."""
    most = max(scores.values(), default=0.0)
    return {node: score / most for node, score in scores.items()} if most > 0 else {}


def best(scores: Mapping[int, float], k: int) -> list[int]:
    """The keys of the *k* best; ties by key."""
    return [-key for _, key in nlargest(k, ((score, -key) for key, score in scores.items()))]
