"""
Give each arm the first and the last tool of a held-out run, and ask for the way between them.

A run: the calls directly below one parent (or at the top), in order, a tool repeated in place
counted once; with something between two different ends. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from clew.errors import UnknownNode
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import sampled
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph
from clew.model.graph import Node, Paths

Pathfinder = Callable[..., Paths]

MOST_RUNS = 2000
"""Of a fold; more are sampled."""


class Replay:
    """Runs of held-out traces."""

    def __init__(
        self,
        traces: Sequence[RecordedTrace],
        *,
        most: int = MOST_RUNS,
        weigh: Callable[[RecordedTrace], float] = lambda _: 1.0,
    ) -> None:
        self._runs = sampled([(trace, run) for trace in traces for run in runs(trace)], most)
        self.weigh = weigh
        self.asked = len(self._runs)

    def ask(self, graph: Graph, finders: Mapping[str, Pathfinder], tallies: Mapping[str, Tally]) -> None:
        """Ask each arm for each way, and count how like the true one it is."""
        for trace, run in self._runs:
            for arm, find in finders.items():
                _count(tallies[arm], trace.task, run, _way(graph, find, run), self.weigh(trace))


def _way(graph: Graph, find: Pathfinder, run: Sequence[Node]) -> tuple[Node, ...]:
    """The best way; empty if there is none, or if an end was never seen."""
    try:
        found = find(graph, run[0], run[-1], k=1).paths
    except UnknownNode:
        return ()
    return found[0].nodes if found else ()


def _count(tally: Tally, task: str, run: tuple[Node, ...], way: tuple[Node, ...], weight: float) -> None:
    between, found = Counter(run[1:-1]), Counter(way[1:-1])
    tally.add(task, "exact", weight * (way == run), weight)
    both = sum((between & found).values())
    tally.add(task, "F1 between", 2 * weight * both, weight * (between.total() + found.total()))


def runs(trace: RecordedTrace) -> Iterator[tuple[Node, ...]]:
    """Give the runs of a trace that have something between two different ends."""
    below: dict[str | None, list[Node]] = {}
    for call in trace.calls.calls:
        nodes = below.setdefault(call.parent_id, [])
        if not nodes or nodes[-1] != call.node:
            nodes.append(call.node)
    for nodes in below.values():
        if len(nodes) > 2 and nodes[0] != nodes[-1]:
            yield tuple(nodes)
