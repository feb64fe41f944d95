"""A project's graph, whole or in slices, from its tables. Each table is read in one step, as JSON."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import apsw
import msgspec

from clew.graph import Graph
from clew.graph.exemplars import MOST_TRACES, pack
from clew.graph.state import TOP, Episode, Step
from clew.model.graph import EdgeType, Node
from clew.store import sql
from clew.store.sqlite.exemplars import decode, entries_of, newest_entries, read_entry
from clew.store.sqlite.graph_rows import TOP_ID
from clew.store.sqlite.statements import Statements, as_json

QUERIES = sql.load("clew.store.sqlite", "graph.sql")

_Names = tuple[str, ...]
_NodeRow = tuple[int, str, str, int, int, int, int, int, int]
_EdgeRow = tuple[int, int, EdgeType, int, int, int, int, int, int, int, str]
_StepRow = tuple[int, bool, _Names, _Names, _Names, int, int]
_VariantRow = tuple[int, int, int, int, int, int, int, str, list[_StepRow]]

_nodes = msgspec.json.Decoder(list[_NodeRow])
_edges = msgspec.json.Decoder(list[_EdgeRow])
_variants = msgspec.json.Decoder(list[_VariantRow])
_slice_nodes = msgspec.json.Decoder(list[tuple[str, str, int, int, int, int, int]])
_slice_edges = msgspec.json.Decoder(list[tuple[str, str, str, str, EdgeType, int, int, int, int, int]])


def read_graph(connection: apsw.Connection, project_id: int) -> Graph:
    """Give all that was learned of a project."""
    statements = Statements(connection, QUERIES)
    head = statements.run("graph_version", project_id=project_id)
    if head is None:
        return Graph()
    loading = _Loading()
    _, loading.graph.trace_count = head
    loading.add_nodes(_nodes.decode(statements.run("nodes", project_id=project_id)))
    loading.add_edges(_edges.decode(statements.run("edges", project_id=project_id)))
    loading.add_variants(_variants.decode(statements.run("variants", project_id=project_id) or "[]"))
    return loading.graph


class _Loading:
    """Puts rows into an empty graph."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._ids: dict[int, int] = {TOP_ID: TOP}
        """From the ids of rows to the graph's own."""

    def add_nodes(self, rows: Iterable[_NodeRow]) -> None:
        for node_id, kind, name, *counts in rows:
            self._ids[node_id] = _add_node(self.graph, Node(kind, name), counts)

    def add_edges(self, rows: Sequence[_EdgeRow]) -> None:
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

    def add_variants(self, rows: Iterable[_VariantRow]) -> None:
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


def read_slices(connection: apsw.Connection, project_id: int, names: Sequence[str]) -> Graph:
    """Give the sum of the slices of these names."""
    statements = Statements(connection, QUERIES)
    graph = Graph()
    asked = as_json(list(dict.fromkeys(names)))
    graph.trace_count, slice_ids = statements.run("slice_traces", project_id=project_id, names=asked)
    for kind, name, count, failures, ended, high, low in _slice_nodes.decode(
        statements.run("slice_nodes", slice_ids=slice_ids)
    ):
        _add_node(graph, Node(kind, name), (count, failures, ended, high * 1024 + low, 0, 0))
    for *ends, type_, count, inferred, failures, high, low in _slice_edges.decode(
        statements.run("slice_edges", slice_ids=slice_ids)
    ):
        origin, target = graph.node(Node(*ends[:2])), graph.node(Node(*ends[2:]))
        row = graph.row(origin, target, type_)
        graph.count_edge(row, count=count, inferred=inferred, failures=failures, duration_ns=high * 1024 + low)
    return graph
