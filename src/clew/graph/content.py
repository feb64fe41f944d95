"""All that a graph says, by names instead of ids: what is compared, in tests and after a journey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.graph.episodes import TOP

if TYPE_CHECKING:
    from clew.graph.state import Graph

Content = dict[str, Any]


def content_of(graph: Graph, *, when: bool) -> Content:
    """Give nodes, edges and episodes, each with its counters, and the number of traces: see `Graph.content`."""
    return {
        "traces": graph.trace_count,
        "nodes": dict(_node(graph, node, when) for node in range(len(graph.nodes)) if _counts(graph, node)),
        "edges": dict(_edge(graph, row, when) for row in graph.rows()),
        "episodes": dict(_episode(graph, episode, when) for episode in graph.episodes()),
    }


def _counts(graph: Graph, node: int) -> bool:
    columns = (graph.node_count, graph.node_failures, graph.node_ended, graph.node_duration_ns, graph.node_heat)
    return any(column[node] for column in columns)


def _node(graph: Graph, node: int, when: bool) -> tuple[Any, Any]:
    counters = (
        graph.node_count[node],
        graph.node_failures[node],
        graph.node_ended[node],
        graph.node_duration_ns[node],
        graph.node_heat[node],
    )
    return graph.nodes[node], (*counters, graph.node_last_ns[node]) if when else counters


def _edge(graph: Graph, row: int, when: bool) -> tuple[Any, Any]:
    origin, target, type_ = graph.ends(row)
    counters = (
        graph.count[row],
        graph.inferred[row],
        graph.failures[row],
        graph.declared[row],
        graph.duration_ns[row],
        graph.heat[row],
    )
    seen = (graph.last_ns[row], graph.edge_exemplars(row)) if when else ()
    return (graph.nodes[origin], graph.nodes[target], type_), (*counters, *seen)


def _episode(graph: Graph, episode: Any, when: bool) -> tuple[Any, Any]:
    scope = None if episode.scope == TOP else graph.nodes[episode.scope]
    steps = tuple((graph.nodes[step.node], *step[1:]) for step in episode.steps)
    counters = (episode.count, episode.failures, episode.duration_ns, episode.heat)
    seen = (episode.last_ns, episode.exemplars) if when else ()
    return (scope, steps, episode.truncated), (*counters, *seen)
