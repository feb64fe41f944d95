"""A graph at a glance, and its nodes and edges as lists. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from heapq import nlargest

import msgspec

from clew.graph import Graph
from clew.model.graph import EDGE_TYPES, OBSERVED_FROM, Edge, EdgeType, Node, Source
from clew.query.graph_rows import NodeFigures

TOP_NODES = 10


class GraphSummary(msgspec.Struct, kw_only=True, frozen=True):
    """What `clew graph show` shows."""

    project: str
    traces: int
    """Learned."""
    nodes: int
    edges: int
    nodes_by_kind: dict[str, int]
    edges_by_type: dict[str, int]
    edges_by_source: dict[str, int]
    episodes: int
    """Different ways in which something ran."""
    capabilities: tuple[NodeFigures, ...]
    """What contains other steps, most called first."""
    tools: tuple[NodeFigures, ...]
    """What contains none, most called first."""


def summary_of(project: str, graph: Graph) -> GraphSummary:
    """Count the graph's parts, and find its most called nodes."""
    # A page asks for it every few seconds, and a large graph takes a tenth of one to count.
    return msgspec.structs.replace(graph.derived("query.summary", _summary), project=project)


def _summary(graph: Graph) -> GraphSummary:
    types: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for row in graph.rows():
        types[graph.ends(row)[2]] += 1
        sources[_source(graph, row)] += 1
    known = [at for at in range(len(graph.nodes)) if is_known(graph, at)]
    above = graph.out("contains")
    return GraphSummary(
        project="",
        traces=graph.trace_count,
        nodes=len(known),
        edges=sum(types.values()),
        nodes_by_kind=dict(Counter(graph.nodes[at].kind for at in known).most_common()),
        edges_by_type={type_: types[type_] for type_ in EDGE_TYPES if types[type_]},
        edges_by_source=dict(sources.most_common()),
        episodes=graph.episode_count(),
        capabilities=_most_called(graph, [at for at in known if above.get(at)]),
        tools=_most_called(graph, [at for at in known if not above.get(at)]),
    )


def is_known(graph: Graph, at: int) -> bool:
    """Say whether a node was called, or a template names it; one taken back to nothing is neither."""
    return graph.node_count[at] > 0 or bool(graph.out("dependency").get(at)) or at in _declared_targets(graph)


def figures_of(graph: Graph, at: int) -> NodeFigures:
    """Give what is known of one node."""
    return NodeFigures(
        node=graph.nodes[at],
        count=graph.node_count[at],
        failures=graph.node_failures[at],
        ended=graph.node_ended[at],
        duration_ns=graph.node_duration_ns[at],
        heat=graph.node_heat[at],
        last_seen_ns=graph.node_last_ns[at],
    )


def nodes_of(graph: Graph, *, kind: str | None, limit: int) -> tuple[list[NodeFigures], int]:
    """Give the most called nodes, of one kind or all; and how many there are."""
    wanted = [at for at, node in enumerate(graph.nodes) if kind in (None, node.kind) and is_known(graph, at)]
    shown = nlargest(limit, wanted, key=lambda at: (graph.node_count[at], -at))
    return [figures_of(graph, at) for at in shown], len(wanted)


def edges_of(
    graph: Graph,
    *,
    types: Collection[EdgeType],
    node: Node | str | None,
    source: Source | None,
    least_count: int,
    limit: int,
) -> tuple[list[Edge], int]:
    """
    Give the edges most often seen that are all that is asked; and how many there are.

    *types* empty means any; *node* wants edges from or to it; *least_count* of observations, sure or not.

    Raises:
        UnknownNode: *node* is none of the graph's.
    """
    at = None if node is None else graph.find(node)
    wanted = [
        row
        for row in _rows(graph, types or EDGE_TYPES)
        if (at is None or at in graph.ends(row)[:2])
        and _seen(graph, row) >= least_count
        and source in (None, _source(graph, row))
    ]
    shown = nlargest(limit, wanted, key=lambda row: (_seen(graph, row), graph.declared[row], -row))
    return [graph.edge(row) for row in shown], len(wanted)


def _rows(graph: Graph, types: Collection[EdgeType]) -> Iterator[int]:
    for type_ in types:
        for targets in graph.out(type_).values():
            yield from targets.values()


def _seen(graph: Graph, row: int) -> int:
    return graph.count[row] + graph.inferred[row]


def _source(graph: Graph, row: int) -> Source:
    # As `Edge.source`, without making an edge of each of many rows.
    if graph.count[row] >= OBSERVED_FROM:
        return "observed"
    return "inferred" if _seen(graph, row) else "template"


def _declared_targets(graph: Graph) -> frozenset[int]:
    return graph.derived("query.declared_targets", _find_declared_targets)


def _find_declared_targets(graph: Graph) -> frozenset[int]:
    return frozenset(target for targets in graph.out("dependency").values() for target in targets)


def _most_called(graph: Graph, nodes: list[int]) -> tuple[NodeFigures, ...]:
    most = nlargest(TOP_NODES, nodes, key=lambda at: (graph.node_count[at], -at))
    return tuple(figures_of(graph, at) for at in most)
