"""A project's graph, whole or in slices, from its tables. Each table is read in one step, as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from clew.graph import Graph
from clew.model.graph import EdgeType
from clew.store import sql
from clew.store.columns import as_json
from clew.store.graph_loading import EdgeRow, Loading, NodeRow, VariantRow, sum_of_slices
from clew.store.sqlite.statements import Statements

QUERIES = sql.load("clew.store.sqlite", "graph.sql")

_nodes = msgspec.json.Decoder(list[NodeRow])
_edges = msgspec.json.Decoder(list[EdgeRow])
_variants = msgspec.json.Decoder(list[VariantRow])
_slice_nodes = msgspec.json.Decoder(list[tuple[str, str, int, int, int, int, int]])
_slice_edges = msgspec.json.Decoder(list[tuple[str, str, str, str, EdgeType, int, int, int, int, int]])


def read_graph(connection: apsw.Connection, project_id: int) -> Graph:
    """Give all that was learned of a project."""
    statements = Statements(connection, QUERIES)
    head = statements.run("graph_version", project_id=project_id)
    if head is None:
        return Graph()
    loading = Loading()
    _, loading.graph.trace_count = head
    loading.add_nodes(_nodes.decode(statements.run("nodes", project_id=project_id)))
    loading.add_edges(_edges.decode(statements.run("edges", project_id=project_id)))
    loading.add_variants(_variants.decode(statements.run("variants", project_id=project_id) or "[]"))
    return loading.graph


def read_slices(connection: apsw.Connection, project_id: int, names: Sequence[str]) -> Graph:
    """Give the sum of the slices of these names."""
    statements = Statements(connection, QUERIES)
    asked = as_json(list(dict.fromkeys(names)))
    trace_count, slice_ids = statements.run("slice_traces", project_id=project_id, names=asked)
    nodes = _slice_nodes.decode(statements.run("slice_nodes", slice_ids=slice_ids))
    edges = _slice_edges.decode(statements.run("slice_edges", slice_ids=slice_ids))
    return sum_of_slices(
        trace_count,
        [(*row[:-2], _joined(*row[-2:])) for row in nodes],
        [(*row[:-2], _joined(*row[-2:])) for row in edges],
    )


def _joined(high: int, low: int) -> int:
    return high * 1024 + low
