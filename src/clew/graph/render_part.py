"""What of a graph is drawn or handed on, with its figures. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from clew.graph.state import Graph
from clew.model.graph import EdgeType


class Part(NamedTuple):
    """What is drawn."""

    nodes: list[int]
    """Ids."""
    rows: list[int]


def part_of(graph: Graph, types: Collection[EdgeType], least_count: int) -> Part:
    """Choose the edges of *types* seen *least_count* times, or declared, and the nodes that they join or that were."""
    rows = [
        row
        for row in graph.rows()
        if graph.ends(row)[2] in types
        and (graph.count[row] + graph.inferred[row] >= least_count or graph.declared[row] > 0)
    ]
    joined = {node for row in rows for node in graph.ends(row)[:2]}
    nodes = [at for at in range(len(graph.nodes)) if at in joined or graph.node_count[at] >= max(1, least_count)]
    return Part(nodes, sorted(rows, key=graph.ends))


def node_figures(graph: Graph, at: int) -> dict[str, Any]:
    """All that is known of a node."""
    node = graph.nodes[at]
    return {
        "id": at,
        "kind": _encodable(node.kind),
        "name": _encodable(node.name),
        "count": graph.node_count[at],
        "failures": graph.node_failures[at],
        "ended": graph.node_ended[at],
        "duration_ns": graph.node_duration_ns[at],
        "heat": graph.node_heat[at],
        "last_seen_ns": graph.node_last_ns[at],
    }


def edge_figures(graph: Graph, row: int) -> dict[str, Any]:
    """All that is known of an edge; its ends are the ids of nodes."""
    origin, target, type_ = graph.ends(row)
    edge = graph.edge(row)
    return {
        "origin": origin,
        "target": target,
        "type": type_,
        "source": edge.source,
        "count": edge.count,
        "inferred": edge.inferred,
        "failures": edge.failures,
        "declared": edge.declared,
        "duration_ns": edge.duration_ns,
        "heat": edge.heat,
        "last_seen_ns": edge.last_seen_ns,
        "traces": [_encodable(trace) for trace in edge.traces],
    }


def _encodable(text: str) -> str:
    """Half a surrogate pair cannot be written in UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
