"""Which episodes each node appears in. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from clew.graph.state import Episode, Graph


class Appearances:
    """The episodes of a graph by the nodes in them; derived of the graph, so it holds for one version."""

    def __init__(self, graph: Graph) -> None:
        self._of: dict[int, list[Episode]] = {}
        for episode in graph.episodes():
            for node in {step.node for step in episode.steps}:
                self._of.setdefault(node, []).append(episode)

    def of(self, node: int, most: int) -> Sequence[Episode]:
        """Give the episodes with *node*; of more than *most*, those that ran oftenest, then the newest."""
        found = self._of.get(node, [])
        if len(found) <= most:
            return found
        return nlargest(most, found, key=lambda each: (each.count, each.last_ns))


def appearances(graph: Graph) -> Appearances:
    """Give the episodes of *graph* by node, made once after each change."""
    return graph.derived("appearances", Appearances)
