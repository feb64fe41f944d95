"""
Add what was learned to the tables of a project's graph.

Nothing here begins or ends the transaction: `graph_store` does. SQL adds up, so nothing is read first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw
import msgspec

from clew.graph import Graph
from clew.model.graph import Node
from clew.store import sql
from clew.store.columns import as_json
from clew.store.graph_protocol import MOST_SLICES, MOST_VARIANTS
from clew.store.graph_rows import (
    EdgeRow,
    Ids,
    edge_rows,
    node_values,
    slice_edge_values,
    slice_node_values,
    variant_rows,
)
from clew.store.sqlite.exemplars import NEWEST
from clew.store.sqlite.statements import Statements

QUERIES = {name: text.replace("{newest}", NEWEST) for name, text in sql.load("clew.store.sqlite", "graph.sql").items()}

_places = msgspec.json.Decoder(list[tuple[int, int]])
_slice_ids = msgspec.json.Decoder(list[int])


class Saving:
    """Adds to one project's graph over *connection*, which is inside a transaction."""

    def __init__(self, connection: apsw.Connection, project_id: int) -> None:
        self._sql = Statements(connection, QUERIES)
        self._project_id = project_id
        self._ids: dict[Node, int] = {}
        self._rows: dict[int, list[EdgeRow]] = {}
        """Edges by the identity of their graph: what falls in a slice is often all of the delta."""

    def add(self, delta: Graph, slices: Mapping[str, Graph] | None = None) -> int:
        """Add *delta*, some of whose counts may be below zero; gives the graph's new version."""
        slices = slices or {}
        self._add_nodes(delta)
        self._learn_ids([delta, *slices.values()])
        self._add_edges(delta)
        new_variants = self._add_variants(delta)
        for name in sorted(slices):
            self._add_to_slice(name, slices[name])
        return self._count_up(delta, new_variants)

    def _add_nodes(self, delta: Graph) -> None:
        rows: list[Any] = []
        for values in node_values(delta):
            rows += (self._project_id, *values)
        self._sql.put("add_to_nodes", rows, len(delta.nodes))

    def _learn_ids(self, graphs: list[Graph]) -> None:
        """Ask for the ids of all nodes; those that only a slice names, which nobody sends, are added."""
        wanted = list(dict.fromkeys(node for graph in graphs for node in graph.nodes))
        self._find_ids(wanted)
        missing = [node for node in wanted if node not in self._ids]
        if missing:
            rows = [value for node in missing for value in (self._project_id, *node, 0, 0, 0, 0, 0, 0)]
            self._sql.put("add_to_nodes", rows, len(missing))
            self._find_ids(missing)

    def _find_ids(self, wanted: list[Node]) -> None:
        answer = self._sql.run("node_ids", project_id=self._project_id, nodes=as_json(wanted))
        self._ids |= {wanted[at]: node_id for at, node_id in _places.decode(answer)}

    def _ids_of(self, graph: Graph) -> Ids:
        return [self._ids[node] for node in graph.nodes]

    def _edges_of(self, graph: Graph) -> list[EdgeRow]:
        rows = self._rows.get(id(graph))
        if rows is None:
            rows = self._rows[id(graph)] = edge_rows(graph, self._ids_of(graph))
        return rows

    def _add_edges(self, delta: Graph) -> None:
        edges = self._edges_of(delta)
        rows: list[Any] = []
        for key, counts, exemplars in edges:
            rows += (self._project_id, *key, *counts, exemplars)
        self._sql.put("add_to_edges", rows, len(edges))
        smaller = [key for key, counts, _ in edges if counts[0] <= 0 or counts[1] < 0 or counts[3] < 0]
        if smaller:
            self._sql.run("drop_edges", project_id=self._project_id, edges=as_json(smaller))

    def _add_variants(self, delta: Graph) -> int:
        """Gives how many more there are."""
        variants = variant_rows(delta, self._ids_of(delta))
        digests = [variant.digest for variant, _, _ in variants]
        asked = as_json([digest.hex() for digest in digests])
        known = self._sql.run("known_variants", project_id=self._project_id, digests=asked)
        rows: list[Any] = []
        for digest, (variant, counts, exemplars) in zip(digests, variants, strict=True):
            rows += (self._project_id, digest, *variant, *counts, exemplars)
        self._sql.put("add_to_variants", rows, len(variants))
        smaller = [digest.hex() for digest, (_, counts, _) in zip(digests, variants, strict=True) if counts[0] <= 0]
        if smaller:
            self._sql.run("drop_variants", project_id=self._project_id, digests=as_json(smaller))
        return len(variants) - int(known) - (self._sql.changes() if smaller else 0)

    def _add_to_slice(self, name: str, delta: Graph) -> None:
        last_ns = max(delta.node_last_ns, default=0)
        slice_id, traces = self._sql.run(
            "add_to_slice", project_id=self._project_id, name=name, traces=delta.trace_count, last_ns=last_ns
        )
        if traces == delta.trace_count:
            self._prune_slices()
        self._sql.put("add_to_slice_nodes", *slice_node_values(delta, slice_id, self._ids_of(delta)))
        self._sql.put("add_to_slice_edges", *slice_edge_values(self._edges_of(delta), slice_id))

    def _count_up(self, delta: Graph, new_variants: int) -> int:
        version, variant_count = self._sql.run(
            "next_version", project_id=self._project_id, traces=delta.trace_count, variants=new_variants
        )
        if variant_count > MOST_VARIANTS:
            self._prune_variants(variant_count - MOST_VARIANTS * 4 // 5)
        return int(version)

    def _prune_variants(self, count: int) -> None:
        """Drop a fifth at once, so that it is seldom done."""
        self._sql.run("prune_variants", project_id=self._project_id, count=count)
        self._sql.run("count_variants", project_id=self._project_id, more=-count)

    def _prune_slices(self) -> None:
        """Drop what is over the limit, now that one may be new."""
        asked = self._sql.run("too_many_slices", project_id=self._project_id, most=MOST_SLICES)
        for slice_id in _slice_ids.decode(asked):
            for name in ("drop_slice_edges", "drop_slice_nodes", "drop_slice"):
                self._sql.run(name, slice_id=slice_id)
