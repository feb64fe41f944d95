"""
Search with the words that asked for a held-out run, and see whether its tools are found.

Only for data with `text`. The runs that are learned are known to the search as past requests, with
their words and what they used. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clew.errors import BadFilter
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import sampled
from clew.graph.recorded import RecordedTrace
from clew.graph.search_index import HOLDERS, Request, SearchIndex
from clew.graph.state import Graph
from clew.model.graph import Node, SearchResult

Searcher = Callable[..., SearchResult]

FIRST = 5
"""Of the tools that are found, those that count."""

MOST_SEARCHES = 1000
"""Of a fold; more are sampled."""


class Replay:
    """Held-out traces with words."""

    def __init__(
        self,
        training: Sequence[RecordedTrace],
        test: Sequence[RecordedTrace],
        *,
        most: int = MOST_SEARCHES,
        weigh: Callable[[RecordedTrace], float] = lambda _: 1.0,
    ) -> None:
        self._past = [Request(trace.text, _known(trace), trace.trace_id) for trace in training if trace.text]
        self._traces = sampled([trace for trace in test if trace.text and _used(trace)], most)
        self.weigh = weigh
        self.asked = len(self._traces)

    def ask(self, graph: Graph, searchers: Mapping[str, Searcher], tallies: Mapping[str, Tally]) -> None:
        """Search with each arm, and count how many of the needed tools are among the first."""
        index = SearchIndex(graph, requests=self._past)
        for trace in self._traces:
            needed = set(_used(trace))
            for arm, search in searchers.items():
                first = _first(graph, search, trace.text, index)
                _count(tallies[arm], trace.task, needed, first, self.weigh(trace))


def _known(trace: RecordedTrace) -> list[Node]:
    """What a past request brings: all but what stands for the request itself."""
    return [call.node for call in trace.calls.calls if call.parent_id is not None or call.kind not in HOLDERS]


def _used(trace: RecordedTrace) -> list[Node]:
    """The tools of a run; what is made of others stands for them, and is not counted."""
    return [call.node for call in trace.calls.calls if call.kind not in HOLDERS]


def _first(graph: Graph, search: Searcher, text: str, index: SearchIndex) -> list[Node]:
    try:
        found = search(graph, text, k=2 * FIRST, index=index).found
    except BadFilter:  # Not a word in the text.
        return []
    return [each.node for each in found if each.node.kind not in HOLDERS][:FIRST]


def _count(tally: Tally, task: str, needed: set[Node], first: Sequence[Node], weight: float) -> None:
    have = len(needed.intersection(first))
    tally.add(task, "recall@5", weight * have / len(needed), weight)
    tally.add(task, "all@5", weight * (have == len(needed)), weight)
