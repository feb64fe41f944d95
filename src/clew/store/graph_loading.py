"""
A project's graph from the rows of its tables. Pure.

A row of exemplars is their hex (`clew.store.exemplars`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from clew.graph import Graph
from clew.graph.exemplars import MOST_TRACES, pack
from clew.graph.state import TOP, Episode, Step
from clew.model.graph import EdgeType, Node
from clew.store.exemplars import decode, entries_of, newest_entries, read_entry
from clew.store.graph_rows import TOP_ID

Names = tuple[str, ...]
NodeRow = tuple[int, str, str, int, int, int, int, int, int]
EdgeRow = tuple[int, int, EdgeType, int, int, int, int, int, int, int, str]
StepRow = tuple[int, bool, Names, Names, Names, int, int]
VariantRow = tuple[int, int, int, int, int, int, int, str, list[StepRow]]
SliceNodeRow = tuple[str, str, int, int, int, int]
"""Kind, name, count, failures, ended, duration."""
SliceEdgeRow = tuple[str, str, str, str, EdgeType, int, int, int, int]
"""Kind and name of origin and target, type, count, inferred, failures, duration."""


class Loading:
    """Puts rows into an empty graph: nodes first."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._ids: dict[int, int] = {TOP_ID: TOP}
        """From the ids of rows to the graph's own."""

    def add_nodes(self, rows: Iterable[NodeRow]) -> None:
        """Take in nodes."""
        for node_id, kind, name, *counts in rows:
            self._ids[node_id] = _add_node(self.graph, Node(kind, name), counts)

    def add_edges(self, rows: Sequence[EdgeRow]) -> None:
        """Column by column: adding up edge by edge what is already summed would take three times as long."""
        if not rows:
            return
        graph, ids = self.graph, self._ids
        origins, targets, types, *counters, named = zip(*rows, strict=True)
        for origin_id, target_id, type_ in zip(origins, targets, types, strict=True):
            graph.row(ids[origin_id], ids[target_id], type_)
        columns = (graph.count, graph.inferred, graph.failures, graph.declared, graph.duration_ns, graph.heat)
        for column, values in zip((*columns, graph.last_ns), counters, strict=True):
            column[:] = array("q", values)
        self._name_traces(named)

    def _name_traces(self, named: Sequence[str]) -> None:
        """Let each edge, in the order of its row, name its exemplars; they are newest first already."""
        table = self.graph._edges.traces
        entries = list(map(entries_of, named))
        kept = newest_entries(entries, most=MOST_TRACES)
        table.make_room(len(kept))
        places = {entry: table.enter(read_entry(entry)) for entry in kept}
        for row, mine in enumerate(entries):
            table.packed[row] = pack([places[entry] for entry in mine if entry in places])

    def add_variants(self, rows: Iterable[VariantRow]) -> None:
        """Take in variants."""
        ids = self._ids
        for scope_id, truncated, count, failures, duration_ns, heat, last_ns, named, steps in rows:
            self.graph.count_episode(
                Episode(
                    scope=ids[scope_id],
                    steps=tuple([Step(ids[step[0]], *step[1:]) for step in steps]),
                    truncated=bool(truncated),
                    count=count,
                    failures=failures,
                    duration_ns=duration_ns,
                    heat=heat,
                    last_ns=last_ns,
                    exemplars=decode(named),
                )
            )


def _add_node(graph: Graph, node: Node, counts: Sequence[int]) -> int:
    count, failures, ended, duration_ns, heat, last_ns = counts
    at = graph.node(node)
    graph.count_node(
        at, count=count, failures=failures, ended=ended, duration_ns=duration_ns, heat=heat, last_ns=last_ns
    )
    return at


def sum_of_slices(trace_count: int, nodes: Iterable[SliceNodeRow], edges: Iterable[SliceEdgeRow]) -> Graph:
    """Give the graph that some slices are together."""
    graph = Graph()
    graph.trace_count = trace_count
    for kind, name, count, failures, ended, duration_ns in nodes:
        _add_node(graph, Node(kind, name), (count, failures, ended, duration_ns, 0, 0))
    for origin_kind, origin_name, target_kind, target_name, type_, count, inferred, failures, duration_ns in edges:
        origin, target = graph.node(Node(origin_kind, origin_name)), graph.node(Node(target_kind, target_name))
        row = graph.row(origin, target, type_)
        graph.count_edge(row, count=count, inferred=inferred, failures=failures, duration_ns=duration_ns)
    return graph
