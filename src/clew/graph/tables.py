"""
What a graph keeps: tables of nodes, edges and episodes, and what was learned and waits to be counted.

Of many runs alike only the sums are needed, so what is learned waits until somebody looks. For as
long the columns of counters are away: whoever reads one comes through here first, and at any other
time reading costs nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clew.graph.counting import Run, Waiting, count
from clew.graph.edges import EdgeTable
from clew.graph.episodes import Episodes
from clew.graph.nodes import NodeTable
from clew.graph.shapes import Shape, Shapes

_NODE_COLUMNS = ("count", "failures", "ended", "duration_ns", "heat", "last_ns")
_EDGE_COLUMNS = ("count", "inferred", "failures", "declared", "duration_ns", "heat", "last_ns")

_MOST_WAITING = 8_192
"""Calls that were learned and not counted yet; some megabytes."""


class Tables:
    """The tables of a graph, under its public names for their columns."""

    node_count: array[int]
    node_failures: array[int]
    node_ended: array[int]
    """Calls that ended: what node_duration_ns is the sum over."""
    node_duration_ns: array[int]
    node_heat: array[int]
    node_last_ns: array[int]

    count: array[int]
    inferred: array[int]
    failures: array[int]
    declared: array[int]
    duration_ns: array[int]
    heat: array[int]
    last_ns: array[int]

    def __init__(self) -> None:
        self._nodes = NodeTable()
        self._edges = EdgeTable()
        self._episodes = Episodes()
        self._shapes = Shapes()
        self._columns = {f"node_{name}": getattr(self._nodes, name) for name in _NODE_COLUMNS}
        self._columns |= {name: getattr(self._edges, name) for name in _EDGE_COLUMNS}
        self.__dict__.update(self._columns)
        self._waiting: Waiting = {}
        self._waiting_calls = 0
        self.trace_count = 0
        self.version = 0
        """Grows with every change; what is derived of the graph holds for one version."""

    def add_runs(self, runs: Sequence[tuple[Shape, Run]], calls: int) -> None:
        """Take in the scopes of one trace with so many *calls*: for `clew.graph.learn`."""
        waiting = self._waiting
        if not waiting:
            for name in self._columns:
                del self.__dict__[name]
        for shape, run in runs:
            if shape in waiting:
                waiting[shape].append(run)
            else:
                waiting[shape] = [run]
        self.trace_count += 1
        self.version += 1
        self._waiting_calls += calls
        if self._waiting_calls > _MOST_WAITING:
            self._count()

    if not TYPE_CHECKING:  # Seen by it, any misspelt attribute would pass.

        def __getattr__(self, name: str) -> Any:
            columns = self.__dict__.get("_columns", {})
            if name not in columns:
                raise AttributeError(f"a graph has no {name!r}")
            self._count()
            return columns[name]

    def _count(self) -> None:
        """Count what waits."""
        if self._waiting:
            count(self._nodes, self._edges, self._waiting)
            self._waiting = {}
            self._waiting_calls = 0
            self.__dict__.update(self._columns)
            self._review()

    def _review(self) -> None:
        """Let go of what counts nothing, and of episodes if there are too many."""
        edges, episodes = self._edges, self._episodes
        gone = [row for row in list(edges.owed) if edges.review(row)]
        gone_ways = [episode for episode in episodes.owing() if episodes.review(episode)]
        if episodes.prune() or gone or gone_ways:
            self._shapes.clear()
