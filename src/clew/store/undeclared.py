"""What of a graph was observed. Pure."""

from __future__ import annotations

from clew.graph import Graph


def undeclared(graph: Graph) -> Graph:
    """Give *graph* without what it declares: that is for templates, which can be taken back."""
    rows = [row for row in graph.rows() if graph.declared[row]]
    if not rows:
        return graph
    declared = Graph()
    for row in rows:
        origin, target, type_ = graph.ends(row)
        ends = declared.node(graph.nodes[origin]), declared.node(graph.nodes[target])
        declared.count_edge(declared.row(*ends, type_), declared=graph.declared[row])
    observed = Graph()
    observed.merge(graph)
    observed.merge(declared, times=-1)
    return observed
