"""
What a search reads: the words of each node, and what was asked in past runs with what these used.

It only grows as the graph does, so that keeping one beside a graph makes each search cheap; without
one, `search` makes its own. Not for two threads at once. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from math import sqrt
from operator import mul
from typing import NamedTuple, TypeAlias

from clew.graph.bm25 import Bm25, words
from clew.graph.calls import short
from clew.graph.state import Graph
from clew.model.graph import Node

MOST_REQUESTS = 20_000
"""Of past requests, so many are kept: the newest."""

MOST_NEAR = 400
"""Of past requests, so many are scored; far fewer are believed."""

MOST_NODES = 64
"""Of what one request used."""

MOST_EMBEDDED = 64
"""New texts that one search hands to an embedder; the rest waits for the next."""

MOST_COMPARED = 2_000
"""Vectors that one search compares; with 384 dimensions about 20 ms of plain Python."""

HOLDERS = frozenset({"root", "agent", "capability", "chain"})
"""The kinds that are made of others. Their names are often whole sentences, so they are ranked among themselves."""

Dense = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts -> a vector each, of one length."""


class Request(NamedTuple):
    """What was asked for in one run, and what the run used."""

    text: str
    nodes: Sequence[Node]
    trace_id: str = ""


Asked: TypeAlias = Request | tuple[str, Sequence[Node]]


class Texts:
    """Texts that can be replaced and forgotten, each known by a key of its owner."""

    def __init__(self, most_found: int = 1_000) -> None:
        self._most_found = most_found
        self.index = Bm25(most_found)
        self._keys: list[int | None] = []
        """Number in the index -> key; None where the text was replaced."""
        self._numbers: dict[int, int] = {}
        self._words: dict[int, list[str]] = {}
        self._texts: dict[int, str] = {}
        self._vectors: dict[int, tuple[float, ...]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def put(self, key: int, text: str) -> None:
        """Add a text, or replace the one of that key."""
        self.drop(key)
        found = words(text)
        self._numbers[key] = self.index.add(found)
        self._keys.append(key)
        self._words[key] = found
        self._texts[key] = text
        if len(self._keys) > 2 * len(self._numbers) + 100:
            self._compact()

    def drop(self, key: int) -> None:
        """Forget the text of that key, if there is one."""
        number = self._numbers.pop(key, None)
        if number is not None:
            self._keys[number] = None
            del self._words[key], self._texts[key]
            self._vectors.pop(key, None)

    def _compact(self) -> None:
        self.index, self._keys = Bm25(self._most_found), list(self._numbers)
        self._numbers = {key: self.index.add(self._words[key]) for key in self._numbers}

    def words_of(self, key: int) -> list[str]:
        """The words of the text of that key; empty if there is none."""
        return self._words.get(key, [])

    def score(self, asked: Sequence[str]) -> dict[int, float]:
        """Score the texts by key: of what a text with each asked word in it could reach, 0 to about 1."""
        most = self.index.most(asked)
        scored = self.index.score(asked)
        return {key: score / most for number, score in scored.items() if (key := self._keys[number]) is not None}

    def nearest(self, dense: Dense, asked: Sequence[float], first: Iterable[int]) -> list[int]:
        """Give keys by how near their vectors are to *asked*, nearest first; *first* are embedded first."""
        order = dict.fromkeys([*(key for key in first if key in self._texts), *self._texts])
        shown = list(islice(order, MOST_COMPARED))
        missing = [key for key in shown if key not in self._vectors][:MOST_EMBEDDED]
        if missing:
            vectors = dense([self._texts[key][:4_000] for key in missing])
            self._vectors.update(zip(missing, map(unit, vectors), strict=True))
        near = {key: sum(map(mul, asked, self._vectors[key])) for key in shown if key in self._vectors}
        return sorted(near, key=lambda key: (-near[key], key))


class SearchIndex:
    """The texts of one graph's nodes, and past requests."""

    def __init__(
        self, graph: Graph, *, documents: Mapping[Node | str, str] | None = None, requests: Iterable[Asked] = ()
    ) -> None:
        """*documents*: descriptions by node, by 'kind:name' or by name. *requests*: oldest first."""
        self.steps = Texts()
        """By node id: what does the work."""
        self.holders = Texts()
        """By node id: what is made of others."""
        self.requests = Texts(MOST_NEAR)
        self._asked: dict[int, tuple[str, tuple[Node, ...]]] = {}
        self._of_trace: dict[str, int] = {}
        self._next = 0
        self._documents: dict[str, str] = {}
        self._graph = graph
        self.ids: dict[Node, int] = {}
        self._named: dict[str, list[int]] = {}
        self.follow(graph)
        for node, text in (documents or {}).items():
            self.describe(node, text)
        for request in requests:
            self.add_request(*request)

    def follow(self, graph: Graph) -> None:
        """Take in the nodes that are new; a graph that was read anew is taken in whole."""
        if graph is not self._graph:
            self._graph, self.ids, self._named = graph, {}, {}
            self.steps, self.holders = Texts(), Texts()
        for at in range(len(self.ids), len(graph.nodes)):
            self.ids[graph.nodes[at]] = at
            self._named.setdefault(graph.nodes[at].name, []).append(at)
            self._put(at)

    def describe(self, node: Node | str, text: str) -> None:
        """Keep a node's description, which is searched like its name; the node may come later."""
        asked = str(_kept(node)) if isinstance(node, Node) else node
        if self._documents.get(asked) == text:
            return
        self._documents[asked] = text
        kind, _, name = asked.partition(":")
        exact = self.ids.get(Node(kind, name))
        for at in self._named.get(asked, []) if exact is None else [exact]:
            self._put(at)

    def texts_of(self, node: int) -> Texts:
        """Where the text of a node is."""
        return self.holders if self._graph.nodes[node].kind in HOLDERS else self.steps

    def _put(self, at: int) -> None:
        node = self._graph.nodes[at]
        said = self._documents.get(str(node)) or self._documents.get(node.name)
        self.texts_of(at).put(at, f"{node.name} {said}" if said else node.name)

    def add_request(self, text: str, nodes: Iterable[Node], trace_id: str = "") -> None:
        """Keep what a run was asked for and what it used; of a trace that is told again, the last is kept."""
        key = self._next
        self._next += 1
        if trace_id:
            self._forget(self._of_trace.get(trace_id))
            self._of_trace[trace_id] = key
        self._asked[key] = (trace_id, tuple(islice(dict.fromkeys(map(_kept, nodes)), MOST_NODES)))
        self.requests.put(key, text)
        if len(self._asked) > MOST_REQUESTS:
            self._forget(next(iter(self._asked)))

    def _forget(self, key: int | None) -> None:
        if key is not None and key in self._asked:
            trace_id, _ = self._asked.pop(key)
            if self._of_trace.get(trace_id) == key:
                del self._of_trace[trace_id]
            self.requests.drop(key)

    def used_by(self, request: int) -> list[int]:
        """The node ids of what a past request used."""
        return [self.ids[node] for node in self._asked[request][1] if node in self.ids]

    def id_of(self, node: Node) -> int | None:
        """The id of a node, None if the graph has not seen it."""
        return self.ids.get(_kept(node))

    def trace_of(self, request: int) -> str:
        """The trace of a past request; empty if it is not known."""
        return self._asked[request][0]


def _kept(node: Node) -> Node:
    """A node by the name under which graphs keep it."""
    return Node(short(node.kind), short(node.name))


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """Give a vector the length 1, so that a product of two is the cosine of their angle."""
    length = sqrt(sum(map(mul, vector, vector))) or 1.0
    return tuple(float(each) / length for each in vector)
