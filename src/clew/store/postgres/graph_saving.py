"""
Add what was learned to the tables of a project's graph.

Nothing here begins or ends the transaction: `graph_store` does, which also has the graph to itself
meanwhile. SQL adds up, so nothing is read first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.graph import Graph
from clew.model.graph import Node
from clew.store.graph_protocol import MOST_SLICES, MOST_VARIANTS
from clew.store.graph_rows import (
    EdgeKey,
    EdgeRow,
    Ids,
    edge_rows,
    node_values,
    slice_edge_values,
    slice_node_values,
    variant_rows,
)
from clew.store.postgres.binary import digest, safe
from clew.store.postgres.connect import Connection
from clew.store.postgres.graph_statements import QUERIES
from clew.store.postgres.statements import Statements

_NODE = ("digests", "kinds", "names", "count", "failures", "ended", "duration_ns", "heat", "last_ns")
_EDGE_KEY = ("origins", "targets", "types")
_EDGE = (*_EDGE_KEY, "count", "inferred", "failures", "declared", "duration_ns", "heat", "last_ns", "exemplars")
_VARIANT = (
    "digests",
    "scopes",
    "truncated",
    "steps",
    "count",
    "failures",
    "duration_ns",
    "heat",
    "last_ns",
    "exemplars",
)
_SLICE_NODE = ("slices", "nodes", "count", "failures", "ended", "duration_ns")
_SLICE_EDGE = ("slices", *_EDGE_KEY, "count", "inferred", "failures", "duration_ns")


class Saving:
    """Adds to one project's graph over *connection*, which is inside a transaction."""

    def __init__(self, connection: Connection, project_id: int) -> None:
        self._sql = Statements(connection, QUERIES)
        self._project_id = project_id
        self._ids: dict[bytes, int] = {}
        """By the digests of nodes."""
        self._rows: dict[int, list[EdgeRow]] = {}
        """Edges by the identity of their graph: what falls in a slice is often all of the delta."""

    def add(self, delta: Graph, slices: Mapping[str, Graph] | None = None) -> int:
        """Add *delta*, some of whose counts may be below zero; gives the graph's new version."""
        slices = slices or {}
        self._add_nodes([(_digest_of(node), *values) for node, values in zip(delta.nodes, _values(delta), strict=True)])
        self._learn_ids(slices.values())
        self._add_edges(delta)
        new_variants = self._add_variants(delta)
        for name in sorted(slices):
            self._add_to_slice(name, slices[name])
        return self._count_up(delta, new_variants)

    def _add_nodes(self, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            named = _columns(_NODE, rows)
            self._ids.update(self._sql.rows("add_to_nodes", project_id=self._project_id, **named))

    def _learn_ids(self, graphs: Any) -> None:
        """Those that only a slice names, which nobody sends, are found, or added with nothing."""
        missing = {_digest_of(node): node for graph in graphs for node in graph.nodes}
        missing = {key: node for key, node in missing.items() if key not in self._ids}
        if missing:
            found = self._sql.rows("node_ids", project_id=self._project_id, digests=list(missing))
            self._ids.update(found)
            new = {key: node for key, node in missing.items() if key not in self._ids}
            self._add_nodes([(key, safe(node.kind), safe(node.name), 0, 0, 0, 0, 0, 0) for key, node in new.items()])

    def _ids_of(self, graph: Graph) -> Ids:
        return [self._ids[_digest_of(node)] for node in graph.nodes]

    def _edges_of(self, graph: Graph) -> list[EdgeRow]:
        rows = self._rows.get(id(graph))
        if rows is None:
            rows = self._rows[id(graph)] = edge_rows(graph, self._ids_of(graph))
        return rows

    def _add_edges(self, delta: Graph) -> None:
        edges = self._edges_of(delta)
        if not edges:
            return
        rows = [(*key, *counts, exemplars) for key, counts, exemplars in edges]
        self._sql.run("add_to_edges", project_id=self._project_id, **_columns(_EDGE, rows))
        smaller: list[EdgeKey] = [key for key, counts, _ in edges if counts[0] <= 0 or counts[1] < 0 or counts[3] < 0]
        if smaller:
            self._sql.run("drop_edges", project_id=self._project_id, **_columns(_EDGE_KEY, smaller))

    def _add_variants(self, delta: Graph) -> int:
        """Gives how many more there are."""
        rows: list[tuple[Any, ...]] = [
            (variant.digest, *variant, *counts, exemplars)
            for variant, counts, exemplars in variant_rows(delta, self._ids_of(delta))
        ]
        if not rows:
            return 0
        digests = [row[0] for row in rows]
        known = self._sql.value("known_variants", project_id=self._project_id, digests=digests)
        self._sql.run("add_to_variants", project_id=self._project_id, **_columns(_VARIANT, rows))
        smaller = [row[0] for row in rows if row[4] <= 0]
        dropped = self._sql.run("drop_variants", project_id=self._project_id, digests=smaller) if smaller else 0
        return len(rows) - int(known) - dropped

    def _add_to_slice(self, name: str, delta: Graph) -> None:
        last_ns = max(delta.node_last_ns, default=0)
        row = self._sql.row(
            "add_to_slice", project_id=self._project_id, name=safe(name), traces=delta.trace_count, last_ns=last_ns
        )
        slice_id, traces = row or (0, 0)
        if traces == delta.trace_count:
            # It may be new, and one too many.
            self._sql.run("drop_old_slices", project_id=self._project_id, most=MOST_SLICES)
        nodes, _ = slice_node_values(delta, slice_id, self._ids_of(delta))
        self._put("add_to_slice_nodes", _SLICE_NODE, nodes)
        edges, _ = slice_edge_values(self._edges_of(delta), slice_id)
        self._put("add_to_slice_edges", _SLICE_EDGE, edges)

    def _put(self, statement: str, names: Sequence[str], flat: Sequence[Any]) -> None:
        """Run a statement of rows over the flat values of all of them."""
        if flat:
            width = len(names)
            self._sql.run(statement, **{name: list(flat[at::width]) for at, name in enumerate(names)})

    def _count_up(self, delta: Graph, new_variants: int) -> int:
        row = self._sql.row(
            "next_version", project_id=self._project_id, traces=delta.trace_count, variants=new_variants
        )
        version, variant_count = row or (0, 0)
        if variant_count > MOST_VARIANTS:
            self._prune_variants(variant_count - MOST_VARIANTS * 4 // 5)
        return int(version)

    def _prune_variants(self, count: int) -> None:
        """Drop a fifth at once, so that it is seldom done."""
        self._sql.run("prune_variants", project_id=self._project_id, count=count)
        self._sql.run("count_variants", project_id=self._project_id, more=-count)


def _digest_of(node: Node) -> bytes:
    return digest(node.kind, node.name)


def _values(graph: Graph) -> list[tuple[Any, ...]]:
    return [(safe(kind), safe(name), *counts) for kind, name, *counts in node_values(graph)]


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Turn *rows*, of which there must be one, into a list for each column."""
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
