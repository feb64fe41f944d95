"""A project's graph, whole or in slices, from its tables."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clew.graph import Graph
from clew.store.graph_loading import Loading, StepRow, sum_of_slices
from clew.store.postgres.binary import findable, told
from clew.store.postgres.connect import Connection
from clew.store.postgres.graph_statements import QUERIES
from clew.store.postgres.statements import Statements

_steps = msgspec.json.Decoder(list[StepRow])


def read_graph(connection: Connection, project_id: int) -> Graph:
    """Give all that was learned of a project."""
    statements = Statements(connection, QUERIES)
    head = statements.row("graph_version", project_id=project_id)
    if head is None:
        return Graph()
    loading = Loading()
    _, loading.graph.trace_count = head
    loading.add_nodes(
        (node_id, told(kind), told(name), *counts)
        for node_id, kind, name, *counts in statements.rows("nodes", project_id=project_id)
    )
    loading.add_edges([(*row[:-1], row[-1].hex()) for row in statements.rows("edges", project_id=project_id)])
    loading.add_variants(
        (*row[:-2], row[-2].hex(), _steps.decode(row[-1])) for row in statements.rows("variants", project_id=project_id)
    )
    return loading.graph


def read_slices(connection: Connection, project_id: int, names: Sequence[str]) -> Graph:
    """Give the sum of the slices of these names."""
    statements = Statements(connection, QUERIES)
    asked = list(map(findable, names))
    trace_count, slice_ids = statements.row("slice_traces", project_id=project_id, names=asked) or (0, [])
    nodes = statements.rows("slice_nodes", slice_ids=slice_ids)
    edges = statements.rows("slice_edges", slice_ids=slice_ids)
    return sum_of_slices(
        trace_count,
        [(told(kind), told(name), *counts, int(took)) for kind, name, *counts, took in nodes],
        [(*map(told, row[:4]), *row[4:-1], int(row[-1])) for row in edges],
    )
