"""What finds a node in a search by the company it keeps in the graph, and by where a run stands. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from math import log

from clew.graph.appearances import appearances
from clew.graph.calls import Call, Context
from clew.graph.search_finders import MOST_COMPANY, ByText, Finder, named, of_best
from clew.graph.search_index import SearchIndex
from clew.graph.state import Episode, Graph
from clew.model.graph import EDGE_TYPES, EdgeType, Reason

MOST_NEIGHBOURS = 48
"""Of one node, so many are looked at, and of each of these as many again."""

LAST_CALLS = 3
"""Of what was called before, so many say where the run stands."""


class ByCompany(Finder):
    """P(node is called too, given that one found by text is): the share of the runs that had both."""

    def __init__(self, graph: Graph, text: ByText) -> None:
        self._graph = graph
        known = appearances(graph)
        self.scores: dict[int, float] = {}
        self._why: dict[int, tuple[int, int, int]] = {}
        for seed in text.seeds():
            self._add(known.of(seed, MOST_COMPANY), seed, text.scores[seed])

    def _add(self, episodes: Sequence[Episode], seed: int, worth: float) -> None:
        counts: Counter[int] = Counter()
        total = sum(episode.count for episode in episodes)
        for episode in episodes:
            for node in {step.node for step in episode.steps}:
                counts[node] += episode.count
        for node, count in counts.items() if total > 0 else ():
            score = worth * count / total
            if node != seed and score > self.scores.get(node, 0.0):
                self.scores[node] = score
                self._why[node] = seed, count, total

    def reason(self, node: int, weight: float) -> Reason:
        """Name what it ran beside."""
        seed, count, total = self._why[node]
        origin, target = self._graph.nodes[seed], self._graph.nodes[node]
        text = f"it ran beside {named(origin)} in {count} of {total} runs"
        return Reason(text=text, type="context", origin=origin, target=target, count=count, weight=weight)


class Into:
    """The origins of the edges into each node: the other half of `Graph.out`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._origins: dict[int, list[int]] = defaultdict(list)
        for type_ in EDGE_TYPES:
            for origin, targets in graph.out(type_).items():
                for target in targets:
                    self._origins[target].append(origin)
        self._known: dict[int, frozenset[int]] = {}

    def neighbours(self, node: int) -> frozenset[int]:
        """Whatever an edge joins to *node*, but not itself; of very many, some."""
        known = self._known.get(node)
        if known is None:
            targets = (target for type_ in EDGE_TYPES for target in self._graph.out(type_).get(node, ()))
            both = dict.fromkeys([*targets, *self._origins.get(node, ())])
            both.pop(node, None)
            known = self._known[node] = frozenset(islice(both, MOST_NEIGHBOURS))
        return known


class ByNeighbours(Finder):
    """
    Adamic-Adar: neighbours in common with a node found by text, the rarer the better.

    Source: Adamic and Adar: Friends and neighbors on the Web (2003).
    """

    def __init__(self, graph: Graph, text: ByText) -> None:
        self._graph = graph
        into = graph.derived("search.into", Into)
        sums: dict[int, float] = defaultdict(float)
        self._why: dict[int, tuple[float, int]] = {}
        for seed in text.seeds():
            shared: dict[int, float] = defaultdict(float)
            for middle in into.neighbours(seed):
                company = into.neighbours(middle)
                for node in company if len(company) > 1 else ():
                    shared[node] += text.scores[seed] / log(len(company) + 1)
            for node, score in shared.items():
                if node != seed:
                    sums[node] += score
                    self._why[node] = max(self._why.get(node, (0.0, 0)), (score, seed))
        self.scores = of_best(sums)

    def reason(self, node: int, weight: float) -> Reason:
        """Name the node whose neighbours it has."""
        origin, target = self._graph.nodes[self._why[node][1]], self._graph.nodes[node]
        text = f"it has neighbours in common with {named(origin)}"
        return Reason(text=text, type="neighbours", origin=origin, target=target, weight=weight)


class ByContext(Finder):
    """What usually comes after what was just called, or inside of what runs now."""

    def __init__(self, graph: Graph, index: SearchIndex, context: Context) -> None:
        self._graph = graph
        self.scores: dict[int, float] = {}
        self._rows: dict[int, int] = {}
        running = next((call for call in reversed(context.calls) if call.call_id == context.parent_id), None)
        self._add(index, running, ("contains",), 1.0)
        done = [call for call in context.calls[-LAST_CALLS - 1 :] if call is not running]
        for age, call in enumerate(reversed(done[-LAST_CALLS:])):
            self._add(index, call, ("provides", "sequence", "dependency"), 0.5**age)

    def _add(self, index: SearchIndex, call: Call | None, types: Sequence[EdgeType], worth: float) -> None:
        origin = None if call is None else index.id_of(call.node)
        if origin is None:
            return
        graph, runs = self._graph, max(1, self._graph.node_count[origin])
        for type_ in types:
            for node, row in graph.out(type_).get(origin, {}).items():
                share = 1.0 if type_ == "dependency" else (graph.count[row] + graph.inferred[row]) / runs
                if worth * min(1.0, share) > self.scores.get(node, 0.0):
                    self.scores[node] = worth * min(1.0, share)
                    self._rows[node] = row

    def reason(self, node: int, weight: float) -> Reason:
        """Name the call that it usually comes after."""
        edge = self._graph.edge(self._rows[node])
        said = {"contains": "is called inside of", "provides": "uses what came from", "dependency": "needs"}
        return Reason(
            text=f"it {said.get(edge.type, 'comes after')} {named(edge.origin)}, which this run has called",
            type=edge.type,
            origin=edge.origin,
            target=edge.target,
            count=edge.count + edge.inferred,
            weight=weight,
            source=edge.source,
            traces=edge.traces,
        )


class ByUse(Finder):
    """How much a node is used: tells apart what is alike otherwise."""

    def __init__(self, graph: Graph, nodes: Iterable[int]) -> None:
        self._graph = graph
        most = log(2 + max(graph.node_count, default=0))
        self.scores = {node: log(1 + max(0, graph.node_count[node])) / most for node in nodes}

    def reason(self, node: int, weight: float) -> Reason:
        """Say how often it was called."""
        count = self._graph.node_count[node]
        return Reason(text=f"it was called {count} times", type="context", count=count, weight=weight)
