"""
The graph in memory: counters, from which every weight is derived when it is asked for.

Graphs add up: a trace gives a small one (`clew.graph.learn`), and merging small ones in any order
gives the same big one; merging with a minus takes a trace back. That is also how a graph travels
(from an SDK that stores a tenth of its traffic) and how it is saved. Pure: no clock, no I/O.

A difference of graphs is a graph too: what a late span changes is the trace as it is now minus the
trace as it was, so there counters may be below zero. A graph that is asked has none of those: see
`Graph.settle`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from clew.graph.content import Content, content_of
from clew.graph.episodes import MOST_EPISODES, TOP, Episode, Episodes, Step, ran_before
from clew.graph.exemplars import KEPT_TRACES, Exemplars, newest, without
from clew.graph.size import GraphSize, size_of
from clew.graph.tables import Tables
from clew.model.graph import Edge, EdgeType, Node

__all__ = [
    "KEPT_TRACES",
    "MOST_EPISODES",
    "TOP",
    "Episode",
    "Exemplars",
    "Graph",
    "Step",
    "newest",
    "ran_before",
    "without",
]

T = TypeVar("T")


class Graph(Tables):
    """
    Nodes, edges and episodes of one project. Ids are positions, and mean nothing elsewhere.

    Columns of counters, one entry a node (`node_…`) or an edge (by row). Not for two threads at once,
    nor for two that only read if traces were learned since the last reading.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nodes = self._nodes.nodes
        self._derived: dict[str, tuple[int, Any]] = {}

    # Nodes.

    def node(self, node: Node) -> int:
        """Give the id of *node*, which is added if it is new. A very long name is kept short."""
        known = len(self.nodes)
        found = self._nodes.add(*node)
        self.version += len(self.nodes) - known
        return found

    def find(self, asked: Node | str) -> int:
        """
        Give the id of a node by itself, by 'kind:name', or by its name where that is enough.

        Raises:
            UnknownNode: there is none, or several of that name; says what is near.
        """
        return self._nodes.find(asked)

    def count_node(
        self, node: int, *, count: int, failures: int, ended: int, duration_ns: int, heat: int, last_ns: int
    ) -> None:
        """Add observations to a node."""
        self._count()
        self._nodes.count_up(node, (count, failures, ended, duration_ns, heat), last_ns)
        self.version += 1

    # Edges.

    def out(self, type_: EdgeType) -> Mapping[int, Mapping[int, int]]:
        """Give the edges of one type: origin -> target -> row."""
        self._count()
        return self._edges.out[type_]

    def edge_count(self) -> int:
        """How many edges there are, of all types."""
        self._count()
        return len(self._edges)

    def row(self, origin: int, target: int, type_: EdgeType) -> int:
        """Give the row of an edge, which is added if it is new."""
        return self._edges.row(origin, target, type_)

    def ends(self, row: int) -> tuple[int, int, EdgeType]:
        """Give an edge's origin, target and type."""
        return self._edges.ends(row)

    def edge(self, row: int) -> Edge:
        """Give all that is known of one edge."""
        origin, target, type_ = self._edges.ends(row)
        return Edge(
            origin=self.nodes[origin],
            target=self.nodes[target],
            type=type_,
            count=self.count[row],
            inferred=self.inferred[row],
            failures=self.failures[row],
            declared=self.declared[row],
            duration_ns=self.duration_ns[row],
            heat=self.heat[row],
            last_seen_ns=self.last_ns[row],
            traces=self.edge_traces(row),
        )

    def edges(self) -> Iterator[Edge]:
        """Every edge; those taken back to nothing are not there."""
        for row in self.rows():
            yield self.edge(row)

    def rows(self) -> Iterator[int]:
        """The row of every edge."""
        self._count()
        return self._edges.rows()

    def edge_traces(self, row: int) -> tuple[str, ...]:
        """The newest few traces in which an edge was observed."""
        return tuple(trace_id for _, trace_id in self.edge_exemplars(row))

    def edge_exemplars(self, row: int) -> Exemplars:
        """The same, each with when it ended."""
        self._count()
        return self._edges.traces.of(row)

    def count_edge(
        self,
        row: int,
        *,
        count: int = 0,
        inferred: int = 0,
        failures: int = 0,
        declared: int = 0,
        duration_ns: int = 0,
        heat: int = 0,
        last_ns: int = 0,
        exemplars: Exemplars = (),
    ) -> None:
        """Add observations to an edge. Negative ones take back; what is left with nothing at all goes."""
        self._count()
        if exemplars:
            traces = self._edges.traces
            traces.make_room(KEPT_TRACES)
            traces.note(row, [traces.enter(each) for each in newest((), exemplars)])
        if self._edges.count_up(row, (count, inferred, failures, declared, duration_ns, heat), last_ns):
            self._shapes.clear()
        self.version += 1

    # Episodes.

    def episodes(self) -> Iterator[Episode]:
        """Every way in which a scope ran, oldest known first."""
        self._count()
        return iter(self._episodes)

    def episode_count(self) -> int:
        """How many different ones are kept: at most MOST_EPISODES."""
        self._count()
        return len(self._episodes)

    def count_episode(self, episode: Episode, *, times: int = 1) -> None:
        """Add an episode's counts to what is kept of the same; with *times* -1 take them back."""
        self._count()
        gone = self._episodes.count(episode, times)
        if self._episodes.prune() or gone:
            self._shapes.clear()
        self.version += 1

    # The whole.

    def merge(self, other: Graph, *, times: int = 1) -> None:
        """
        Add all of *other*; with *times* -1 take it back.

        What is taken back exactly: counts, failures, durations, heat, and exemplars that *other*
        names. `last_ns` stays: the trace that is taken back is learned again in its new form. Nor
        do older exemplars come back that newer ones had driven out.
        """
        self._count()
        other._count()
        ids = [self._nodes.add(*node) for node in other.nodes]
        columns = [[times * value for value in column] for column in other._nodes.counters]
        for node, last_ns, *amounts in zip(ids, other.node_last_ns, *columns, strict=True):
            if last_ns or any(amounts):
                self._nodes.count_up(node, amounts, last_ns)
        self._merge_edges(other, ids, times)
        for episode in list(other.episodes()):
            steps = tuple([step._replace(node=ids[step.node]) for step in episode.steps])
            scope = episode.scope if episode.scope == TOP else ids[episode.scope]
            self.count_episode(msgspec.structs.replace(episode, scope=scope, steps=steps), times=times)
        self.trace_count += times * other.trace_count
        self.version += 1

    def _merge_edges(self, other: Graph, ids: list[int], times: int) -> None:
        edges, traces, theirs = self._edges, self._edges.traces, other._edges.traces
        rows = list(other.rows())
        traces.make_room(min(len(theirs.ended_ns), KEPT_TRACES * len(rows)))
        copied: dict[int, int] = {}
        columns = [[times * column[row] for row in rows] for column in other._edges.counters]
        for from_row, *amounts in zip(rows, *columns, strict=True):
            origin, target, type_ = other.ends(from_row)
            row = edges.row(ids[origin], ids[target], type_)
            places = theirs.places(from_row)
            if times < 0:
                traces.forget(row, theirs.of(from_row))
            elif places:
                traces.note(row, [copied.get(at) or copied.setdefault(at, traces.copy(theirs, at)) for at in places])
            if edges.count_up(row, amounts, other.last_ns[from_row]):
                self._shapes.clear()

    def settle(self) -> None:
        """
        Drop edges and episodes for which nothing speaks, or less than nothing.

        Only differences have them, and graphs from which more was taken back than they had. Call
        it before a graph is asked, never on a difference that is still to be merged.
        """
        self._count()
        for row in list(self._edges.owed):
            self._edges.drop(row)
        for key in list(self._episodes.owed):
            self._episodes.drop(key)
        self._shapes.clear()
        self.version += 1

    def forget_episodes(self) -> None:
        """Keep nodes and edges only: for traces that were read without their dataflow, which episodes tell apart."""
        self._count()
        self._episodes = Episodes()
        self._shapes.clear()
        self.version += 1

    def derived(self, name: str, build: Callable[[Graph], T]) -> T:
        """Give what *build* makes of the graph; made anew only after a change."""
        have = self._derived.get(name)
        if have is None or have[0] != self.version:
            have = self._derived[name] = (self.version, build(self))
        made: T = have[1]
        return made

    def size_bytes(self) -> GraphSize:
        """Measure how much memory it takes, and what for."""
        return size_of(self)

    def content(self, *, when: bool = True) -> Content:
        """
        Give all that it says, by names: graphs that learned the same are equal in this.

        Without *when* the times of last sight and the exemplars are left out, which taking a trace
        back cannot undo. Nodes that count nothing are left out always.
        """
        return content_of(self, when=when)
